//! Bad input ends in a FAILED that names the field, or in the dead-letter queue; never in a hang, and never in SQL.

mod servers;

use serde_json::{Value, json};

use crate::support::{Request, Worker, World, eventually, variable};

/// Publishes a Create with the properties; the Reason of its FAILED.
async fn reason(world: &World, properties: Value) -> String {
    reason_of(world, &world.create_request(properties).await).await
}

async fn reason_of(world: &World, request: &Request) -> String {
    world.publish(request).await;
    let answer = world.answer(request).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    assert_ne!(answer["PhysicalResourceId"], "");
    answer["Reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn wrong_properties_are_named() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let secret = &world.secret;
    for (properties, expected) in [
        (json!({"Extensions": ["hstore"]}), "DBSecret: required"),
        (
            json!({"DBSecret": secret}),
            "Extensions: required (or PluginsMap): no extension is declared",
        ),
        (
            json!({"DBSecret": secret, "Extensions": [{"Name": "hstore", "Verion": "1"}]}),
            "Extensions[0].Verion: unknown property. Known: AllowDowngrade, Cascade, CreateSchema, Ensure, Name, OnNoUpdatePath, Schema, Version",
        ),
        (
            json!({"DBSecret": secret, "Extensions": ["hstore", "HStore"]}),
            "Extensions[1]: \"HStore\" is declared twice, also at Extensions[0]",
        ),
        (
            json!({"DBSecret": secret, "Extensions": [{"Name": "hstore", "Schema": "nowhere"}]}),
            "schema nowhere does not exist",
        ),
    ] {
        let printed = reason(&world, properties).await;
        assert!(printed.contains(expected), "{printed}");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_answered() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    for (field, value, expected) in [
        (
            "RequestType",
            json!("Upsert"),
            "RequestType: \"Upsert\" is not one of Create, Update, Delete",
        ),
        (
            "ResourceType",
            json!("Custom::Other"),
            "ResourceType: \"Custom::Other\" is not served here; use Custom::PostgresExtensions",
        ),
        (
            "ResourceProperties",
            json!("none"),
            "ResourceProperties: must be an object",
        ),
    ] {
        let mut request = world.create_request(properties.clone()).await;
        request.message[field] = value;
        assert_eq!(reason_of(&world, &request).await, expected);
    }
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn extensions_and_versions_that_there_are_not_are_answered_with_those_that_there_are() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let host = variable("PGHOST");
    let place = format!("{host}/{}", world.database.name);
    let available = world.database.available_versions("pgcrypto").await;
    for (extension, expected) in [
        (
            json!("hstoer"),
            format!("Extension \"hstoer\" is not available on {place} (PostgreSQL "),
        ),
        (
            json!("hstoer"),
            "Did you mean \"hstore\"? [0A000]".to_owned(),
        ),
        (
            json!({"Name": "pgcrypto", "Version": "0"}),
            "version 0 cannot be installed".to_owned(),
        ),
        (
            json!({"Name": "pgcrypto", "Version": "2.*"}),
            format!("Available: {available}. Ask for one of these"),
        ),
        (
            json!({"Name": "earthdistance", "Cascade": "false"}),
            "requires cube, not installed".to_owned(),
        ),
    ] {
        let printed = reason(
            &world,
            json!({"DBSecret": world.secret, "Extensions": [extension]}),
        )
        .await;
        assert!(printed.contains(&expected), "{printed}");
    }
}

#[tokio::test]
async fn hostile_names_run_no_sql() {
    let world = World::new().await;
    world.database.execute("CREATE TABLE y ()").await;
    let _worker = Worker::start(&world, &[]);
    let hostile = "x\"; DROP TABLE y; --";
    for extension in [
        json!(hostile),
        json!("x\"; DROP TABLE y; "),
        json!("n".repeat(70)),
        json!({"Name": "hstore", "Version": "1'; DROP TABLE y; --"}),
        json!({"Name": "hstore", "Version": "1.8'; DROP TABLE y; "}),
        json!({"Name": "hstore", "Schema": hostile}),
    ] {
        reason(
            &world,
            json!({"DBSecret": world.secret, "Extensions": [extension]}),
        )
        .await;
    }
    let hostile_schema = json!({"Name": "hstore", "Schema": hostile, "CreateSchema": true});
    let request = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": [hostile_schema]}))
        .await;
    world.publish(&request).await;
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
    let schema = "SELECT nspname::text FROM pg_namespace JOIN pg_extension ON extnamespace = pg_namespace.oid WHERE extname = 'hstore'";
    assert_eq!(world.database.text(schema).await, hostile);
    assert_eq!(world.database.text("SELECT 'y'::regclass::text").await, "y");
}

#[tokio::test]
async fn what_cannot_be_answered_goes_to_the_dead_letter_queue() {
    let world = World::new().await;
    let settings = [
        ("WORKER_ACCOUNTS", "000000000000,123456789012"),
        ("WORKER_METRICS_SECONDS", "1"),
    ];
    let worker = Worker::start(&world, &settings);
    let request = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    let url = request.message["ResponseURL"].as_str().unwrap();
    let endpoint = variable("AWS_ENDPOINT_URL");
    let with = |field: &str, value: Value| {
        let mut message = request.message.clone();
        message[field] = value;
        message.to_string()
    };
    for (body, expected) in [
        ("not JSON".to_owned(), "the SNS Message is not JSON"),
        ("[]".to_owned(), "the message is not a JSON object"),
        ("{}".to_owned(), "ResponseURL: missing or not a string"),
        (
            with(
                "ResponseURL",
                json!(url.replace(&endpoint, "https://evil.example")),
            ),
            "ResponseURL names host \"evil.example\"",
        ),
        (
            with("ResponseURL", json!(url.replace("Extensions", "Other"))),
            "ResponseURL's path is not",
        ),
        (
            with(
                "StackId",
                json!("arn:aws:cloudformation:us-east-1:999999999999:stack/s/1"),
            ),
            "account 999999999999 is not one",
        ),
    ] {
        world.publish_text(&body).await;
        let (dead, reason) = world.dead_letter().await;
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains("X-Amz"), "{reason}");
        let envelope: Value = serde_json::from_str(&dead).unwrap();
        assert_eq!(envelope["Message"], body);
    }
    // A host is counted on its own: a new form of CloudFormation's would mean stacks that hang.
    eventually("the metric", async || {
        let output = worker.output();
        output.contains("\"RefusedResponseHosts\":1").then_some(())
    })
    .await;
    assert_eq!(world.answer_now(&request).await, None);
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn an_installed_extension_is_answered_with_the_versions_that_it_can_go_to() {
    let world = World::new().await;
    world
        .database
        .execute("CREATE EXTENSION pg_trgm VERSION '1.5'")
        .await;
    let _worker = Worker::start(&world, &[]);
    let unknown = json!({"Name": "pg_trgm", "Version": "7"});
    let printed = reason(
        &world,
        json!({"DBSecret": world.secret, "Extensions": [unknown]}),
    )
    .await;
    assert!(
        printed.contains("Available: 1.5, 1.6. Ask for one of these"),
        "{printed}"
    );
}
