//! A worker that is stopped with more messages in flight than it can return at once.

use std::time::{Duration, Instant};

use super::scene::{BRIEFLY, Scene};
use super::slow;

// 16
#[tokio::test]
async fn what_a_worker_has_in_hand_is_finished_and_what_it_has_not_is_anothers() {
    /// As many as are processed at the same time, and half as many that wait: see `worker/src/execution/fair_share/mod.rs`.
    const IN_HAND: usize = 15;
    const PLACES: usize = 10;
    let scene = Scene::new().await;
    let requests = scene.creates(IN_HAND + 3);
    let lock = scene.world.database.lock().await;
    let mut worker = scene.start(&[
        ("WORKER_CONCURRENCY", "10"),
        ("WORKER_SERVER_CONCURRENCY", "10"),
        ("WORKER_CONNECTIONS_PER_DATABASE", "10"),
    ]);
    scene.send(&requests).await;
    scene.waiting(PLACES).await;
    worker.signal("TERM");
    worker.logged("told to stop").await;
    drop(lock);
    assert!(worker.exit().await.success());
    let answered = requests
        .iter()
        .filter(|request| !scene.answers.of(&request.key).is_empty());
    assert_eq!(answered.count(), IN_HAND);
    assert_eq!(scene.world.depths().await, (3, 0));
    let _other = scene.start(&[]);
    scene.is_over(&requests).await;
    for request in &requests {
        scene.answered(request, 1).await;
    }
    assert_eq!(scene.world.database.ddl().len(), requests.len());
}

// 19
#[tokio::test]
async fn what_a_worker_drops_on_a_second_signal_is_done_by_another() {
    let scene = Scene::new().await;
    let extension = slow(&scene.world, 60);
    let requests = [scene.create(&extension.name)];
    let mut worker = scene.start(&[BRIEFLY]);
    scene.send(&requests).await;
    scene.statement(true).await;
    worker.signal("TERM");
    worker
        .logged("stopping: no more messages are received")
        .await;
    let begun = Instant::now();
    worker.signal("TERM");
    assert_eq!(worker.exit().await.code(), Some(1));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    scene.statement(false).await;
    slow(&scene.world, 0);
    let _other = scene.start(&[BRIEFLY]);
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 1).await;
}
