//! Blue/Green deployments of RDS, whose replication a change of extensions would end.

use serde_json::{Value, json};

use crate::support::{
    Action, HttpProxy, Mode, PrivateServer, Rds, ResultsSubscriber, Worker, World,
};

/// A private server, its secret, and the instance that it is.
struct Scene {
    server: PrivateServer,
    secret: String,
    instance: String,
}

impl Scene {
    async fn new(world: &World) -> Self {
        let server = PrivateServer::start(world, Mode::Primary).await;
        let place = json!({"host": "127.0.0.1", "port": server.port, "dbname": "postgres"});
        let instance = Rds(world)
            .instance_with("blue", "a", |wanted| {
                let wanted = wanted.engine_version("15.4").port(server.port.into());
                wanted.master_user_password("12345678")
            })
            .await;
        Self {
            secret: world.secret_with(&place).await,
            instance,
            server,
        }
    }

    fn wants(&self, extensions: Value) -> Value {
        json!({"DBSecret": self.secret, "Extensions": extensions})
    }

    /// What is there that was not from the beginning.
    async fn made(&self) -> String {
        let made = "SELECT concat_ws(',', (SELECT string_agg(extname, ',') FROM pg_extension WHERE extname <> 'plpgsql'),
                                     to_regnamespace('extension_worker')::text)";
        self.server.text(made).await
    }
}

/// A receive that is under way when its worker is killed may take a message along: the worker is ended in order, so that the
/// next has no listing of deployments from before.
async fn ended(mut worker: Worker) {
    worker.signal("TERM");
    assert!(worker.exit().await.success());
}

/// A worker that ends within a second.
fn start(world: &World, settings: &[(&str, &str)]) -> Worker {
    let soon = [("WORKER_RECEIVE_WAIT_SECONDS", "1")];
    Worker::start(world, &[&soon, settings].concat())
}

fn reason(answer: &Value) -> &str {
    answer["Reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_request_is_refused_on_the_source_until_the_deployment_is_gone() {
    let world = World::new().await;
    let scene = Scene::new(&world).await;
    let deployment = Rds(&world).blue_green(&scene.instance, "17.4").await;

    let worker = start(&world, &[]);
    let refused = world.create(scene.wants(json!(["hstore"]))).await;
    assert_eq!(refused["Status"], "FAILED", "{refused}");
    let part = format!("the source of Blue/Green deployment {deployment} (AVAILABLE)");
    assert!(reason(&refused).contains(&part), "{refused}");
    assert!(reason(&refused).contains("switched over or deleted"));
    // Not even the ledger, whose creation is a change, too.
    assert_eq!(scene.made().await, "");
    ended(worker).await;

    // What the operator allows is done, and is said.
    let worker = start(&world, &[("WORKER_BLUE_GREEN_CHECK", "warn")]);
    let done = world.create(scene.wants(json!(["citext"]))).await;
    assert_eq!(done["Status"], "SUCCESS", "{done}");
    let changes = done["Data"]["Changes"].as_str().unwrap();
    assert!(
        changes.contains(&format!("warning: the server is {part}")),
        "{changes}"
    );
    ended(worker).await;

    Rds(&world).delete_blue_green(&deployment).await;
    let _worker = Worker::start(&world, &[]);
    let done = world.create(scene.wants(json!(["citext", "hstore"]))).await;
    assert_eq!(done["Status"], "SUCCESS", "{done}");
    assert!(!done["Data"]["Changes"].as_str().unwrap().contains("Blue"));
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_answered_on_the_source() {
    let world = World::new().await;
    let scene = Scene::new(&world).await;
    let worker = start(&world, &[]);
    let done = world.create(scene.wants(json!(["hstore"]))).await;
    assert_eq!(done["Status"], "SUCCESS", "{done}");
    ended(worker).await;
    Rds(&world).blue_green(&scene.instance, "17.4").await;
    let _worker = Worker::start(&world, &[]);
    let done = world.create(scene.wants(json!(["hstore"]))).await;
    assert_eq!(done["Status"], "SUCCESS", "{done}");
}

#[tokio::test]
async fn a_repair_of_the_source_only_reports() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let results = [("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str())];
    let scene = Scene::new(&world).await;
    let worker = start(&world, &results);
    let done = world.create(scene.wants(json!(["hstore"]))).await;
    assert_eq!(done["Status"], "SUCCESS", "{done}");
    ended(worker).await;
    scene.server.execute("DROP EXTENSION hstore").await;
    let deployment = Rds(&world).blue_green(&scene.instance, "17.4").await;

    let _worker = Worker::start(&world, &results);
    let targets = json!([{"Secret": scene.secret}]);
    let events = subscriber.run("Repair", targets, json!({})).await;
    let reported = events.result_of("postgres");
    assert_eq!(
        (&reported["State"], &reported["Mode"]),
        (&json!("Drifted"), &json!("Report")),
        "{reported}"
    );
    let expected = format!(
        "the server is the source of Blue/Green deployment {deployment} (AVAILABLE): nothing is repaired"
    );
    assert!(reason_of(reported).contains(&expected), "{reported}");
    assert_eq!(scene.made().await, "extension_worker");
}

fn reason_of(result: &Value) -> &str {
    result["Reason"].as_str().unwrap()
}

/// What RDS answers, of one deployment between two instances of local ports.
fn answers(blue: u16, green: u16) -> impl Fn(&str) -> Action + Send + 'static {
    let instance = |id: &str, version: &str, port: u16| {
        format!(
            "<DBInstance><DBInstanceIdentifier>{id}</DBInstanceIdentifier><DBInstanceArn>arn:{id}</DBInstanceArn>\
             <Engine>postgres</Engine><EngineVersion>{version}</EngineVersion>\
             <Endpoint><Address>127.0.0.1</Address><Port>{port}</Port></Endpoint></DBInstance>"
        )
    };
    let both = instance("blue", "15.4", blue) + &instance("green", "17.4", green);
    let deployment = "<member><BlueGreenDeploymentIdentifier>bgd-1</BlueGreenDeploymentIdentifier>\
                      <Source>arn:blue</Source><Target>arn:green</Target><Status>AVAILABLE</Status></member>";
    let result = |call: &str, list: &str, found: &str| {
        let result = format!("<{call}Result><{list}>{found}</{list}></{call}Result>");
        Action::Answer(200, format!("<{call}Response>{result}</{call}Response>"))
    };
    move |request| {
        if request.contains("Action=DescribeBlueGreenDeployments") {
            result(
                "DescribeBlueGreenDeployments",
                "BlueGreenDeployments",
                deployment,
            )
        } else if request.contains("Action=DescribeDBInstances") {
            result("DescribeDBInstances", "DBInstances", &both)
        } else {
            result("DescribeDBClusters", "DBClusters", "")
        }
    }
}

#[tokio::test]
async fn green_is_named_as_what_it_is_and_not_as_a_replica() {
    let world = World::new().await;
    let scene = Scene::new(&world).await;
    // As green is: it takes no changes, and is in no recovery.
    scene
        .server
        .execute("ALTER SYSTEM SET default_transaction_read_only = on")
        .await;
    scene.server.execute("SELECT pg_reload_conf()").await;
    let proxy = HttpProxy::start().await;
    proxy.decide(answers(1, scene.server.port));
    let _worker = Worker::start(&world, &[("AWS_ENDPOINT_URL_RDS", &proxy.endpoint())]);
    let refused = world.create(scene.wants(json!(["hstore"]))).await;
    let expected = "the green side of Blue/Green deployment bgd-1 (AVAILABLE)";
    assert!(reason(&refused).contains(expected), "{refused}");
    assert!(!reason(&refused).contains("replica"), "{refused}");
}

#[tokio::test]
async fn without_the_permission_to_ask_requests_are_carried_out() {
    let world = World::new().await;
    let scene = Scene::new(&world).await;
    let proxy = HttpProxy::start().await;
    let error = "<Type>Sender</Type><Code>AccessDenied</Code><Message>on purpose</Message>";
    let body = format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>");
    proxy.decide(move |_| Action::Answer(403, body.clone()));
    let worker = Worker::start(&world, &[("AWS_ENDPOINT_URL_RDS", &proxy.endpoint())]);
    for extensions in [json!(["hstore"]), json!(["hstore", "citext"])] {
        let done = world.create(scene.wants(extensions)).await;
        assert_eq!(done["Status"], "SUCCESS", "{done}");
    }
    let log = worker.log();
    let said = log.matches("may not ask RDS for Blue/Green").count();
    assert_eq!(said, 1, "{log}");
    // Two changes within a minute have it listed once.
    assert_eq!(proxy.count("DescribeBlueGreenDeployments"), 1);
}
