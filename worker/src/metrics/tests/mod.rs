//! The two formats of the same instruments.

mod templates;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::reading::Value;
use super::*;

/// Instruments with something to show.
fn busy() -> Metrics {
    let metrics = Metrics::default();
    metrics.messages_received.add(4);
    metrics.handling().ends(Outcome::Succeeded);
    metrics.handling().ends(Outcome::Failed);
    metrics.puts.inc(PutResult::Accepted);
    for milliseconds in [3, 4, 700] {
        metrics
            .put_seconds
            .observe(Duration::from_millis(milliseconds));
    }
    metrics.retries.inc("55P03");
    drop(metrics.handling());
    metrics.lease_lost();
    metrics
}

fn emf(metrics: &Metrics, before: &[Reading]) -> Vec<Json> {
    emf::lines("Name/Space", 1_772_366_400_042, before, &metrics.read())
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What CloudWatch's specification asks of a document.
fn check(document: &Json) {
    let members = document.as_object().unwrap();
    assert_eq!(document["_aws"]["Timestamp"], 1_772_366_400_042_i64);
    let directives = document["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert_eq!(directives.len(), 1);
    for directive in directives {
        assert_eq!(directive.as_object().unwrap().len(), 3);
        assert_eq!(directive["Namespace"], "Name/Space");
        let sets = directive["Dimensions"].as_array().unwrap();
        assert_eq!(sets.len(), 1);
        let dimensions = sets[0].as_array().unwrap();
        for dimension in dimensions {
            let value = members[dimension.as_str().unwrap()].as_str().unwrap();
            assert!((1..=1024).contains(&value.len()));
        }
        let definitions = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&definitions.len()));
        for definition in definitions {
            let unit = definition["Unit"].as_str().unwrap();
            assert!(["Count", "Seconds", "Bytes"].contains(&unit), "{unit}");
            let value = &members[definition["Name"].as_str().unwrap()];
            if value.is_number() {
                continue;
            }
            assert_eq!(value.as_object().unwrap().len(), 2, "{value}");
            let values = value["Values"].as_array().unwrap();
            let counts = value["Counts"].as_array().unwrap();
            assert!((1..=100).contains(&values.len()));
            assert_eq!(values.len(), counts.len());
            assert!(values.iter().chain(counts).all(Json::is_number));
        }
        assert_eq!(members.len(), 1 + dimensions.len() + definitions.len());
    }
}

#[test]
fn what_cloudwatch_gets_is_as_its_specification_has_it() {
    for metrics in [Metrics::default(), busy()] {
        emf(&metrics, &[]).iter().for_each(check);
    }
}

#[test]
fn cloudwatch_gets_what_changed() {
    let metrics = busy();
    let first = emf(&metrics, &[]);
    assert_eq!(first[0]["MessagesReceived"], 4);
    assert_eq!(first[0]["MessagesHandled"], 3);
    assert_eq!(first[0]["MessagesInFlight"], 0);
    assert_eq!(first[0]["DeadLetters"], 0);
    // Each value stands for its bucket: two of 3.5 ms on average, one of 700.
    assert_eq!(
        first[0]["PutTime"],
        json!({"Values": [0.0035, 0.7], "Counts": [2, 1]})
    );
    let outcomes: BTreeMap<&str, u64> = first
        .iter()
        .filter_map(|line| Some((line["Outcome"].as_str()?, line["MessagesHandled"].as_u64()?)))
        .collect();
    assert_eq!(outcomes.len(), Outcome::ALL.len());
    assert_eq!(outcomes["failed"], 1);
    assert_eq!(outcomes["lease_lost"], 1);
    assert_eq!(outcomes["panicked"], 0);

    let before = metrics.read();
    let held = metrics.messages_in_flight.hold();
    metrics.retries.inc("55P03");
    let second = emf(&metrics, &before);
    assert_eq!(second[0]["MessagesReceived"], 0);
    assert_eq!(second[0]["MessagesInFlight"], 1);
    assert_eq!(second[0]["Retries"], 1);
    assert_eq!(second[0]["PutTime"], Json::Null);
    let by_state = second.iter().find(|line| line["SqlState"] == "55P03");
    assert_eq!(by_state.unwrap()["Retries"], 1);
    drop(held);
}

#[test]
fn prometheus_gets_the_same() {
    let readings = busy()
        .read()
        .into_iter()
        .filter(|reading| reading.name.starts_with("extension_worker_"))
        .collect();
    let text = text(readings).unwrap();
    for line in [
        "# TYPE extension_worker_messages_received counter",
        "extension_worker_messages_received_total 4",
        "extension_worker_messages_handled_total{outcome=\"failed\"} 1",
        "extension_worker_messages_in_flight 0",
        "# UNIT extension_worker_put_seconds seconds",
        "extension_worker_put_seconds_count 3",
        "extension_worker_put_seconds_bucket{le=\"0.005\"} 2",
        "extension_worker_put_seconds_bucket{le=\"+Inf\"} 3",
        "extension_worker_retries_total{sqlstate=\"55P03\"} 1",
        "extension_worker_sqs_calls_total{operation=\"SendMessage\"} 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let sum = text
        .lines()
        .find_map(|line| line.strip_prefix("extension_worker_put_seconds_sum "))
        .unwrap();
    assert!((sum.parse::<f64>().unwrap() - 0.707).abs() < 1e-9, "{sum}");
    let lines = text.strip_suffix("# EOF\n").unwrap();
    for line in lines.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("extension_worker_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn handling_that_is_dropped_without_an_outcome_is_a_panic_unless_a_cause_is_noted() {
    let metrics = Metrics::default();
    drop(metrics.handling());
    let panicking = metrics.clone();
    let thread = std::thread::spawn(move || {
        let _handling = panicking.handling();
        panic!("as a handler might");
    });
    assert!(thread.join().is_err());
    let handled = || {
        let lines = emf(&metrics, &[]);
        assert_eq!(lines[0]["MessagesInFlight"], 0);
        ["panicked", "lease_lost", "cancelled"].map(|outcome| {
            let line = lines.iter().find(|line| line["Outcome"] == outcome);
            line.unwrap()["MessagesHandled"].as_u64().unwrap()
        })
    };
    assert_eq!(handled(), [1, 0, 0]);
    metrics.lease_lost();
    assert_eq!(handled(), [1, 1, 0]);
    // It was lost while the message was acknowledged: the handler had done its part.
    metrics.lease_lost();
    assert_eq!(handled(), [1, 1, 0]);
    drop(metrics.handling());
    metrics.stopped();
    assert_eq!(handled(), [1, 1, 1]);
}

#[test]
fn a_server_that_makes_up_codes_does_not_fill_the_memory() {
    let metrics = Metrics::default();
    for number in 0..1000 {
        metrics.retries.inc(&format!("{number:05}"));
    }
    metrics.retries.inc("\"}\n");
    metrics.retries.inc(&"x".repeat(100_000));
    let readings = metrics.read();
    let retries = readings
        .iter()
        .find(|reading| reading.cloudwatch == "Retries");
    let Value::CountBy { counts, .. } = &retries.unwrap().value else {
        panic!("{retries:?}");
    };
    assert_eq!(counts.len(), 51);
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 1002);
}

#[test]
fn the_manual_has_a_row_for_each_instrument() {
    let manual = include_str!("../../../../docs/metrics.md");
    let rows = Metrics::default().read().into_iter().map(|reading| {
        let (suffix, label) = match &reading.value {
            Value::Count(_) | Value::Spent(_) => ("_total", String::new()),
            Value::CountBy { label, .. } => ("_total", format!("{{{label}}}")),
            Value::Level(_) | Value::Distribution(_) => ("", String::new()),
        };
        let (name, cloudwatch, unit) = (reading.name, reading.cloudwatch, reading.unit);
        let unit = format!("{unit:?}").to_lowercase();
        format!(
            "| `{name}{suffix}{label}` | `{cloudwatch}` | {unit} | {} |",
            reading.help
        )
    });
    let lacking: Vec<String> = rows.filter(|row| !manual.contains(row)).collect();
    assert!(
        lacking.is_empty(),
        "docs/metrics.md lacks:\n{}",
        lacking.join("\n")
    );
}
