//! A server that stops, does not answer, fails over or is full; a worker that is killed meanwhile.

use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::json;

use super::scene::RUNNING;
use super::{attempts_fail, declare, failed_attempts, slow};
use crate::support::{
    CloudFormationRequest, CommitGate, Mode, PrivateServer, Proxy, ResponseBucket, Traffic, Worker,
    World, delivery, eventually, handler,
};

/// How long an attempt may take at a server that says nothing.
const SILENT: Duration = Duration::from_secs(25);

/// How many of the worker's connections to a database are at rest for longer than they are trusted.
const RESTING: &str = "SELECT count(*)::text FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = 'extension-worker'
                       AND state = 'idle' AND state_change < clock_timestamp() - interval '3.1 s'";

// 25
#[tokio::test]
async fn a_server_that_stops_in_mid_statement_has_all_of_it_later() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let mut server = PrivateServer::start(&world, Mode::Primary).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let extension = slow(&world, 60);
    let request = world
        .create_request(declare(&secret, &extension.name))
        .await;
    world.publish(&request).await;
    eventually("the statement", async || {
        (!server.text(RUNNING).await.is_empty()).then_some(())
    })
    .await;
    server.stop_immediately();
    attempts_fail(&worker, 1).await;
    slow(&world, 0);
    server.start_again(Mode::Primary).await;
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let expected = format!("plpgsql,{}", extension.name);
    assert_eq!(server.extensions("postgres").await, expected);
    let requests = "SELECT count(*)::text FROM extension_worker.ledger WHERE kind = 'request'";
    assert_eq!(server.text(requests).await, "1");
}

// 26
#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_in_time_and_found_again() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let proxy = Proxy::to_postgres().await;
    let secret = world.secret_with(&json!({"port": proxy.port()})).await;
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");

    // A connection that has just been used is not asked whether it lives.
    eventually("rest", async || {
        (world.database.text(RESTING).await != "0").then_some(())
    })
    .await;
    // Neither the connection that is open nor a new one is answered.
    proxy.set(Traffic::Blackhole);
    let begun = Instant::now();
    let request = world.create_request(declare(&secret, "pg_trgm")).await;
    world.publish(&request).await;
    worker
        .logged("could not be reached (connection timed out)")
        .await;
    assert!(begun.elapsed() < SILENT, "{:?}", begun.elapsed());
    // Slow is not silent.
    proxy.set(Traffic::Delay(Duration::from_millis(50)));
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}

// 26
#[tokio::test]
async fn a_server_that_falls_silent_in_mid_session_is_given_up_in_time_and_found_again() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let proxy = Proxy::to_postgres().await;
    let secret = world.secret_with(&json!({"port": proxy.port()})).await;
    let lock = world.database.lock().await;
    let request = world.create_request(declare(&secret, "hstore")).await;
    world.publish(&request).await;
    eventually("the wait for the lock", async || {
        world.database.is_waiting().await.then_some(())
    })
    .await;
    proxy.set(Traffic::Blackhole);
    let begun = Instant::now();
    drop(lock);
    worker.logged("no answer within 20 s").await;
    assert!(begun.elapsed() < SILENT, "{:?}", begun.elapsed());
    // What is cut off holds the lock until the server ends its transaction; the next attempt waits for it.
    proxy.set(Traffic::Forward);
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(world.database.ddl().len(), 1);
}

// 27
#[tokio::test]
async fn a_failover_to_a_replica_is_reported_and_changes_nothing() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let mut server =
        PrivateServer::start_with(&world, Mode::Primary, &["log_connections=on"]).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");

    server.restart(Mode::Replica).await;
    let connections = |server: &PrivateServer| {
        let log = server.log();
        log.matches("application_name=extension-worker").count()
    };
    let before = connections(&server);
    let answer = world.create(declare(&secret, "pg_trgm")).await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("is a replica and takes no changes. Name the writer's endpoint. [25006]"),
        "{answer}"
    );
    // Each attempt on a connection of its own: the name may lead to the new writer by now.
    let attempts = failed_attempts(&worker);
    assert!(attempts > 1, "{}", worker.log());
    assert!(connections(&server) - before >= attempts);
    assert_eq!(server.extensions("postgres").await, "hstore,plpgsql");

    server.restart(Mode::Primary).await;
    let answer = world.create(declare(&secret, "cube")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(server.extensions("postgres").await, "cube,plpgsql");
}

// 28
#[tokio::test]
async fn a_server_that_is_full_is_tried_again_until_it_is_not() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let server = PrivateServer::start_with(&world, Mode::Primary, &["max_connections=8"]).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let mut others = Vec::new();
    while let Some(other) = server.connect().await {
        others.push(other);
    }
    assert!((5..=8).contains(&others.len()), "{}", others.len());
    let request = world.create_request(declare(&secret, "hstore")).await;
    world.publish(&request).await;
    worker.logged("[53300]").await;
    drop(others);
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}

// 29
#[tokio::test]
async fn a_lock_of_another_session_is_waited_for_and_reported() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let lock = world.database.lock().await;
    let request = world.create_request(declare(&world.secret, "hstore")).await;
    world.publish(&request).await;
    worker.logged("is locked by process").await;
    assert_eq!(world.answer_now(&request).await, None);
    drop(lock);
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");

    let lock = world.database.lock().await;
    let mut properties = declare(&world.secret, "pg_trgm");
    properties["ServiceTimeout"] = json!("4");
    let answer = world.create(properties).await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains("is locked by process"), "{answer}");
    drop(lock);
    assert_eq!(world.database.ddl().len(), 1);
}

// 30
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_in_the_ledger() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let gate = CommitGate::closed().await;
    let secret = world.secret_with(&json!({"port": gate.port()})).await;
    let request = world.create_request(declare(&secret, "hstore")).await;
    world.publish(&request).await;
    gate.holds().await;
    gate.cut();
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["Data"]["Changes"], "created hstore 1.8");
    assert_eq!(failed_attempts(&worker), 1);
    worker.logged("this request was decided before").await;
    assert_eq!(world.database.ddl().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_dropped_in_mid_statement_leaves_nothing_that_runs() {
    let world = World::new().await;
    let answers = ResponseBucket::start().await;
    let handler = handler(&answers);
    let ask = |number: u32, extension: &str| {
        let stack = format!(
            "arn:aws:cloudformation:us-east-1:123456789012:stack/{}/1",
            world.name
        );
        let mut properties = declare("given", extension);
        properties["DBName"] = json!(world.database.name);
        let resource = (stack.as_str(), "Extensions");
        let id = format!("request-{number}");
        let asked =
            CloudFormationRequest::new(&answers, resource, &id, "Create", properties, Utc::now());
        delivery(asked.body())
    };
    let slow = slow(&world, 60);
    let message = ask(1, &slow.name);
    let backend = eventually("the statement", async || {
        world.database.text(RUNNING).await.parse::<u32>().ok()
    });
    let backend = tokio::select! {
        _ = handler.handle(&message) => panic!("it takes longer"),
        backend = backend => backend,
    };
    let dropped = Instant::now();
    let alive = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {backend}");
    eventually("the statement's end", async || {
        (world.database.text(&alive).await == "0").then_some(())
    })
    .await;
    let took = dropped.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");

    handler.handle(&ask(2, "hstore")).await;
    assert_eq!(world.database.extensions().await.len(), 1);
    let next = "SELECT string_agg(pid::text, ',') FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'extension-worker'";
    let next = world.database.text(next).await;
    assert_ne!(next, backend.to_string());
}

#[tokio::test]
async fn a_worker_that_is_killed_in_mid_statement_leaves_no_lock() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[]);
    let slow = slow(&world, 60);
    let request = world
        .create_request(declare(&world.secret, &slow.name))
        .await;
    world.publish(&request).await;
    eventually("the statement", async || {
        (!world.database.text(RUNNING).await.is_empty()).then_some(())
    })
    .await;
    worker.signal("KILL");
    worker.exit().await;
    let killed = Instant::now();
    let _lock = world.database.lock().await;
    // The setting says two seconds.
    assert!(
        killed.elapsed() < Duration::from_secs(4),
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(world.database.text(RUNNING).await, "");
}
