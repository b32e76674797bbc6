//! What RDS publishes of its instances, through the rule of `templates/rds-events.yaml` to the topic of re-syncs.

use std::time::Instant;

use serde_json::{Value, json};

use super::{extension, worker};
use crate::support::{
    Action, Fixture, HttpProxy, Mode, PrivateServer, Rds, ResultsSubscriber, ResyncEvents, Worker,
    World, variable,
};

const TEMPLATE: &str = include_str!("../../../templates/rds-events.yaml");
/// What an event of an instance is called.
const OF_INSTANCE: &str = "RDS DB Instance Event";

/// Deploys the rule. Of the worker's stack it imports the topic alone, which is the world's here.
async fn deploy(world: &World, mode: &str) {
    let name = format!("{}-worker", world.name);
    let worker = json!({
        "Resources": {"Results": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"Topic": {"Value": world.topic_arn, "Export": {"Name": format!("{name}-ResyncTopicArn")}}},
    });
    let stack = world.template_stack("worker");
    let made = stack.create(&worker.to_string(), &[]).await;
    assert_eq!(made.status, "CREATE_COMPLETE", "{made:?}");
    let parameters = [("WorkerStackName", name.as_str()), ("Mode", mode)];
    let made = world
        .template_stack("rds-events")
        .create(TEMPLATE, &parameters)
        .await;
    assert_eq!(made.status, "CREATE_COMPLETE", "{made:?}");
}

/// Publishes an event as RDS does; returns EventBridge's id of it.
async fn publish(detail_type: &str, kind: &str, id: &str, event_id: &str) -> String {
    let arn = format!("arn:aws:rds:us-east-1:000000000000:{kind}:{id}");
    let detail = json!({
        "EventCategories": ["maintenance"], "SourceType": "DB_INSTANCE", "SourceArn": arn,
        "Date": "2026-11-27T03:00:00.000Z", "Message": "as RDS says", "SourceIdentifier": id, "EventID": event_id,
    });
    let entry = json!({
        "Source": "aws.rds", "DetailType": detail_type, "Resources": [arn], "Detail": detail.to_string(),
    });
    let answer = reqwest::Client::new()
        .post(variable("AWS_ENDPOINT_URL"))
        .header("X-Amz-Target", "AWSEvents.PutEvents")
        .header("Content-Type", "application/x-amz-json-1.1")
        .header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=test/20261127/us-east-1/events/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(json!({"Entries": [entry]}).to_string())
        .send()
        .await
        .unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let id = answer["Entries"][0]["EventId"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A private server that is an instance, with a database in which a stack declares the extension's default version.
async fn instance(world: &World, name: &str, extension: &Fixture) -> (PrivateServer, String) {
    let server = PrivateServer::start(world, Mode::Primary).await;
    server.execute("CREATE DATABASE app").await;
    let instance = Rds(world).instance(name, "a", server.port).await;
    let declared = json!({
        "DBSecret": Rds(world).secret_of(&instance).await, "DBHost": "127.0.0.1", "DBPort": server.port,
        "DBName": "app", "Extensions": [{"Name": extension.name, "Version": "default"}],
    });
    let answer = world.create(declared).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    (server, instance)
}

/// A database's result in the re-sync of an event. Other tests publish on the same bus: their events reach this rule, too.
async fn result(
    subscriber: &ResultsSubscriber<'_>,
    event: &str,
    instance: &str,
    database: &str,
) -> Value {
    let key = (format!("rds:{instance}"), database.to_owned());
    let id = format!("rds-{event}");
    let mut events = ResyncEvents::default();
    let is_there = |events: &ResyncEvents| {
        let result = events.results.get(&key);
        result.is_some_and(|result| result["ResyncId"] == id)
    };
    subscriber.receive_until(&mut events, is_there).await;
    events.results.remove(&key).unwrap()
}

fn fixture(world: &World) -> Fixture {
    let scripts = [("1", "SELECT 1;"), ("1--2", "SELECT 2;")];
    Fixture::install(
        &format!("{}_x", world.name),
        "default_version = '1'\n",
        &scripts,
    )
}

#[tokio::test]
async fn an_engine_that_is_upgraded_has_its_databases_follow() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let follows = fixture(&world);
    let (server, instance) = instance(&world, "upgraded", &follows).await;
    deploy(&world, "Repair").await;

    follows.set_control("default_version = '2'\n");
    let client = server.connect_to("app").await.unwrap();
    let older =
        "UPDATE extension_worker.ledger SET data = data || '{\"server_version\": \"9.6.1\"}'";
    client.batch_execute(older).await.unwrap();
    // What does not concern the engine is none of the rule's.
    publish(OF_INSTANCE, "db", &instance, "RDS-EVENT-0001").await;
    let since = Instant::now();
    let event = publish(OF_INSTANCE, "db", &instance, "RDS-EVENT-0268").await;
    let repaired = result(&subscriber, &event, &instance, "app").await;
    eprintln!("from the event to the result: {:?}", since.elapsed());
    assert_eq!(repaired["State"], "Repaired", "{repaired}");
    assert_eq!(extension(&repaired, &follows.name)["Installed"], "2");
    assert_eq!(repaired["ServerVersionBefore"], "9.6.1");
    assert_ne!(repaired["ServerVersion"], "9.6.1");

    // RDS has several events of one upgrade.
    let event = publish(OF_INSTANCE, "db", &instance, "RDS-EVENT-0047").await;
    let calm = result(&subscriber, &event, &instance, "app").await;
    assert_eq!(calm["State"], "InSync", "{calm}");
    assert_eq!(calm["ServerVersionBefore"], Value::Null);
}

#[tokio::test]
async fn what_takes_no_changes_is_reported_and_is_no_failure() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    deploy(&world, "Report").await;
    let mysql = Rds(&world)
        .instance_with("mysql", "a", |wanted| wanted.engine("mysql"))
        .await;
    let event = publish(OF_INSTANCE, "db", &mysql, "RDS-EVENT-0047").await;
    let reported = result(&subscriber, &event, &mysql, "").await;
    assert_eq!(reported["Mode"], "Report");
    assert_eq!(
        (&reported["State"], &reported["Reason"]),
        (&json!("Unmanaged"), &json!("its engine is mysql."))
    );

    let gone = Rds(&world).id("gone");
    let event = publish(OF_INSTANCE, "db", &gone, "RDS-EVENT-0049").await;
    let lost = result(&subscriber, &event, &gone, "").await;
    assert_eq!(lost["State"], "Failed");
}

#[tokio::test]
async fn a_cluster_is_found_by_its_event_and_by_that_of_a_member() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    let cluster = Rds(&world).cluster("cluster", "a", server.port).await;
    let member = Rds(&world).id("cluster-member");
    for named in [
        json!({"Instance": format!("arn:aws:rds:us-east-1:000000000000:cluster:{cluster}")}),
        json!({"Instance": member}),
    ] {
        let events = subscriber.run("Report", json!([named]), json!({})).await;
        let key = format!("rds:{cluster}");
        assert_eq!(events.states(), [(key.as_str(), "postgres", "Unmanaged")]);
    }
    // The same identifier in another region is of something else.
    let elsewhere = format!("arn:aws:rds:eu-west-1:000000000000:cluster:{cluster}");
    let events = subscriber
        .run("Report", json!([{"Instance": elsewhere}]), json!({}))
        .await;
    let key = format!("rds:{cluster}");
    assert_eq!(events.states(), [(key.as_str(), "", "Failed")]);
}

/// It takes ten seconds: so long SQS holds the message back.
#[tokio::test]
async fn an_instance_that_is_being_upgraded_is_waited_for() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let proxy = HttpProxy::start().await;
    let settings = [
        ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        ("AWS_ENDPOINT_URL_RDS", &proxy.endpoint()),
    ];
    let _worker = Worker::start(&world, &settings);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    let instance = Rds(&world).instance("busy", "a", server.port).await;
    let busy = format!(
        "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>\
         <DBInstanceIdentifier>{instance}</DBInstanceIdentifier><Engine>postgres</Engine>\
         <DBInstanceStatus>upgrading</DBInstanceStatus></DBInstance></DBInstances></DescribeDBInstancesResult>\
         </DescribeDBInstancesResponse>"
    );
    let mut busy = Some(busy);
    proxy.decide(move |request| {
        let is_asked = request.contains("Action=DescribeDBInstances");
        match busy.take_if(|_| is_asked) {
            Some(answer) => Action::Answer(200, answer),
            None => Action::Forward,
        }
    });
    let events = subscriber
        .run("Report", json!([{"Instance": instance}]), json!({}))
        .await;
    let key = format!("rds:{instance}");
    assert_eq!(events.states(), [(key.as_str(), "postgres", "Unmanaged")]);
    assert!(proxy.count("Action=DescribeDBInstances") > 1);
}
