//! Bad input ends in a FAILED that names the field, or in the dead-letter queue; never in a hang, and never in SQL.

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
            "Extensions[0].Verion: unknown property. Known: AllowDowngrade, Cascade, CreateSchema, Ensure, Name, Schema, Version",
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
async fn secrets_that_cannot_be_used_are_named_and_not_quoted() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let no_json = format!("{}-text", world.name);
    world.create_secret(&no_json, "hunter2").await;
    let no_user = world.secret_with(&json!({"username": ""})).await;
    let mysql = world.secret_with(&json!({"engine": "mysql"})).await;
    let no_host = world.secret_with(&json!({"host": ""})).await;
    let no_database = world.secret_with(&json!({"dbname": ""})).await;
    for (secret, expected) in [
        (
            "no-such-secret",
            "DBSecret \"no-such-secret\": secret not found in us-east-1.".to_owned(),
        ),
        (
            &no_json,
            format!(
                "DBSecret \"{no_json}\": is not JSON; it must be an object with username and password."
            ),
        ),
        (
            &no_user,
            format!("DBSecret \"{no_user}\": has no field \"username\"."),
        ),
        (
            &mysql,
            format!("DBSecret \"{mysql}\": its engine is \"mysql\"; this worker serves postgres."),
        ),
        (
            &no_host,
            format!("DBHost: required, as secret \"{no_host}\" has no host."),
        ),
        (
            &no_database,
            format!("DBName: required, as secret \"{no_database}\" has no dbname."),
        ),
    ] {
        assert_eq!(
            reason(
                &world,
                json!({"DBSecret": secret, "Extensions": ["hstore"]})
            )
            .await,
            expected
        );
    }
}

#[tokio::test]
async fn servers_that_do_not_serve_are_named() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let wrong_password = world.secret_with(&json!({"password": "hunter2"})).await;
    let down = world.secret_with(&json!({"port": 1})).await;
    let no_database = world
        .secret_with(&json!({"dbname": "no_such_database"}))
        .await;
    let no_host = world
        .secret_with(&json!({"host": "no-such-host.invalid"}))
        .await;
    for (secret, expected) in [
        (wrong_password, "password authentication failed for user"),
        (
            down,
            "127.0.0.1:1 could not be reached. Does its security group",
        ),
        (
            no_database,
            "database \"no_such_database\" does not exist [3D000]",
        ),
        (no_host, "no-such-host.invalid"),
    ] {
        // A wrong password may be one that is being rotated, and a server that is down may come up: time decides.
        let printed = reason(
            &world,
            json!({"DBSecret": secret, "ServiceTimeout": "5", "Extensions": ["hstore"]}),
        )
        .await;
        assert!(printed.contains(expected), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
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
        ("{}".to_owned(), "ResponseURL: missing or not a text"),
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
async fn a_wrong_password_is_wrong_even_where_a_connection_is_open() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let right = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.publish(&right).await;
    assert_eq!(world.answer(&right).await["Status"], "SUCCESS");
    let wrong = world.secret_with(&json!({"password": "wrong"})).await;
    let printed = reason(
        &world,
        json!({"DBSecret": wrong, "ServiceTimeout": "3", "Extensions": ["pg_trgm"]}),
    )
    .await;
    assert!(
        printed.contains("password authentication failed"),
        "{printed}"
    );
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

#[tokio::test]
async fn settings_of_a_database_for_its_sessions_mislead_no_statement() {
    let world = World::new().await;
    let name = &world.database.name;
    let trap = format!(
        "CREATE FUNCTION public.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
         CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
         ALTER DATABASE {name} SET search_path = public, pg_catalog;
         ALTER DATABASE {name} SET default_transaction_isolation = 'serializable';
         ALTER DATABASE {name} SET default_transaction_read_only = on"
    );
    world.database.execute(&trap).await;
    let _worker = Worker::start(&world, &[]);
    let request = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.publish(&request).await;
    assert_eq!(
        world.answer(&request).await["Status"],
        "SUCCESS",
        "{:?}",
        world.answer(&request).await
    );
}

#[tokio::test]
async fn a_way_to_authenticate_that_does_not_fit_is_reported() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let no_password = format!("{}-iam", world.name);
    let credentials = json!({"username": "app", "host": "127.0.0.1", "dbname": "app"});
    world
        .create_secret(&no_password, &credentials.to_string())
        .await;
    let printed = reason(
        &world,
        json!({"DBSecret": no_password, "Extensions": ["hstore"]}),
    )
    .await;
    assert_eq!(
        printed,
        format!("DBSecret \"{no_password}\": has no field \"password\".")
    );
    let iam = json!({"DBSecret": no_password, "Authentication": "IAM", "Extensions": ["hstore"]});
    let printed = reason(&world, iam).await;
    assert!(
        printed.contains("127.0.0.1 is not a host of RDS"),
        "{printed}"
    );
    let printed = reason(
        &world,
        json!({"DBSecret": no_password, "Authentication": "Kerberos", "Extensions": []}),
    )
    .await;
    assert_eq!(printed, "Authentication: must be one of Password, IAM");
}
