//! Several databases of a server, a server in recovery, another server.

use serde_json::json;

use crate::support::{Database, Mode, PrivateServer, Worker, World};

use super::{extensions, only};

#[tokio::test]
async fn several_databases_are_each_as_declared_and_no_other_is_touched() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let mut names = Vec::new();
    let mut databases = Vec::new();
    for suffix in ["b", "c", "untouched"] {
        databases.push(Database::create(&format!("{}_{suffix}", world.name)).await);
    }
    names.push(world.database.name.clone());
    names.extend(
        databases
            .iter()
            .take(2)
            .map(|database| database.name.clone()),
    );
    let stack = world.stack("app");
    let mut properties = extensions(&world, json!(["hstore"]));
    properties["Databases"] = json!(names);
    let created = stack
        .create(&properties, &["Databases", "hstore", "Changes"])
        .await;
    assert_eq!(created.outputs["Databases"], names.join(","), "{created:?}");
    assert_eq!(created.outputs["hstore"], "1.8");
    let [b, c, untouched] = databases.as_slice() else {
        unreachable!()
    };
    for database in [&world.database, b, c] {
        assert_eq!(database.extensions().await, only("hstore", "1.8"));
    }
    assert!(untouched.extensions().await.is_empty());

    // What an update no longer names is released.
    properties["Databases"] = json!([b.name]);
    assert_eq!(
        stack.update(&properties, &[]).await.status,
        "UPDATE_COMPLETE"
    );
    assert!(world.database.extensions().await.is_empty() && c.extensions().await.is_empty());
    assert_eq!(b.extensions().await, only("hstore", "1.8"));
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(b.extensions().await.is_empty());
}

#[tokio::test]
async fn a_failure_in_one_database_reports_the_changes_in_the_others_and_the_rollback_undoes_them()
{
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let broken = Database::create(&format!("{}_broken", world.name)).await;
    broken.execute("CREATE TYPE hstore AS ENUM ()").await;
    let mut properties = extensions(&world, json!(["hstore"]));
    properties["Databases"] = json!([world.database.name, broken.name]);
    let request = world.create_request(properties.clone()).await;
    world.publish(&request).await;
    let answer = world.answer(&request).await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("type \"hstore\" already exists") && reason.contains("[42710]"),
        "{reason}"
    );
    assert!(
        reason.contains(&format!(
            "Done before: {}: created hstore 1.8.",
            world.database.name
        )),
        "{reason}"
    );
    assert!(!world.database.extensions().await.is_empty());

    let rollback = world
        .delete_request(properties, answer["PhysicalResourceId"].as_str().unwrap())
        .await;
    world.publish(&rollback).await;
    assert_eq!(world.answer(&rollback).await["Status"], "SUCCESS");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn a_star_stands_for_every_database_of_the_server() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    server.execute("CREATE DATABASE one").await;
    server
        .execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        .await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": ""}))
        .await;
    let stack = world.stack("app");
    let properties = json!({"DBSecret": secret, "Databases": "*", "Extensions": ["hstore"]});
    let created = stack.create(&properties, &["Databases", "hstore"]).await;
    assert_eq!(created.outputs["Databases"], "postgres,one", "{created:?}");
    assert_eq!(created.outputs["hstore"], "1.8");
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
}

#[tokio::test]
async fn a_replica_is_recognised() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = PrivateServer::start(&world, Mode::Replica).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let answer = world
        .create(json!({"DBSecret": secret, "Extensions": ["hstore"]}))
        .await;
    let expected = "127.0.0.1/postgres: the server is a replica and takes no changes. Name the writer's endpoint. [25006]";
    assert_eq!(answer["Reason"], expected, "{answer}");
    // Nothing can have been created there.
    let id = answer["PhysicalResourceId"].as_str().unwrap();
    let properties = json!({"DBSecret": secret, "Extensions": ["hstore"]});
    let delete = world.delete_request(properties, id).await;
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");
}

#[tokio::test]
async fn a_move_to_another_server_that_fails_is_undone_there() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    server.execute("CREATE DATABASE whole").await;
    server.execute("CREATE TYPE hstore AS ENUM ()").await;
    let there = world.secret_with(&json!({"port": server.port})).await;
    let stack = world.stack("app");
    stack
        .create(&extensions(&world, json!(["hstore"])), &[])
        .await;
    let moved =
        json!({"DBSecret": there, "Databases": ["whole", "postgres"], "Extensions": ["hstore"]});
    let failed = stack.update(&moved, &[]).await;
    assert_eq!(failed.status, "UPDATE_FAILED");
    assert!(
        failed.reason.contains("Done before: whole: created hstore"),
        "{failed:?}"
    );
    assert!(!failed.reason.contains("rollback failed"), "{failed:?}");
    assert_eq!(server.extensions("whole").await, "plpgsql");
    assert_eq!(world.database.extensions().await, only("hstore", "1.8"));
}
