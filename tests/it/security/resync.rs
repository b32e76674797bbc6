//! Who may start a re-sync, and who may send messages as a worker. A message of a wrong form, and one for which there is no
//! room, lead to no connection, so that the role's privileges do not matter.

use serde_json::{Value, json};

use super::master::{RANKS, world_of};
use crate::support::{Worker, World};

fn resync(world: &World) -> Value {
    json!({
        "Type": "Resync", "ResyncId": "r", "Mode": "Repair", "Extensions": ["hstore"],
        "Targets": [{"Secret": world.secret, "Databases": [world.database.name]}],
    })
}

/// What a worker sends to another in such a re-sync.
fn between_workers(world: &World) -> Value {
    json!({
        "Type": "ResyncWork", "ResyncId": "r", "Mode": "Repair", "Key": world.secret, "Target": world.secret,
        "Secret": world.secret, "Databases": [world.database.name], "Extensions": ["hstore"], "Baseline": "baseline",
    })
}

#[tokio::test]
async fn a_re_sync_comes_by_its_own_topic_alone_and_a_stack_by_its_own() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let resyncs = world.create_further_topic().await;
        let settings = [("WORKER_RESYNC_TOPIC_ARNS", resyncs.as_str())];
        let _worker = Worker::start(&world, &settings);
        world.publish_text(&resync(&world).to_string()).await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains("WORKER_RESYNC_TOPIC_ARNS"), "{reason}");
        world.send_raw(&resync(&world).to_string()).await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains("raw delivery"), "{reason}");
        let request = world
            .create_request(json!({"DBSecret": world.secret, "Extensions": ["citext"]}))
            .await;
        world
            .publish_to(&resyncs, &request.message.to_string())
            .await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains("WORKER_TOPIC_ARNS"), "{reason}");
        assert!(world.database.extensions().await.is_empty());

        world
            .publish_to(&resyncs, &resync(&world).to_string())
            .await;
        world.publish(&request).await;
        assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
        crate::support::eventually("the re-sync's extension", async || {
            let installed = world.database.extensions().await;
            installed.contains_key("hstore").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_message_between_workers_counts_from_the_worker_s_own_role_alone() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let _worker = Worker::start(&world, &[]);
        let text = between_workers(&world).to_string();
        world.publish_text(&text).await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains("does not come through a topic"), "{reason}");
        world.send_raw_from_another_account(&text).await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains("not the worker's own role"), "{reason}");
        assert!(world.database.extensions().await.is_empty());
    }
}

#[tokio::test]
async fn a_message_between_workers_is_read_as_strictly_as_a_re_sync() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for (field, value, named) in [
        ("Host", json!("a b"), "Host"),
        (
            "Extensions",
            json!([{"Name": "hstore", "Colour": "red"}]),
            "Colour",
        ),
        ("ResyncId", json!("a b"), "ResyncId"),
    ] {
        let mut message = between_workers(&world);
        message[field] = value;
        world.send_raw(&message.to_string()).await;
        let (_, reason) = world.dead_letter().await;
        assert!(reason.contains(named), "{reason}");
    }
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn a_message_between_workers_that_was_sent_too_often_ends() {
    let world = World::new().await;
    let results = crate::support::ResultsSubscriber::new(&world).await;
    let settings = [
        ("WORKER_CONCURRENCY", "2"),
        ("WORKER_RESULTS_TOPIC_ARN", results.topic_arn.as_str()),
    ];
    let worker = Worker::start(&world, &settings);
    // There is room for one server, and the first one waits.
    let _lock = world.database.lock().await;
    let mut message = between_workers(&world);
    world.send_raw(&message.to_string()).await;
    crate::support::eventually("the wait for the lock", async || {
        world.database.is_waiting().await.then_some(())
    })
    .await;
    message["Hops"] = json!(5000);
    world.send_raw(&message.to_string()).await;
    worker
        .logged("no worker had a free permit for the server")
        .await;
}
