//! A stack or account with many requests does not delay the others. It is decided before a connection, so that
//! the role's privileges do not matter.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Action, HttpProxy, Worker, World, eventually};

/// Requests of one stack, each to another server that takes connections and never says a word, and these servers.
async fn to_silent_servers(world: &World, count: usize) -> (Vec<TcpListener>, Vec<String>) {
    let mut silent = Vec::new();
    let mut messages = Vec::new();
    for index in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        silent.push(listener);
        let properties =
            json!({"DBSecret": world.secret, "DBPort": port, "Extensions": ["hstore"]});
        let name = format!("R{index}");
        let mut request = world.create_request_of(&name, properties).await;
        request.message["ServiceTimeout"] = json!("600");
        messages.push(request.message.to_string());
    }
    (silent, messages)
}

/// Takes longer than 5 seconds: each place is held for some seconds by a server that says nothing.
#[tokio::test]
async fn many_requests_to_silent_servers_keep_no_other_stack_waiting() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[("WORKER_CONCURRENCY", "8")]);
    let (_silent, messages) = to_silent_servers(&world, 60).await;
    for batch in messages.chunks(10) {
        world.send_raw_batch(batch.to_vec()).await;
    }
    worker
        .logged("its stack or account has its share of the concurrency already")
        .await;
    let begun = Instant::now();
    // The stack of another test is another stack.
    let other = World::new().await;
    let properties = json!({"DBSecret": other.secret, "Extensions": ["hstore"]});
    let honest = other.create_request(properties).await;
    world.send_raw(&honest.message.to_string()).await;
    assert_eq!(world.answer(&honest).await["Status"], "SUCCESS");
    assert!(
        begun.elapsed() < Duration::from_secs(45),
        "{:?}",
        begun.elapsed()
    );
    worker.signal("KILL");
    worker.exit().await;
}

/// One stack alone may have the whole concurrency. Takes as long as the first attempt at a server, 3 s.
#[tokio::test]
async fn a_server_that_was_never_reached_gives_its_place_back_soon() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[("WORKER_CONCURRENCY", "4")]);
    let (silent, messages) = to_silent_servers(&world, 4).await;
    world.send_raw_batch(messages).await;
    // Each has its place.
    let mut connections = Vec::new();
    for listener in &silent {
        connections.push(listener.accept().await.unwrap());
    }
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    assert_eq!(world.create(properties).await["Status"], "SUCCESS");
    assert!(worker.log().contains("Unreached"), "{}", worker.log());
    worker.signal("KILL");
    worker.exit().await;
}

/// Here the server was reached, and each request waits for the lock of its ledger: for as long as
/// `WORKER_RETRY_BUDGET_SECONDS` where no other request waits.
#[tokio::test]
async fn a_stack_that_waits_for_a_lock_leaves_half_of_the_concurrency_to_others() {
    let world = World::new().await;
    let settings = [
        ("WORKER_CONCURRENCY", "4"),
        ("WORKER_SERVER_CONCURRENCY", "4"),
        ("WORKER_CONNECTIONS_PER_DATABASE", "8"),
        ("WORKER_RETRY_BUDGET_SECONDS", "600"),
    ];
    let mut worker = Worker::start(&world, &settings);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    assert_eq!(world.create(properties.clone()).await["Status"], "SUCCESS");
    let _lock = world.database.lock().await;
    let mut messages = Vec::new();
    for index in 0..8 {
        let name = format!("R{index}");
        let request = world.create_request_of(&name, properties.clone()).await;
        messages.push(request.message.to_string());
    }
    world.send_raw_batch(messages).await;
    eventually("four waits for the lock", async || {
        let waiting =
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'extension-worker' AND wait_event = 'relation'";
        (world.database.text(waiting).await == "4").then_some(())
    })
    .await;
    let other = World::new().await;
    let begun = Instant::now();
    let properties = json!({"DBSecret": other.secret, "Extensions": ["hstore"]});
    let honest = other.create_request(properties).await;
    world.send_raw(&honest.message.to_string()).await;
    assert_eq!(world.answer(&honest).await["Status"], "SUCCESS");
    // An attempt that waits for a lock already waits for 10 s.
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    worker.signal("KILL");
    worker.exit().await;
}

#[tokio::test]
async fn a_resync_has_a_bounded_number_of_targets() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let targets: Vec<_> = (0..501)
        .map(|index| json!({"Secret": format!("s{index}")}))
        .collect();
    let resync = json!({"Type": "Resync", "ResyncId": "r", "Mode": "Report", "Targets": targets});
    world.publish_text(&resync.to_string()).await;
    let (_, reason) = world.dead_letter().await;
    assert!(reason.contains("Targets: must be 500 at most"), "{reason}");
    eventually("the end of the message", async || {
        (world.depths().await.0 == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_resync_is_expanded_at_a_time() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    proxy.decide(|request| match request.contains("ListSecrets") {
        true => Action::Hang,
        false => Action::Forward,
    });
    let endpoint = proxy.endpoint();
    let settings = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint.as_str())];
    let mut worker = Worker::start(&world, &settings);
    for (id, condition) in [("first", "a listing"), ("second", "the listing goes on")] {
        let targets = json!([{"SecretPrefix": world.name}]);
        let resync =
            json!({"Type": "Resync", "ResyncId": id, "Mode": "Report", "Targets": targets});
        world.publish_text(&resync.to_string()).await;
        worker.logged(&format!("\"resync\":\"{id}\"")).await;
        eventually(condition, async || {
            (proxy.count("ListSecrets") > 0).then_some(())
        })
        .await;
    }
    // What came later was answered meanwhile.
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    assert_eq!(world.create(properties).await["Status"], "SUCCESS");
    assert_eq!(proxy.count("ListSecrets"), 1);
    worker.signal("KILL");
    worker.exit().await;
}
