//! One message, or one request, with two workers at once, or twice with one.

use serde_json::json;

use super::scene::{BRIEFLY, Scene};
use super::slow;
use crate::support::{Action, HttpProxy, Put, eventually};

const RECEIVE: &str = "AmazonSQS.ReceiveMessage";
const BEAT: &str = "AmazonSQS.ChangeMessageVisibilityBatch";
const LOST: &str = "the lease is lost: another worker may have the message";

// 6
#[tokio::test]
async fn a_request_that_two_workers_have_is_carried_out_by_one_and_answered_the_same_by_both() {
    let scene = Scene::new().await;
    let request = scene.create("hstore");
    let lock = scene.world.database.lock().await;
    // Each takes one message, and no more.
    let alone = [("WORKER_CONCURRENCY", "1")];
    let _workers = [scene.start(&alone), scene.start(&alone)];
    scene.send([&request, &request]).await;
    scene.waiting(2).await;
    drop(lock);
    scene.nothing_is_left().await;
    scene.answered(&request, 2).await;
    scene.is_over([&request]).await;
    assert_eq!(scene.world.database.ddl().len(), 1);
}

// 7
#[tokio::test]
async fn a_message_that_comes_twice_in_one_batch_goes_twice_in_one_batch() {
    let scene = Scene::new().await;
    let request = scene.create("hstore");
    scene.send([&request]).await;
    let message = scene.world.receive_and_hold().await;
    // The same again, and once more under another id: that one is handled, and acknowledged by the same handle.
    let delivered = |id: &str| {
        json!({
            "MessageId": id,
            "ReceiptHandle": message.receipt_handle(),
            "MD5OfBody": message.md5_of_body(),
            "Body": message.body(),
            "Attributes": {"ApproximateReceiveCount": "1"},
        })
    };
    let id = message.message_id().unwrap();
    let batch = json!({"Messages": [delivered(id), delivered(id), delivered("other")]});
    let mut batches = vec![batch.to_string()];
    let proxy = HttpProxy::start().await;
    proxy.decide(move |call| match call.contains(RECEIVE) {
        true => batches
            .pop()
            .map_or(Action::Forward, |batch| Action::Answer(200, batch)),
        false => Action::Forward,
    });
    scene
        .answers
        .set_next(&request.key, [Put::Withheld, Put::Withheld]);
    let endpoint = proxy.endpoint();
    let worker = scene.start(&[("AWS_ENDPOINT_URL_SQS", &endpoint)]);
    scene.answered(&request, 2).await;
    scene.answers.confirm_withheld();
    scene.is_over([&request]).await;
    scene.answered(&request, 2).await;
    worker
        .logged("a message that is in hand was delivered again")
        .await;
    assert_eq!(proxy.count("AmazonSQS.DeleteMessageBatch"), 1);
    assert!(!worker.log().contains("not acknowledged"));
    assert_eq!(scene.world.database.ddl().len(), 1);
}

/// A worker whose lease of a message is not extended cancels its work before another receives the message.
async fn assert_lease_lost(beat: &Action) {
    let scene = Scene::new().await;
    let extension = slow(&scene.world, 60);
    let requests = [scene.create(&extension.name)];
    let proxy = HttpProxy::start().await;
    let beat = beat.clone();
    proxy.decide(move |call| match call.contains(BEAT) {
        true => beat.clone(),
        false => Action::Forward,
    });
    let endpoint = proxy.endpoint();
    let mut worker = scene.start(&[BRIEFLY, ("AWS_ENDPOINT_URL_SQS", &endpoint)]);
    scene.send(&requests).await;
    scene.statement(true).await;
    slow(&scene.world, 0);
    // It takes no more: the message is the other's.
    worker.signal("TERM");
    let other = scene.start(&[BRIEFLY]);
    worker.logged(LOST).await;
    scene.statement(false).await;
    assert!(!other.log().contains("extensions before"));
    assert!(worker.exit().await.success());
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 1).await;
    // The first one's was cancelled.
    assert_eq!(scene.world.database.ddl().len(), 2);
}

// 8
#[tokio::test]
async fn work_on_a_message_that_is_no_longer_the_workers_is_cancelled() {
    let entry =
        r#"{"Id":"0","Code":"ReceiptHandleIsInvalid","Message":"on purpose","SenderFault":true}"#;
    let gone = format!(r#"{{"Successful":[],"Failed":[{entry}]}}"#);
    assert_lease_lost(&Action::Answer(200, gone)).await;
}

// 8
#[tokio::test]
async fn work_on_a_message_whose_lease_is_not_extended_is_cancelled_in_time() {
    assert_lease_lost(&Action::Hang).await;
}

#[tokio::test]
async fn a_message_is_the_workers_for_as_long_as_it_works_on_it() {
    let scene = Scene::new().await;
    // Longer than the visibility timeout, and than what the first beat adds to it.
    let extension = slow(&scene.world, 15);
    let requests = [scene.create(&extension.name)];
    let workers = [scene.start(&[BRIEFLY]), scene.start(&[BRIEFLY])];
    scene.send(&requests).await;
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 1).await;
    for worker in workers {
        assert!(!worker.log().contains(LOST));
    }
    assert_eq!(scene.world.database.ddl().len(), 1);
}

// 9
#[tokio::test]
async fn a_worker_that_stood_still_in_a_transaction_has_done_nothing_when_it_goes_on() {
    let scene = Scene::new().await;
    let requests = [scene.create("hstore")];
    let lock = scene.world.database.lock().await;
    let mut worker = scene.start(&[BRIEFLY]);
    scene.send(&requests).await;
    scene.waiting(1).await;
    worker.signal("STOP");
    drop(lock);
    // It holds the lock, until the server ends a transaction in which nothing happens.
    let _other = scene.start(&[BRIEFLY]);
    scene.is_over(&requests).await;
    worker.signal("CONT");
    worker.logged(LOST).await;
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 1).await;
    assert_eq!(scene.world.database.ddl().len(), 1);
}

// 9
#[tokio::test]
async fn a_worker_that_stood_still_while_it_answered_says_nothing_else_when_it_goes_on() {
    let scene = Scene::new().await;
    let requests = [scene.create("hstore")];
    scene.answers.set_next(&requests[0].key, [Put::Withheld]);
    let mut worker = scene.start(&[BRIEFLY]);
    scene.send(&requests).await;
    scene.answered(&requests[0], 1).await;
    worker.signal("STOP");
    let _other = scene.start(&[BRIEFLY]);
    eventually("the other's answer", async || {
        (scene.answers.of(&requests[0].key).len() == 2).then_some(())
    })
    .await;
    scene.is_over(&requests).await;
    worker.signal("CONT");
    scene.answers.confirm_withheld();
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 2).await;
    assert_eq!(scene.world.database.ddl().len(), 1);
}
