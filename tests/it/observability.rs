//! What the worker says of itself: instruments, readiness, logs and traces.

use std::collections::BTreeMap;
use std::io::{Write, pipe};
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Worker, World, eventually};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

/// Status, content type and body; none where the port is closed.
async fn get(address: &str, path: &str) -> Option<(u16, String, String)> {
    extension_worker::process::tls::install_provider();
    let response = reqwest::get(format!("http://{address}{path}")).await.ok()?;
    let kind = response.headers()["content-type"].to_str().unwrap();
    let (status, kind) = (response.status().as_u16(), kind.to_owned());
    Some((status, kind, response.text().await.unwrap()))
}

/// What each instrument shows, by name and labels.
async fn scrape(address: &str) -> BTreeMap<String, f64> {
    let (status, kind, text) = get(address, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn prometheus_and_cloudwatch_get_the_same() {
    let world = World::new().await;
    let address = free_address();
    let mut worker = Worker::start(
        &world,
        &[
            ("WORKER_HEALTH_ADDR", &address),
            ("WORKER_METRICS_SECONDS", "1"),
            ("WORKER_METRICS_NAMESPACE", "Tests/Here"),
        ],
    );
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["no_such_extension"]}))
        .await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    world.send_raw("not JSON").await;
    world.dead_letter().await;
    eventually("the acknowledgements", async || {
        (world.depths().await.0 == 0).then_some(())
    })
    .await;
    let shown = scrape(&address).await;
    for (name, expected) in [
        ("messages_received_total", 3.0),
        ("messages_handled_total{outcome=\"succeeded\"}", 1.0),
        ("messages_handled_total{outcome=\"failed\"}", 1.0),
        ("messages_handled_total{outcome=\"dead_letter\"}", 1.0),
        ("messages_handled_total{outcome=\"panicked\"}", 0.0),
        ("messages_in_flight", 0.0),
        ("handling_seconds_count", 3.0),
        ("handling_seconds_bucket{le=\"+Inf\"}", 3.0),
        ("puts_total{result=\"accepted\"}", 2.0),
        ("put_seconds_count", 2.0),
        ("dead_letters_total", 1.0),
        ("lease_losses_total", 0.0),
        ("sqs_calls_total{operation=\"SendMessage\"}", 1.0),
        ("receive_failures_total", 0.0),
        ("database_connections", 1.0),
    ] {
        let value = shown[&format!("extension_worker_{name}")];
        assert!((value - expected).abs() < f64::EPSILON, "{name} is {value}");
    }
    assert!(shown["process_resident_memory_bytes"] > 1e6);
    assert!(shown.contains_key("process_cpu_seconds_total"));

    worker.signal("TERM");
    assert!(worker.exit().await.success());
    let lines = json_lines(&worker.output());
    let directive = &lines[0]["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "Tests/Here");
    let sum = |metric: &str, dimension: Option<(&str, &str)>| {
        let fits = |line: &&Value| {
            let keys = &line["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
            match dimension {
                Some((key, value)) => *keys == json!([[key]]) && line[key] == value,
                None => *keys == json!([[]]),
            }
        };
        let values = lines.iter().filter(fits).map(|line| match &line[metric] {
            Value::Object(histogram) => histogram["Counts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|count| count.as_u64().unwrap())
                .sum(),
            value => value.as_u64().unwrap_or(0),
        });
        values.sum::<u64>()
    };
    assert_eq!(sum("MessagesReceived", None), 3);
    assert_eq!(sum("MessagesHandled", None), 3);
    assert_eq!(sum("MessagesHandled", Some(("Outcome", "succeeded"))), 1);
    assert_eq!(sum("MessagesHandled", Some(("Outcome", "failed"))), 1);
    assert_eq!(sum("MessagesHandled", Some(("Outcome", "dead_letter"))), 1);
    assert_eq!(sum("MessagesHandled", Some(("Outcome", "stale"))), 0);
    assert_eq!(sum("Puts", Some(("Result", "accepted"))), 2);
    assert_eq!(sum("HandlingTime", None), 3);
    assert_eq!(sum("PutTime", None), 2);
    assert_eq!(sum("DeadLetters", None), 1);
}

#[tokio::test]
async fn an_attempt_that_is_repeated_is_counted_by_its_sqlstate() {
    let world = World::new().await;
    let address = free_address();
    let worker = Worker::start(&world, &[("WORKER_HEALTH_ADDR", &address)]);
    worker.logged("receiving").await;
    let unreachable = world.secret_with(&json!({"port": "1"})).await;
    let request = world
        .create_request(json!({"DBSecret": unreachable, "Extensions": ["hstore"]}))
        .await;
    world.publish(&request).await;
    eventually("a retry", async || {
        let shown = scrape(&address).await;
        let retries = shown.get("extension_worker_retries_total{sqlstate=\"unreachable\"}");
        retries.filter(|count| **count >= 1.0).map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn a_worker_is_ready_while_it_takes_messages() {
    let world = World::new().await;
    let address = free_address();
    let mut worker = Worker::start(
        &world,
        &[
            ("WORKER_HEALTH_ADDR", &address),
            ("WORKER_RECEIVE_WAIT_SECONDS", "8"),
        ],
    );
    worker.logged("receiving").await;
    let ready = async || {
        let (status, _, text) = get(&address, "/readyz").await.unwrap();
        (status, text)
    };
    assert_eq!(
        ready().await,
        (503, "no receive has succeeded yet\n".to_owned())
    );
    world.send_raw("not JSON").await;
    eventually("readiness", async || {
        (ready().await == (200, "ready\n".to_owned())).then_some(())
    })
    .await;
    worker.signal("TERM");
    worker.logged("told to stop").await;
    assert_eq!(ready().await, (503, "stopping\n".to_owned()));
    assert_eq!(get(&address, "/healthz").await.unwrap().0, 200);
    assert_eq!(get(&address, "/").await.unwrap().0, 404);
    assert!(worker.exit().await.success());
}

#[tokio::test]
async fn every_line_of_a_message_has_its_id_and_its_trace() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[("RUST_LOG", "info")]);
    let request = world
        .create_request(
            json!({"DBSecret": world.secret, "Extensions": ["hstore", "no_such_extension"]}),
        )
        .await;
    world.publish_traced(&request, TRACEPARENT).await;
    assert_eq!(world.answer(&request).await["Status"], "FAILED");
    let other = "0af7651916cd43dd8448eb211c80319c";
    let header = format!("00-{other}-b7ad6b7169203331-00");
    let raw = world.send_raw_traced("not JSON", Some(&header), None).await;
    let (_, attributes) = world.dead_letter_with_attributes().await;
    assert_eq!(attributes["traceparent"], header);
    let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let by_aws = world.send_raw_traced("[]", None, Some(xray)).await;
    let wrong = world.send_raw_traced("{}", Some("00-1-2-3"), None).await;
    worker.logged(&wrong).await;
    worker.logged(&by_aws).await;
    worker.signal("TERM");
    assert!(worker.exit().await.success());

    let lines = json_lines(&worker.log());
    let of_process = ["receiving", "told to stop", "stopped"];
    let of_messages: Vec<&Value> = lines
        .iter()
        .filter(|line| {
            let message = line["message"].as_str().unwrap();
            !of_process.contains(&message)
                && !message.starts_with("stopping:")
                && !message.starts_with("answers may go to an origin")
                && !message.starts_with("re-syncs are accepted from every topic")
        })
        .collect();
    assert!(of_messages.len() >= 5, "{}", worker.log());
    for line in &of_messages {
        let span = &line["span"];
        let id = span["message_id"]
            .as_str()
            .unwrap_or_else(|| panic!("{line}"));
        let trace = if id == raw {
            json!(other)
        } else if id == by_aws {
            json!("5759e988bd862e3fe1be46a994272793")
        } else if id == wrong {
            Value::Null
        } else {
            assert_eq!(span["traceparent"], TRACEPARENT);
            json!(TRACE_ID)
        };
        assert_eq!(span["trace_id"], trace, "{line}");
        assert_eq!(span["receive"], 1);
    }
    let answered = of_messages
        .iter()
        .find(|line| line["message"] == "answered")
        .unwrap();
    assert_eq!(answered["span"]["resource"], "Extensions");
    assert_eq!(answered["span"]["kind"], "Create");
}

#[tokio::test]
async fn metrics_without_a_reader_block_nothing() {
    let settings = [("WORKER_METRICS_SECONDS", "1")];
    let hstore = |world: &World| json!({"DBSecret": world.secret, "Extensions": ["hstore"]});

    let world = World::new().await;
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut worker = Worker::start_writing_to(Stdio::from(writer), &world, &settings);
    worker.logged("standard output takes no metrics").await;
    assert_eq!(world.create(hstore(&world)).await["Status"], "SUCCESS");
    worker.signal("TERM");
    assert!(worker.exit().await.success());

    // A pipe that is full, and stays so.
    let world = World::new().await;
    let (_reader, mut writer) = pipe().unwrap();
    writer.write_all(&[b'\n'; 65_536]).unwrap();
    let mut worker = Worker::start_writing_to(Stdio::from(writer), &world, &settings);
    assert_eq!(world.create(hstore(&world)).await["Status"], "SUCCESS");
    worker.signal("TERM");
    let begun = Instant::now();
    assert!(worker.exit().await.success());
    assert!(begun.elapsed().as_secs() < 10);
    assert!(worker.log().contains("nobody reads standard output"));
}
