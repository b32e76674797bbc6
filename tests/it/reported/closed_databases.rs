//! Databases that exist and accept no connections, which no retry can change.

use serde_json::{Value, json};

use crate::support::{Worker, World, connect};

/// Ends what rests in the pool, and lets no new session in.
async fn close(world: &World, how: &str) {
    let name = &world.database.name;
    let admin = connect("postgres").await;
    admin.batch_execute(&how.replace("{}", name)).await.unwrap();
    admin
        .batch_execute(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await
        .unwrap();
}

const CLOSED: &str = "ALTER DATABASE \"{}\" ALLOW_CONNECTIONS false";
/// What a DROP DATABASE leaves that was interrupted.
const INVALID: &str = "UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{}'";

fn reason(answer: &Value) -> &str {
    answer["Reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_database_that_takes_no_connections_is_refused_at_once() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    for (how, words) in [
        (
            CLOSED,
            "is not currently accepting connections. Allow connections (ALTER DATABASE",
        ),
        (INVALID, "cannot connect to invalid database"),
    ] {
        close(&world, how).await;
        let answer = world.create(properties.clone()).await;
        assert_eq!(answer["Status"], "FAILED", "{answer}");
        assert!(reason(&answer).contains(words), "{answer}");
        assert!(reason(&answer).contains(&world.database.name), "{answer}");
        assert!(reason(&answer).ends_with("[55000]"), "{answer}");
    }
    let template = world
        .create(json!({"DBSecret": world.secret, "DBName": "template0", "Extensions": ["hstore"]}))
        .await;
    assert!(
        reason(&template).contains("/template0: database template0 is not managed"),
        "{template}"
    );
}

#[tokio::test]
async fn a_delete_leaves_a_database_that_takes_no_connections_unless_it_is_to_fail() {
    for how in [CLOSED, INVALID] {
        let world = World::new().await;
        let _worker = Worker::start(&world, &[]);
        let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
        let created = world.create(properties.clone()).await;
        assert_eq!(created["Status"], "SUCCESS", "{created}");
        let id = created["PhysicalResourceId"].as_str().unwrap();
        close(&world, how).await;

        let mut strict = properties.clone();
        strict["OnUnreachableDelete"] = json!("Fail");
        let request = world.delete_request(strict, id).await;
        world.publish(&request).await;
        let refused = world.answer(&request).await;
        assert_eq!(refused["Status"], "FAILED", "{refused}");
        assert!(reason(&refused).ends_with("[55000]"), "{refused}");

        let request = world.delete_request(properties, id).await;
        world.publish(&request).await;
        let deleted = world.answer(&request).await;
        assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
        assert!(reason(&deleted).contains("[55000]"), "{deleted}");
    }
}

#[tokio::test]
async fn a_delete_of_several_databases_goes_on_behind_one_that_takes_no_connections() {
    let world = World::new().await;
    let other = crate::support::Database::create(&format!("{}_b", world.name)).await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({
        "DBSecret": world.secret,
        "Databases": [world.database.name, other.name],
        "Extensions": ["hstore"],
    });
    let created = world.create(properties.clone()).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    close(&world, CLOSED).await;
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let request = world.delete_request(properties, id).await;
    world.publish(&request).await;
    let deleted = world.answer(&request).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(other.extensions().await.is_empty());
}
