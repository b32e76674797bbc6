//! Targets by instances and clusters of RDS.

use serde_json::{Value, json};

use super::worker;
use crate::support::{
    Action, HttpProxy, Mode, PrivateServer, Rds, ResultsSubscriber, ResyncEvents, Worker, World,
};

const NO_SECRET: &str =
    "RDS manages no secret of its master user: name its own secret as a target (--secret).";
const NONE: &str = "no PostgreSQL instance or cluster matches this target.";

/// A worker whose calls to RDS go through the proxy.
fn worker_behind(proxy: &HttpProxy, world: &World, subscriber: &ResultsSubscriber<'_>) -> Worker {
    let settings = [
        ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        ("AWS_ENDPOINT_URL_RDS", &proxy.endpoint()),
    ];
    Worker::start(world, &settings)
}

/// What has the test's tag, with any value or this one.
fn tagged(world: &World, value: Option<&str>) -> Value {
    let mut tag = json!({"Key": world.name});
    if let Some(value) = value {
        tag["Value"] = json!(value);
    }
    json!([{"Instances": tag}])
}

/// Why each instance, or what should have found some, failed.
fn reasons(events: &ResyncEvents) -> Vec<(&str, &str)> {
    let results = events.results.iter().map(|((key, database), result)| {
        assert_eq!(
            (database.as_str(), &result["State"]),
            ("", &json!("Failed"))
        );
        let id = key.strip_prefix("rds:").unwrap_or(key);
        (id, result["Reason"].as_str().unwrap())
    });
    results.collect()
}

fn refusal() -> Action {
    let error = "<Type>Sender</Type><Code>AccessDenied</Code><Message>on purpose</Message>";
    let body = format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>");
    Action::Answer(403, body)
}

#[tokio::test]
async fn instances_and_clusters_are_servers_that_their_managed_secrets_open() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let rds = Rds(&world);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    let instance = rds.instance("instance", "a", server.port).await;
    let writer = PrivateServer::start(&world, Mode::Primary).await;
    let cluster = rds.cluster("cluster", "a", writer.port).await;
    let bare = rds.instance_without_secret("bare", "b").await;
    rds.instance_with("mysql", "a", |wanted| {
        wanted.engine("mysql").manage_master_user_password(true)
    })
    .await;

    // Neither MySQL nor the cluster's member is a server.
    let events = subscriber
        .run("Report", tagged(&world, Some("a")), json!({}))
        .await;
    let key = |id: &str| format!("rds:{id}");
    let (of_cluster, of_instance, of_bare) = (key(&cluster), key(&instance), key(&bare));
    let both = [
        (of_cluster.as_str(), "postgres", "Unmanaged"),
        (of_instance.as_str(), "postgres", "Unmanaged"),
    ];
    assert_eq!(events.states(), both);
    let result = &events.results[&(of_instance.clone(), "postgres".to_owned())];
    assert_eq!(result["Target"], json!(instance));
    assert_eq!(
        result["Server"],
        json!(format!("127.0.0.1:{}", server.port))
    );

    let events = subscriber
        .run("Report", tagged(&world, None), json!({}))
        .await;
    let failed = (of_bare.as_str(), "", "Failed");
    assert_eq!(events.states(), [failed, both[0], both[1]]);
    assert_eq!(
        events.results[&(of_bare.clone(), String::new())]["Reason"],
        NO_SECRET
    );

    let keys = [of_cluster.as_str(), &of_instance, &of_bare];
    let events = subscriber.run_for_instances(&keys).await;
    let is_ours = |(key, _, _): &(&str, &str, &str)| key.contains(&world.name);
    let ours: Vec<_> = events.states().into_iter().filter(is_ours).collect();
    assert_eq!(ours, [failed, both[0], both[1]]);
}

#[tokio::test]
async fn a_server_that_several_instances_lead_to_is_done_once() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let rds = Rds(&world);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    let first = rds.instance("first", "a", server.port).await;
    rds.instance("second", "a", server.port).await;
    let events = subscriber
        .run("Report", tagged(&world, Some("a")), json!({}))
        .await;
    let key = format!("rds:{first}");
    assert_eq!(events.states(), [(key.as_str(), "postgres", "Unmanaged")]);
}

#[tokio::test]
async fn an_account_has_more_instances_than_a_page() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let proxy = HttpProxy::start().await;
    let _worker = worker_behind(&proxy, &world, &subscriber);
    let rds = Rds(&world);
    let first = rds.instance_without_secret("1", "a").await;
    let second = rds.instance_without_secret("2", "a").await;
    proxy.decide(|request| {
        let (_, body) = request.split_once("\n\n").unwrap();
        match body.contains("Action=DescribeDBInstances") {
            true => Action::ForwardWith(format!("{body}&MaxRecords=1")),
            false => Action::Forward,
        }
    });
    let events = subscriber
        .run("Report", tagged(&world, None), json!({}))
        .await;
    let expected = [(first.as_str(), NO_SECRET), (second.as_str(), NO_SECRET)];
    assert_eq!(reasons(&events), expected);
    assert!(proxy.count("Marker=") > 0);

    // None of the pages has any.
    let none = tagged(&world, Some("none"));
    let events = subscriber.run("Report", none, json!({})).await;
    let what = format!("instances {}=none", world.name);
    assert_eq!(reasons(&events), [(what.as_str(), NONE)]);
}

#[tokio::test]
async fn an_account_has_more_clusters_than_a_page() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let proxy = HttpProxy::start().await;
    let _worker = worker_behind(&proxy, &world, &subscriber);
    // LocalStack's RDS has all clusters on one page.
    let tag = format!("<Tag><Key>{}</Key><Value>a</Value></Tag>", world.name);
    let page = move |id: &str, marker: &str| {
        let cluster = format!(
            "<DBCluster><DBClusterIdentifier>{id}</DBClusterIdentifier><Engine>aurora-postgresql</Engine>\
             <Endpoint>127.0.0.1</Endpoint><Port>1</Port><TagList>{tag}</TagList></DBCluster>"
        );
        let result = format!("<DBClusters>{cluster}</DBClusters>{marker}");
        let result = format!("<DescribeDBClustersResult>{result}</DescribeDBClustersResult>");
        let body = format!("<DescribeDBClustersResponse>{result}</DescribeDBClustersResponse>");
        Action::Answer(200, body)
    };
    proxy.decide(move |request| {
        match (
            request.contains("Action=DescribeDBClusters"),
            request.contains("Marker=behind-1"),
        ) {
            (true, false) => page("1", "<Marker>behind-1</Marker>"),
            (true, true) => page("2", ""),
            (false, _) => Action::Forward,
        }
    });
    let events = subscriber
        .run("Report", tagged(&world, None), json!({}))
        .await;
    assert_eq!(reasons(&events), [("1", NO_SECRET), ("2", NO_SECRET)]);
}

#[tokio::test]
async fn a_permission_that_lacks_is_named() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let proxy = HttpProxy::start().await;
    let _worker = worker_behind(&proxy, &world, &subscriber);
    let bare = Rds(&world).instance_without_secret("bare", "a").await;
    let what = format!("instances {}=*", world.name);
    let reason = |call: &str| {
        format!(
            "the worker's task role may not list instances and clusters ({call}: AccessDenied). \
             Allow rds:DescribeDBInstances and rds:DescribeDBClusters."
        )
    };
    proxy.decide(|_| refusal());
    let events = subscriber
        .run("Report", tagged(&world, None), json!({}))
        .await;
    let all = reason("DescribeDBInstances");
    assert_eq!(reasons(&events), [(what.as_str(), all.as_str())]);

    // What could be listed is worked on.
    proxy.decide(
        |request| match request.contains("Action=DescribeDBClusters") {
            true => refusal(),
            false => Action::Forward,
        },
    );
    let events = subscriber
        .run("Report", tagged(&world, None), json!({}))
        .await;
    let clusters = reason("DescribeDBClusters");
    let mut both = [
        (bare.as_str(), NO_SECRET),
        (what.as_str(), clusters.as_str()),
    ];
    both.sort_unstable();
    assert_eq!(reasons(&events), both);
}

#[tokio::test]
async fn a_tag_that_nothing_has_is_reported() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let events = subscriber
        .run("Report", tagged(&world, Some("a")), json!({}))
        .await;
    let what = format!("instances {}=a", world.name);
    assert_eq!(reasons(&events), [(what.as_str(), NONE)]);
}
