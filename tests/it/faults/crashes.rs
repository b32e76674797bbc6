//! A worker that crashes with requests in flight, at a point that the test chooses; another continues.

use std::os::unix::process::ExitStatusExt;

use super::scene::{BRIEFLY, Scene};
use crate::support::{Action, CloudFormationRequest, Fixture, HttpProxy, Put, Worker, eventually};

/// What `abort` ends a process with.
const SIGABRT: i32 = 6;

/// A worker has died at the point, with one request in hand.
async fn crashed_at(point: &str) -> (Scene, [CloudFormationRequest; 1]) {
    let scene = Scene::new().await;
    let requests = [scene.create("hstore")];
    let mut worker = scene.start_with_failpoints(&format!("{point}=return"), &[BRIEFLY]);
    scene.send(&requests).await;
    wait_for_abort(&mut worker).await;
    assert_eq!(scene.world.depths().await, (1, 0));
    (scene, requests)
}

pub(super) async fn wait_for_abort(worker: &mut Worker) {
    assert_eq!(worker.exit().await.signal(), Some(SIGABRT));
}

// 1
#[tokio::test]
async fn what_was_not_begun_when_a_worker_died_is_done_by_another() {
    let (scene, requests) = crashed_at("before-transaction").await;
    assert_eq!(scene.world.database.ddl(), [""; 0]);
    let _other = scene.start(&[BRIEFLY]);
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 1).await;
    assert_eq!(scene.world.database.ddl().len(), 1);
}

// 2
#[tokio::test]
async fn what_was_not_committed_when_a_worker_died_is_undone_and_done_by_another() {
    let (scene, requests) = crashed_at("before-commit").await;
    assert_eq!(scene.world.database.ddl().len(), 1);
    assert!(scene.world.database.extensions().await.is_empty());
    let _other = scene.start(&[BRIEFLY]);
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 1).await;
    // The first was the dead one's.
    assert_eq!(scene.world.database.ddl().len(), 2);
}

// 3
#[tokio::test]
async fn what_was_not_answered_when_a_worker_died_is_answered_by_another() {
    let (scene, requests) = crashed_at("before-answer").await;
    assert_eq!(scene.committed().await, "1 requests, 1 changes");
    scene.answered(&requests[0], 0).await;
    let _other = scene.start(&[BRIEFLY]);
    scene.is_over(&requests).await;
    let answer = &scene.answered(&requests[0], 1).await[0];
    let changes = answer["Data"]["Changes"].as_str().unwrap();
    assert!(changes.starts_with("created hstore"), "{answer}");
    assert_eq!(scene.world.database.ddl().len(), 1);
}

// 4
#[tokio::test]
async fn what_was_answered_when_a_worker_died_is_answered_the_same_by_another() {
    let (scene, requests) = crashed_at("after-answer").await;
    scene.answered(&requests[0], 1).await;
    let _other = scene.start(&[BRIEFLY]);
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 2).await;
    assert_eq!(scene.world.database.ddl().len(), 1);
}

/// Ten requests that are to be acknowledged in one batch, as they are answered in one moment.
async fn answered_at_once(scene: &Scene) -> Vec<CloudFormationRequest> {
    let requests = scene.creates(10);
    for request in &requests {
        scene.answers.set_next(&request.key, [Put::Withheld]);
    }
    scene.send(&requests).await;
    for request in &requests {
        scene.answered(request, 1).await;
    }
    scene.answers.confirm_withheld();
    requests
}

// 5
#[tokio::test]
async fn what_was_deleted_when_a_worker_died_does_not_come_again() {
    let scene = Scene::new().await;
    let mut worker = scene.start_with_failpoints("after-deletion=return", &[BRIEFLY]);
    let requests = answered_at_once(&scene).await;
    wait_for_abort(&mut worker).await;
    // All of the batch.
    assert_eq!(scene.world.depths().await, (0, 0));
    let _other = scene.start(&[BRIEFLY]);
    scene.is_over(&requests).await;
    for request in &requests {
        scene.answered(request, 1).await;
    }
    assert_eq!(scene.world.database.ddl().len(), requests.len());
}

// 5
#[tokio::test]
async fn what_was_to_be_deleted_when_a_worker_died_is_answered_the_same_by_another() {
    const DELETE: &str = "AmazonSQS.DeleteMessageBatch";
    let scene = Scene::new().await;
    let proxy = HttpProxy::start().await;
    proxy.decide(|request| {
        if request.contains(DELETE) {
            Action::Hang
        } else {
            Action::Forward
        }
    });
    let endpoint = proxy.endpoint();
    let mut worker = scene.start(&[BRIEFLY, ("AWS_ENDPOINT_URL_SQS", &endpoint)]);
    let requests = answered_at_once(&scene).await;
    eventually("the deletion", async || {
        (proxy.count(DELETE) > 0).then_some(())
    })
    .await;
    worker.signal("KILL");
    worker.exit().await;
    assert_eq!(scene.world.depths().await, (10, 0));
    let _other = scene.start(&[BRIEFLY]);
    scene.nothing_is_left().await;
    scene.is_over(&requests).await;
    for request in &requests {
        scene.answered(request, 2).await;
    }
    assert_eq!(scene.world.database.ddl().len(), requests.len());
}

/// Where a message ends the process, what else is in flight comes again with it, and would never be done.
#[tokio::test]
async fn a_message_that_ends_the_process_ends_it_with_no_other_in_flight() {
    let scene = Scene::new().await;
    let slow = |number| {
        let name = format!("{}_slow{number}", scene.world.name);
        Fixture::install(
            &name,
            "default_version = '1'\n",
            &[("1", "SELECT pg_sleep(1);")],
        )
    };
    let slow: Vec<Fixture> = (0..3).map(slow).collect();
    let mut requests: Vec<CloudFormationRequest> =
        slow.iter().map(|slow| scene.create(&slow.name)).collect();
    requests.push(scene.create_named("Fatal", "hstore"));
    scene.send(&requests).await;
    // As if two processes had died with all of them.
    for _ in 0..2 {
        scene.world.receive_and_return(requests.len()).await;
    }
    let mut worker = scene.start_with_failpoints("resource-Fatal=return", &[BRIEFLY]);
    wait_for_abort(&mut worker).await;
    assert!(worker.log().contains("it is worked on alone"));
    let slow_done: usize = requests
        .iter()
        .map(|request| scene.answers.of(&request.key).len())
        .sum();
    assert_eq!(
        scene.world.database.ddl().len(),
        slow_done,
        "none under way"
    );
}
