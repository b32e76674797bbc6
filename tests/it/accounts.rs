//! Secrets of another account, which a stack names by their ARN.

use serde_json::json;

use crate::support::{Worker, World};

#[tokio::test]
async fn a_secret_of_another_account_is_read_by_its_arn() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let arn = world.secret_of_another_account(Some("alias/shared")).await;
    let answer = world
        .create(json!({"DBSecret": arn, "Extensions": ["hstore"]}))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert!(world.database.extensions().await.contains_key("hstore"));
}

#[tokio::test]
async fn a_secret_of_another_account_with_the_default_key_is_reported_as_out_of_reach() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let arn = world.secret_of_another_account(None).await;
    let answer = world
        .create(json!({"DBSecret": arn, "Extensions": ["hstore"]}))
        .await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains(&arn), "{reason}");
    assert!(
        reason.contains("from a different AWS account if you encrypt the secret with the default KMS service key"),
        "{reason}"
    );
    assert!(world.database.extensions().await.is_empty());
}
