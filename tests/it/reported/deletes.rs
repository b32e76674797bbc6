//! A Delete reports what it leaves.

use serde_json::json;

use crate::support::{Worker, World};

#[tokio::test]
async fn a_delete_that_leaves_what_is_in_use_says_so_in_its_success() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore", "cube"]});
    let created = world.create(properties.clone()).await;
    world
        .database
        .execute("CREATE TABLE shop (item hstore)")
        .await;
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let request = world.delete_request(properties, id).await;
    world.publish(&request).await;
    let deleted = world.answer(&request).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    let reason = deleted["Reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("kept hstore (in use: column item of table "),
        "{deleted}"
    );
    assert!(!reason.contains("cube"), "{deleted}");
    assert!(reason.contains(&world.database.name), "{deleted}");
    assert!(world.database.extensions().await.keys().eq(["hstore"]));
}
