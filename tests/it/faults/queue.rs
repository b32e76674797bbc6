//! SQS that fails, throttles or refuses; acknowledgements that are lost; a worker that stops meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::declare;
use crate::support::{Action, HttpProxy, Worker, World, eventually};

const RECEIVE: &str = "AmazonSQS.ReceiveMessage";
const DELETE: &str = "AmazonSQS.DeleteMessageBatch";
const SEND: &str = "AmazonSQS.SendMessage";

/// A worker whose SQS is behind a proxy.
fn start(world: &World, proxy: &HttpProxy, settings: &[(&str, &str)]) -> Worker {
    let endpoint = proxy.endpoint();
    let mut all = vec![("AWS_ENDPOINT_URL_SQS", endpoint.as_str())];
    all.extend(settings);
    Worker::start(world, &all)
}

/// Has the next calls of a kind go so; those after them are forwarded. Says how many are left.
fn next(proxy: &HttpProxy, call: &'static str, actions: Vec<Action>) -> Arc<AtomicUsize> {
    let left = Arc::new(AtomicUsize::new(actions.len()));
    let counted = Arc::clone(&left);
    let mut actions = actions.into_iter();
    proxy.decide(move |request| {
        if !request.contains(call) {
            return Action::Forward;
        }
        actions.next().map_or(Action::Forward, |action| {
            counted.fetch_sub(1, Ordering::SeqCst);
            action
        })
    });
    left
}

// 10, 11
#[tokio::test]
async fn receives_that_fail_are_tried_again_and_not_in_a_hot_loop() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let left = next(
        &proxy,
        RECEIVE,
        vec![
            Action::refuse(500, "InternalError"),
            Action::refuse(503, "ServiceUnavailable"),
            Action::refuse(400, "RequestThrottled"),
            Action::Cut,
            Action::refuse(500, "InternalError"),
        ],
    );
    let begun = Instant::now();
    let _worker = start(&world, &proxy, &[]);
    let answer = world.create(declare(&world.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(left.load(Ordering::SeqCst), 0);
    // Each fails at once: what came after is long polls, one at a time.
    let long_polls = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    assert!(
        proxy.count(RECEIVE) <= 5 + long_polls,
        "{}",
        proxy.count(RECEIVE)
    );
}

// 12
#[tokio::test]
async fn a_receive_that_is_never_answered_is_given_up_and_made_again() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let left = next(&proxy, RECEIVE, vec![Action::Hang]);
    let worker = start(&world, &proxy, &[]);
    let request = world.create_request(declare(&world.secret, "hstore")).await;
    world.publish(&request).await;
    worker.logged("no messages can be received").await;
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(left.load(Ordering::SeqCst), 0);
    eventually("the acknowledgement", async || {
        (world.depths().await == (0, 0)).then_some(())
    })
    .await;
    assert_eq!(world.database.ddl().len(), 1);
}

// 15
#[tokio::test]
async fn a_queue_that_is_refused_for_a_while_is_asked_again() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    next(
        &proxy,
        RECEIVE,
        vec![Action::refuse(400, "AccessDeniedException")],
    );
    let worker = start(&world, &proxy, &[]);
    worker.logged("no messages can be received").await;
    let answer = world.create(declare(&world.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(
        worker.log().matches("no messages can be received").count(),
        1
    );
}

// 13, 14
#[tokio::test]
async fn an_acknowledgement_that_fails_is_repeated_alone() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let failed = r#"{"Successful":[],"Failed":[{"Id":"0","Code":"InternalError","Message":"on purpose","SenderFault":false}]}"#;
    let left = next(
        &proxy,
        DELETE,
        vec![Action::Answer(200, failed.to_owned()), Action::Cut],
    );
    let worker = start(&world, &proxy, &[]);
    let answer = world.create(declare(&world.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    eventually("the acknowledgement", async || {
        (world.depths().await == (0, 0)).then_some(())
    })
    .await;
    assert_eq!(left.load(Ordering::SeqCst), 0);
    assert_eq!(worker.log().matches("\"answered\"").count(), 1);
    assert_eq!(world.database.ddl().len(), 1);
}

// 22
#[tokio::test]
async fn a_message_that_cannot_be_put_in_the_dead_letter_queue_is_kept() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    proxy.decide(|request| {
        if request.contains(SEND) {
            Action::refuse(500, "InternalError")
        } else {
            Action::Forward
        }
    });
    let worker = start(&world, &proxy, &[]);
    world.send_raw("not JSON").await;
    worker
        .logged("could not be put in the dead-letter queue")
        .await;
    assert_eq!(world.depths().await, (1, 0));
}

// 17
#[tokio::test]
async fn a_message_that_comes_while_the_worker_stops_is_given_back_at_once() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let mut worker = start(&world, &proxy, &[("WORKER_RECEIVE_WAIT_SECONDS", "10")]);
    eventually("the long poll", async || {
        (proxy.count(RECEIVE) > 0).then_some(())
    })
    .await;
    worker.signal("TERM");
    worker.logged("told to stop").await;
    let request = world.create_request(declare(&world.secret, "hstore")).await;
    world.publish(&request).await;
    assert!(worker.exit().await.success());
    assert_eq!(world.answer_now(&request).await, None);
    let begun = Instant::now();
    let _other = Worker::start(&world, &[]);
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
    // Far less than the visibility timeout.
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

// 18
#[tokio::test]
async fn what_does_not_finish_in_time_is_cancelled_and_given_back() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[("WORKER_SHUTDOWN_SECONDS", "1")]);
    let slow = super::slow(&world, 60);
    let request = world
        .create_request(declare(&world.secret, &slow.name))
        .await;
    world.publish(&request).await;
    let running = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
                   AND state = 'active' AND query LIKE 'CREATE EXTENSION%'";
    eventually("the statement", async || {
        (world.database.text(running).await == "1").then_some(())
    })
    .await;
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    eventually("the statement's end", async || {
        (world.database.text(running).await == "0").then_some(())
    })
    .await;
    assert_eq!(world.answer_now(&request).await, None);
    assert!(world.database.extensions().await.is_empty());
    // It is there at once for another.
    assert!(world.receive_and_delete().await.contains("Extensions"));
}
