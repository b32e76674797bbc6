//! A request is carried out only if CloudFormation reports its operation as under way. Without an answer of CloudFormation
//! there is no connection to the database, so that the role's privileges do not matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use super::master::{RANKS, world_of};
use crate::support::{Action, HttpProxy, Worker, World};

/// What CloudFormation contradicts is not waited for.
const VERIFYING: [(&str, &str); 3] = [
    ("WORKER_VERIFY_STACKS", "enforce"),
    ("WORKER_ALLOW_DROP_CASCADE", "true"),
    ("WORKER_MAX_RECEIVES", "1"),
];

#[tokio::test]
async fn a_forged_delete_of_another_stack_drops_nothing() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let _worker = Worker::start(&world, &VERIFYING);
        let victim = world.stack("victim");
        let mut properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
        let created = victim.create(&properties, &[]).await;
        assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
        let table = "CREATE TABLE shop (item hstore)";
        world.database.execute(table).await;

        properties["DeletionBehavior"] = json!("DropCascade");
        let id = victim.id().await;
        let mut forged = world.request_of(&id, "Extensions", properties).await;
        forged.message["RequestType"] = json!("Delete");
        forged.message["PhysicalResourceId"] = json!(created.outputs["Id"]);
        world.publish(&forged).await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains("WORKER_VERIFY_STACKS"), "{reason}");
        assert!(reason.contains("CREATE_COMPLETE"), "{reason}");
        assert_eq!(world.answer_now(&forged).await, None);
        assert!(world.database.extensions().await.contains_key("hstore"));
        let columns = "SELECT count(*)::text FROM pg_attribute WHERE attrelid = 'shop'::regclass AND attname = 'item'";
        assert_eq!(world.database.text(columns).await, "1");
        assert_eq!(victim.delete().await, "DELETE_COMPLETE");
    }
}

#[tokio::test]
async fn a_forged_create_of_a_stack_that_is_not_there_creates_nothing() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let _worker = Worker::start(&world, &VERIFYING);
        let forged = world
            .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
            .await;
        world.publish(&forged).await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains("which the stack does not have"), "{reason}");
        assert!(world.database.extensions().await.is_empty());
    }
}

#[tokio::test]
async fn a_create_that_is_replayed_after_its_end_changes_nothing() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let worker = Worker::start(&world, &VERIFYING);
        let stack = world.stack("app");
        let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
        stack.create(&properties, &[]).await;
        world.database.execute("DROP EXTENSION hstore").await;
        let id = stack.id().await;
        let replayed = world.request_of(&id, "Extensions", properties).await;
        world.publish(&replayed).await;
        worker
            .logged("the operation of this request has ended")
            .await;
        assert!(world.database.extensions().await.is_empty());
    }
}

// Takes up to 20 s: a message that was returned is delivered again after up to 15 s.
#[tokio::test]
async fn a_request_comes_again_where_cloudformation_is_throttled() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let looks = Arc::new(AtomicUsize::new(0));
    proxy.decide({
        let looks = Arc::clone(&looks);
        move |request| {
            // As often as the SDK tries one call.
            if request.contains("Action=DescribeStackResource") && looks.fetch_add(1, SeqCst) < 3 {
                let body = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>\
                            <Message>Rate exceeded</Message></Error></ErrorResponse>";
                return Action::Answer(400, body.to_owned());
            }
            Action::Forward
        }
    });
    let endpoint = proxy.endpoint();
    let settings = [
        ("WORKER_VERIFY_STACKS", "enforce"),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", endpoint.as_str()),
    ];
    let worker = Worker::start(&world, &settings);
    let stack = world.stack("app");
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    stack.submit_create(&properties, &[]).await;
    worker.logged("the request could not be verified").await;
    assert!(world.database.extensions().await.is_empty());
    assert_eq!(stack.finish().await.status, "CREATE_COMPLETE");
    assert!(looks.load(SeqCst) > 3);
}

#[tokio::test]
async fn a_stack_of_an_account_whose_role_cannot_be_assumed_is_refused() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    proxy.decide(|request| {
        if request.contains("Action=AssumeRole") {
            let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                        <Message>not authorized</Message></Error></ErrorResponse>";
            return Action::Answer(403, body.to_owned());
        }
        Action::Forward
    });
    let endpoint = proxy.endpoint();
    let settings = [
        ("WORKER_VERIFY_STACKS", "enforce"),
        ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
    ];
    let _worker = Worker::start(&world, &settings);
    let theirs = format!(
        "arn:aws:cloudformation:us-east-1:111111111111:stack/{}/1",
        world.name
    );
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    let request = world.request_of(&theirs, "Extensions", properties).await;
    world.publish(&request).await;
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "FAILED");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("arn:aws:iam::111111111111:role/extension-worker-verify"),
        "{reason}"
    );
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn a_stack_of_another_account_is_verified_with_a_role_there() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let endpoint = proxy.endpoint();
    let settings = [
        ("WORKER_VERIFY_STACKS", "enforce"),
        ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
    ];
    let _worker = Worker::start(&world, &settings);
    let stack = world.stack_of_another_account("theirs");
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    // The bucket of responses is the first account's, as those of the other tests are.
    world.create_request(properties.clone()).await;
    let created = stack.create(&properties, &["Changes"]).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert!(stack.id().await.contains(":111111111111:stack/"));
    let assumed = proxy.count("role%2Fextension-worker-verify");
    assert!(assumed > 0);
    assert!(world.database.extensions().await.contains_key("hstore"));

    // The role shows that the operation is over.
    let id = stack.id().await;
    let forged = json!({"DBSecret": world.secret, "Extensions": ["citext"]});
    let forged = world.request_of(&id, "Extensions", forged).await;
    world.publish(&forged).await;
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
    // Its credentials serve for the next requests.
    assert_eq!(proxy.count("role%2Fextension-worker-verify"), assumed);
}
