//! What the deletion of a stack does not drop.

use serde_json::json;

use crate::support::{Worker, World};

/// DropCascade is carried out.
const CASCADING: &[(&str, &str)] = &[("WORKER_ALLOW_DROP_CASCADE", "true")];

#[tokio::test]
async fn what_was_there_before_stays() {
    let world = World::new().await;
    world.database.execute("CREATE EXTENSION hstore").await;
    let _worker = Worker::start(&world, &[]);
    let stack = world.stack("app");
    let properties = json!({"DBSecret": world.secret, "DeletionBehavior": "Drop", "Extensions": ["hstore", "pgcrypto"]});
    assert_eq!(
        stack.create(&properties, &[]).await.status,
        "CREATE_COMPLETE"
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.keys().eq(["hstore"]));
}

#[tokio::test]
async fn what_another_stack_declares_stays_until_that_is_deleted_too() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let (first, second) = (world.stack("first"), world.stack("second"));
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    first.create(&properties, &[]).await;
    second.create(&properties, &[]).await;
    assert_eq!(first.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.keys().eq(["hstore"]));
    assert_eq!(second.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn what_is_in_use_stays_unless_declared_otherwise() {
    let world = World::new().await;
    let worker = Worker::start(&world, CASCADING);
    let stack = world.stack("app");
    stack
        .create(
            &json!({"DBSecret": world.secret, "Extensions": ["hstore"]}),
            &[],
        )
        .await;
    world
        .database
        .execute("CREATE TABLE shop (item hstore)")
        .await;
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.keys().eq(["hstore"]));

    // Left behind by one stack, it belongs to the next that declares it.
    let stack = world.stack("next");
    let mut properties =
        json!({"DBSecret": world.secret, "Extensions": ["hstore"], "DeletionBehavior": "Drop"});
    stack.create(&properties, &[]).await;
    assert_eq!(stack.delete().await, "DELETE_FAILED");
    worker
        .logged("column item of table shop depends on type hstore")
        .await;
    properties["DeletionBehavior"] = json!("DropCascade");
    stack.update(&properties, &[]).await;
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn retain_leaves_everything_and_forgets_it() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let stack = world.stack("app");
    stack.create(&json!({"DBSecret": world.secret, "Extensions": ["hstore"], "DeletionBehavior": "Retain"}), &[]).await;
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.keys().eq(["hstore"]));
    assert_eq!(
        world
            .database
            .text("SELECT count(*)::text FROM extension_worker.managed_extensions")
            .await,
        "0"
    );
}

#[tokio::test]
async fn what_another_stacks_extension_requires_stays_with_it() {
    let world = World::new().await;
    let _worker = Worker::start(&world, CASCADING);
    let (first, second) = (world.stack("first"), world.stack("second"));
    let cascade = json!({"DBSecret": world.secret, "Extensions": ["earthdistance"], "DeletionBehavior": "DropCascade"});
    first.create(&cascade, &[]).await;
    second
        .create(
            &json!({"DBSecret": world.secret, "Extensions": ["earthdistance"]}),
            &[],
        )
        .await;
    assert_eq!(first.delete().await, "DELETE_COMPLETE");
    assert!(
        world
            .database
            .extensions()
            .await
            .keys()
            .eq(["cube", "earthdistance"])
    );
    assert_eq!(second.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn what_was_declared_and_is_only_required_now_goes_at_the_end() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let stack = world.stack("app");
    stack
        .create(
            &json!({"DBSecret": world.secret, "Extensions": ["cube", "earthdistance"]}),
            &[],
        )
        .await;
    stack
        .update(
            &json!({"DBSecret": world.secret, "Extensions": ["earthdistance"]}),
            &[],
        )
        .await;
    assert!(
        world
            .database
            .extensions()
            .await
            .keys()
            .eq(["cube", "earthdistance"])
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn what_shall_be_absent_goes_in_the_right_order() {
    let world = World::new().await;
    world
        .database
        .execute("CREATE EXTENSION earthdistance CASCADE")
        .await;
    let _worker = Worker::start(&world, &[]);
    let version = world.database.default_version("earthdistance").await;
    let absent = |name: &str| json!({"Name": name, "Ensure": "absent"});
    let properties =
        json!({"DBSecret": world.secret, "Extensions": [absent("cube"), absent("EarthDistance")]});
    let created = world.stack("app").create(&properties, &["Changes"]).await;
    assert_eq!(
        created.outputs["Changes"],
        format!("dropped earthdistance {version}; dropped cube 1.5")
    );
}
