//! A ResponseURL that refuses, is busy, does not answer, or is slow.

use std::time::Duration;

use super::scene::Scene;
use crate::support::{Proxy, Put, Traffic, Worker};

/// How often a worker was not answered by who was to take its answer.
fn unanswered(worker: &Worker) -> usize {
    worker.log().matches("\"not answered yet\"").count()
}

// 33
#[tokio::test]
async fn an_answer_that_is_refused_is_lost_and_its_message_does_not_come_again() {
    let scene = Scene::new().await;
    let request = scene.create("hstore");
    scene.answers.set_next(&request.key, [Put::Status(403)]);
    let worker = scene.start(&[]);
    scene.send([&request]).await;
    worker.logged("the answer is lost").await;
    scene.nothing_is_left().await;
    scene.answered(&request, 0).await;
    assert_eq!(unanswered(&worker), 0);
    assert_eq!(scene.committed().await, "1 requests, 1 changes");
    assert_eq!(scene.world.database.ddl().len(), 1);
}

// 34
#[tokio::test]
async fn an_answer_that_a_busy_service_does_not_take_is_put_until_it_does() {
    let scene = Scene::new().await;
    let requests = [scene.create("hstore")];
    scene
        .answers
        .set_next(&requests[0].key, [Put::Status(503); 4]);
    let worker = scene.start(&[]);
    scene.send(&requests).await;
    scene.is_over(&requests).await;
    scene.answered(&requests[0], 1).await;
    assert_eq!(unanswered(&worker), 4);
    assert_eq!(scene.world.database.ddl().len(), 1);
}

// 35
#[tokio::test]
async fn an_answer_about_which_nothing_is_said_is_put_again_and_keeps_no_other_waiting() {
    let scene = Scene::new().await;
    let requests = scene.creates(2);
    let [silent, other] = &requests[..] else {
        panic!("two")
    };
    scene.answers.set_next(&silent.key, [Put::Withheld]);
    let worker = scene.start(&[]);
    scene.send([silent]).await;
    scene.answered(silent, 1).await;
    scene.send([other]).await;
    scene.answered(other, 1).await;
    assert_eq!(unanswered(&worker), 0);
    worker.logged("\"not answered yet\"").await;
    scene.is_over(&requests).await;
    scene.answered(silent, 2).await;
    assert_eq!(scene.world.database.ddl().len(), 2);
}

// 35
#[tokio::test]
async fn an_answer_that_is_confirmed_drop_by_drop_is_put_again() {
    let scene = Scene::new().await;
    let port = scene
        .answers
        .origin()
        .rsplit_once(':')
        .unwrap()
        .1
        .to_owned();
    let proxy = Proxy::to("127.0.0.1".to_owned(), port.parse().unwrap()).await;
    let origin = format!("http://127.0.0.1:{}", proxy.port());
    let mut request = scene.create("hstore");
    let url = request.message["ResponseURL"].as_str().unwrap();
    request.message["ResponseURL"] = url.replace(&scene.answers.origin(), &origin).into();
    // The line of the status alone takes longer than a call may.
    proxy.set(Traffic::Drip(Duration::from_secs(1)));
    let worker = scene.start(&[("WORKER_RESPONSE_ORIGIN", &origin)]);
    scene.send([&request]).await;
    scene.answered(&request, 1).await;
    worker.logged("\"not answered yet\"").await;
    proxy.set(Traffic::Forward);
    scene.is_over([&request]).await;
    assert!(scene.answers.of(&request.key).len() >= 2);
    assert_eq!(scene.world.database.ddl().len(), 1);
}
