//! The process: settings, logs, signals, health.

use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Worker, World, eventually, variable, worker_binary};

#[tokio::test]
async fn a_wrong_setting_stops_the_process_and_is_named() {
    for (name, flag, value) in [
        ("WORKER_QUEUE_URL", "--queue-url", "my-queue"),
        ("WORKER_TOPIC_ARNS", "--topic-arns", "my-topic"),
        ("WORKER_ACCOUNTS", "--accounts", "12"),
        ("WORKER_RESPONSE_ORIGIN", "--response-origin", "localhost"),
        ("WORKER_SNS_SIGNATURE", "--sns-signature", "on"),
        (
            "WORKER_SNS_CERTIFICATE_ORIGIN",
            "--sns-certificate-origin",
            "http://localhost/_aws",
        ),
        ("WORKER_CONCURRENCY", "--concurrency", "many"),
        (
            "WORKER_DEAD_LETTER_QUEUE_URL",
            "--dead-letter-queue-url",
            "my-queue",
        ),
        ("WORKER_HEALTH_ADDR", "--health-addr", "8080"),
        ("WORKER_METRICS_SECONDS", "--metrics-seconds", "1m"),
        ("WORKER_METRICS_NAMESPACE", "--metrics-namespace", "AWS/SQS"),
        ("PGSSLMODE", "--ssl-mode", "maybe"),
        ("PGSSLROOTCERT", "--ssl-root-cert", "/no/such/file"),
        ("RUST_LOG", "--log", "extension_worker=loud"),
        ("WORKER_RECEIVE_WAIT_SECONDS", "--receive-wait-seconds", "0"),
        ("WORKER_RETRY_BUDGET_SECONDS", "--retry-budget-seconds", "0"),
        // Its former name.
        ("WORKER_PATIENCE_SECONDS", "--patience-seconds", "0"),
        // What does not go together.
        ("WORKER_SERVER_CONCURRENCY", "--concurrency", "17"),
        (
            "WORKER_DEAD_LETTER_QUEUE_URL",
            "--queue-url",
            "http://127.0.0.1:1/q",
        ),
        ("WORKER_SECRET_SECONDS", "--secret-seconds", "forever"),
        ("WORKER_CONNECTIONS", "--connections", "0"),
        // It is more than there are in all.
        (
            "WORKER_CONNECTIONS_PER_DATABASE",
            "--connections-per-database",
            "201",
        ),
    ] {
        let mut command = worker_binary();
        command
            .arg("run")
            .env("WORKER_QUEUE_URL", "http://127.0.0.1:1/q")
            .env("PGSSLMODE", "verify-full");
        let output = command
            .env(name, value)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(flag), "{name}: {text}");
    }
}

#[tokio::test]
async fn the_log_has_each_step_and_no_secrets() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[("RUST_LOG", "debug")]);
    let stack = world.stack("app");
    stack
        .create(
            &json!({"DBSecret": world.secret, "Extensions": ["hstore"]}),
            &[],
        )
        .await;
    worker.logged("\"message\":\"answered\"").await;
    let log = worker.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let line = |message: &str| {
        lines
            .iter()
            .find(|line| line["message"] == message)
            .unwrap_or_else(|| panic!("no {message:?} in {log}"))
    };
    let overridden =
        "answers may go to an origin that is not CloudFormation's (WORKER_RESPONSE_ORIGIN)";
    assert_eq!(line(overridden)["level"], "WARN");
    assert_eq!(line("extensions before")["extensions"], "plpgsql 1.0");
    assert_eq!(
        line("created hstore 1.8")["sql"],
        "CREATE EXTENSION \"hstore\" SCHEMA \"public\" VERSION '1.8'"
    );
    assert_eq!(
        line("extensions after")["extensions"],
        "hstore 1.8, plpgsql 1.0"
    );
    assert_eq!(line("answered")["status"], "SUCCESS");
    assert_eq!(line("answered")["span"]["resource"], "Extensions");
    for secret in [
        variable("PGPASSWORD").as_str(),
        "Signature=",
        "X-Amz-Signature",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn sigterm_lets_what_is_under_way_finish() {
    let world = World::new().await;
    // Another session holds the worker's lock, so that the request is under way for a while.
    let mut worker = Worker::start(&world, &[]);
    let lock = world.database.lock().await;
    let request = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.publish(&request).await;
    eventually("the wait for the lock", async || {
        world.database.is_waiting().await.then_some(())
    })
    .await;
    worker.signal("TERM");
    worker.logged("told to stop").await;
    drop(lock);
    assert!(worker.exit().await.success());
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
    assert_eq!(world.depths().await, (0, 0));
}

#[tokio::test]
async fn a_second_sigterm_stops_at_once() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[("WORKER_RECEIVE_WAIT_SECONDS", "20")]);
    worker.logged("receiving").await;
    worker.signal("TERM");
    worker.logged("told to stop").await;
    let begun = Instant::now();
    worker.signal("TERM");
    assert_eq!(worker.exit().await.code(), Some(1));
    assert!(begun.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn the_health_command_asks_a_running_worker() {
    let world = World::new().await;
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    let healthy = || {
        worker_binary()
            .args(["health", "--health-addr", &address])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(!healthy());
    let worker = Worker::start(&world, &[("WORKER_HEALTH_ADDR", &address)]);
    worker.logged("receiving").await;
    assert!(healthy());
    worker.signal("STOP");
    assert!(!healthy());
}
