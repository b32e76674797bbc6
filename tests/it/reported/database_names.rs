//! Databases whose names or contents are not UTF-8.

use serde_json::json;

use crate::support::{Database, Mode, PrivateServer, Worker, World, connect};

#[tokio::test]
async fn a_database_whose_name_is_not_utf8_is_skipped_and_named() {
    let world = World::new().await;
    let server = PrivateServer::start(&world, Mode::Primary).await;
    for sql in [
        "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "CREATE DATABASE utf ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "CREATE DATABASE cafe ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "CREATE DATABASE odd ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    ] {
        server.execute(sql).await;
    }
    // In a database without an encoding a text is any bytes: one name is LATIN1's café, and one is UTF-8's thé.
    let bytes = server.connect_to("bytes").await.unwrap();
    bytes
        .batch_execute(
            "UPDATE pg_database SET datname = 'caf' || chr(233) WHERE datname = 'cafe';
             UPDATE pg_database SET datname = 'th' || chr(195) || chr(169) WHERE datname = 'odd'",
        )
        .await
        .unwrap();
    let _worker = Worker::start(&world, &[]);
    for asked in ["utf", "latin", "bytes"] {
        let secret = world
            .secret_with(&json!({
                "host": "127.0.0.1", "port": server.port, "username": "postgres", "dbname": asked,
            }))
            .await;
        let answer = world
            .create(json!({"DBSecret": secret, "Databases": "*", "Extensions": ["hstore"]}))
            .await;
        assert_eq!(answer["Status"], "SUCCESS", "{asked}: {answer}");
        let changes = answer["Data"]["Changes"].as_str().unwrap();
        assert!(
            changes.contains("skipped database \"caf\\xe9\" (its name is not UTF-8"),
            "{asked}: {changes}"
        );
        let databases: Vec<&str> = answer["Data"]["Databases"]
            .as_str()
            .unwrap()
            .split(',')
            .collect();
        assert_eq!(databases.len(), 5, "{databases:?}");
        assert!(databases.contains(&"thé"), "{databases:?}");
    }
    assert!(server.extensions("thé").await.contains("hstore"));
}

#[tokio::test]
async fn what_is_not_utf8_in_a_database_is_no_lost_connection() {
    let world = World::new().await;
    let server = PrivateServer::start(&world, Mode::Primary).await;
    server
        .execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .await;
    let bytes = server.connect_to("bytes").await.unwrap();
    bytes
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('CREATE SCHEMA %I', 'caf' || chr(233)); \
             EXECUTE format('CREATE EXTENSION hstore SCHEMA %I', 'caf' || chr(233)); END $$",
        )
        .await
        .unwrap();
    let secret = world
        .secret_with(&json!({
            "host": "127.0.0.1", "port": server.port, "username": "postgres", "dbname": "bytes",
        }))
        .await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": secret, "Extensions": ["cube"]}))
        .await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.starts_with("127.0.0.1/bytes: invalid byte sequence for encoding \"UTF8\""),
        "{reason}"
    );
}

#[tokio::test]
async fn a_ledger_keeps_what_the_encoding_of_its_database_lacks() {
    let world = World::new().await;
    let (home, other) = (
        format!("{}_latin", world.name),
        format!("{}_données_日本", world.name),
    );
    let latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let admin = connect("postgres").await;
    for sql in [
        format!("CREATE DATABASE {home} {latin}"),
        format!("CREATE DATABASE \"{other}\""),
    ] {
        admin.batch_execute(&sql).await.unwrap();
    }
    let _worker = Worker::start(&world, &[]);
    let properties =
        json!({"DBSecret": world.secret, "Databases": [home, other], "Extensions": ["hstore"]});
    let request = world.create_request(properties.clone()).await;
    world.publish(&request).await;
    let created = world.answer(&request).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(created["Data"]["Databases"], format!("{home},{other}"));
    // What was kept is what was answered.
    world.delete_answer(&request).await;
    world.publish(&request).await;
    assert_eq!(world.answer(&request).await, created);

    // A failure is kept there too.
    let extensions = json!(["hstore", "pas_là_日本"]);
    let mut update = world.create_request(properties.clone()).await;
    update.message["RequestType"] = json!("Update");
    update.message["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    update.message["OldResourceProperties"] = update.message["ResourceProperties"].clone();
    update.message["ResourceProperties"]["Extensions"] = extensions;
    world.publish(&update).await;
    let failed = world.answer(&update).await;
    let reason = failed["Reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("has a character that the encoding of the database lacks"),
        "{failed}"
    );
    world.delete_answer(&update).await;
    world.publish(&update).await;
    assert_eq!(world.answer(&update).await, failed);
    let kept = "SELECT count(*)::text FROM extension_worker.ledger WHERE data ->> 'response' LIKE '%FAILED%'";
    let home = Database { name: home };
    assert_eq!(home.text(kept).await, "1");

    let id = created["PhysicalResourceId"].as_str().unwrap();
    let delete = world.delete_request(properties, id).await;
    world.publish(&delete).await;
    let deleted = world.answer(&delete).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(home.extensions().await.is_empty());
}
