//! Requests of stacks before a re-sync's messages, by the rule of SQS's fair queues.

use serde_json::json;

use crate::fair_queue::{FairQueue, Order};
use crate::support::{Proxy, Worker, World, eventually, variable};

/// Takes a second for each: a fleet is not hit at once.
const SERVERS: usize = 6;
/// Messages of the re-sync that are received before the request is there: their processing is what makes it noisy.
const FIRST: usize = 2;

/// Takes longer than 5 seconds where the last of the servers' messages is that late.
#[tokio::test]
async fn a_stacks_request_overtakes_the_messages_of_a_resync() {
    let world = World::new().await;
    let queue = FairQueue::start(&variable("AWS_ENDPOINT_URL"), Order::Fair).await;
    // The re-sync itself.
    queue.allow(1);
    let endpoint = queue.endpoint();
    let settings = [
        ("AWS_ENDPOINT_URL_SQS", endpoint.as_str()),
        ("WORKER_CONCURRENCY", "16"),
    ];
    let mut worker = Worker::start(&world, &settings);
    let (mut servers, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..SERVERS {
        let server = Proxy::to_postgres().await;
        targets.push(json!({
            "Secret": world.secret, "Port": server.port(), "Databases": [world.database.name],
        }));
        servers.push(server);
    }
    let resync = json!({
        "Type": "Resync", "ResyncId": world.name, "Mode": "Report", "Targets": targets,
    });
    world.publish_text(&resync.to_string()).await;
    let waiting = async |what: &str, count: usize| {
        eventually(what, async || (queue.waiting() == count).then_some(())).await;
    };
    waiting("a message for each server", SERVERS).await;
    queue.allow(FIRST);
    worker.logged_times("\"re-synced\"", FIRST).await;
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    let request = world.create_request(properties).await;
    world.publish(&request).await;
    waiting("the request behind the others", SERVERS - FIRST + 1).await;
    queue.allow(usize::MAX);
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
    let handed_out = queue.handed_out();
    let id = request.message["RequestId"].as_str().unwrap();
    let position = handed_out.iter().position(|body| body.contains(id));
    assert_eq!(position, Some(1 + FIRST));
    worker.signal("KILL");
    worker.exit().await;
}
