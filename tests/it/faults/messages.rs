//! Messages that are not requests, that come too late, or that make the handler panic.

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use super::declare;
use super::scene::{BRIEFLY, Scene};
use crate::support::{CloudFormationRequest, eventually};

// 21
#[tokio::test]
async fn what_is_no_request_is_put_aside_once_and_keeps_no_request_waiting() {
    let scene = Scene::new().await;
    let requests = scene.creates(2);
    let _worker = scene.start(&[BRIEFLY]);
    let poison = ["not JSON", "[]", "{}"];
    let [first, last] = &requests[..] else {
        panic!("two")
    };
    let mut bodies = vec![first.body()];
    bodies.extend(poison.map(str::to_owned));
    bodies.push(last.body());
    scene.world.send_raw_batch(bodies).await;
    let mut dead = Vec::new();
    for _ in poison {
        let (body, reason) = scene.world.dead_letter().await;
        assert!(!reason.is_empty());
        dead.push(body);
    }
    dead.sort();
    let mut expected = poison;
    expected.sort_unstable();
    assert_eq!(dead, expected);
    eventually("the empty queue", async || {
        // Those that the test took are hidden.
        (scene.world.depths().await == (0, 3)).then_some(())
    })
    .await;
    assert_eq!(scene.committed().await, "2 requests, 2 changes");
    for request in &requests {
        scene.answered(request, 1).await;
    }
}

// 23
#[tokio::test]
async fn a_create_that_comes_after_its_delete_changes_nothing() {
    let scene = Scene::new().await;
    let stack = format!(
        "arn:aws:cloudformation:us-east-1:000000000000:stack/{}/1",
        scene.world.name
    );
    let now = Utc::now();
    let ask = |resource: &str, id: &str, kind: &str, age_ms: i64| {
        CloudFormationRequest::new(
            &scene.answers,
            (&stack, resource),
            id,
            kind,
            declare(&scene.world.secret, "hstore"),
            now - TimeDelta::milliseconds(age_ms),
        )
    };
    // The Create of one came before; that of the other never did.
    let create = ask("Known", "1", "Create", 900);
    let mut worker = scene.start(&[]);
    scene.send([&create]).await;
    let created: Value = scene.answered(&create, 1).await.remove(0);
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let deletes = [
        ask("Known", "2", "Delete", 600).with_id(id),
        ask("Unknown", "3", "Delete", 600).with_id("not-created"),
    ];
    scene.send(&deletes).await;
    for delete in &deletes {
        assert_eq!(scene.answered(delete, 1).await[0]["Status"], "SUCCESS");
    }
    scene.nothing_is_left().await;
    assert_eq!(scene.world.database.ddl().len(), 2);
    // What is late is late for any worker.
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    let _other = scene.start(&[]);
    let late = ask("Unknown", "4", "Create", 900);
    scene.send([&create, &late]).await;
    let refused = &scene.answered(&late, 1).await[0];
    assert_eq!(refused["Status"], "FAILED");
    let reason = refused["Reason"].as_str().unwrap();
    assert!(
        reason.contains("a newer request of this resource"),
        "{reason}"
    );
    let again = scene.answered(&create, 2).await;
    assert_eq!(again[0], again[1]);
    scene.nothing_is_left().await;
    assert!(scene.world.database.extensions().await.is_empty());
    assert_eq!(scene.world.database.ddl().len(), 2);
}

// 24
#[tokio::test]
async fn a_request_that_the_handler_panics_over_comes_again_and_no_other_knows() {
    let scene = Scene::new().await;
    let requests = scene.creates(2);
    let lock = scene.world.database.lock().await;
    let mut worker = scene.start_with_failpoints("before-commit=1*panic", &[]);
    scene.send(&requests).await;
    scene.waiting(2).await;
    // A worker that stops returns messages at once.
    worker.signal("TERM");
    worker.logged("told to stop").await;
    drop(lock);
    worker
        .logged("the handler panicked: its message comes again")
        .await;
    assert!(worker.exit().await.success());
    let answered = requests
        .iter()
        .filter(|request| !scene.answers.of(&request.key).is_empty());
    assert_eq!(answered.count(), 1);
    assert_eq!(scene.committed().await, "1 requests, 1 changes");
    let _other = scene.start(&[]);
    scene.is_over(&requests).await;
    for request in &requests {
        scene.answered(request, 1).await;
    }
}
