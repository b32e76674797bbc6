//! What alarms and the dashboard show is what the worker emits.

use serde_json::Value as Json;

use super::super::{Metrics, emf};

/// What alarms and dashboard of the templates look at beside the worker's own metrics.
const METRICS_OF_AWS: [(&str, &str); 5] = [
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
    ("AWS/ECS", "CPUUtilization"),
    ("AWS/SNS", "NumberOfNotificationsFailed"),
];

#[test]
fn each_alarm_looks_at_a_metric_that_the_worker_emits() {
    let emitted = emitted();
    let template = include_str!("../../../../templates/worker.yaml");
    let lines: Vec<&str> = template.lines().map(str::trim).collect();
    let mut own = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(metric) = line.strip_prefix("MetricName: ") else {
            continue;
        };
        let namespace = lines[index - 1].strip_prefix("Namespace: ").unwrap();
        if namespace != "!Sub \"ExtensionWorker/${AWS::StackName}\"" {
            assert!(
                METRICS_OF_AWS.contains(&(namespace, metric)),
                "{namespace} {metric}"
            );
            continue;
        }
        let dimension = lines[index + 1]
            .strip_prefix("Dimensions: [{Name: ")
            .and_then(|rest| rest.strip_suffix("}]"))
            .map(|rest| rest.replace(", Value: ", "="));
        own.push((metric.to_owned(), dimension.unwrap_or_default()));
    }
    for metric in &own {
        assert!(
            emitted.contains(metric),
            "{metric:?}, which no worker emits"
        );
    }
    let mut names: Vec<String> = own
        .iter()
        .map(|(name, by)| format!("{name} {by}"))
        .collect();
    names.sort();
    // An alarm that is left out, or is read wrongly here, is missing.
    let expected = [
        "LeaseLosses ",
        "MessagesHandled Outcome=failed",
        "MessagesHandled Outcome=given_back",
        "MessagesHandled Outcome=panicked",
        "MessagesHandled Outcome=unanswered",
        "MessagesInFlight ",
        "ReceiveFailures ",
        "RefusedResponseHosts ",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_dashboard_shows_metrics_that_the_worker_emits() {
    let emitted = emitted();
    let template = include_str!("../../../../templates/dashboard.yaml");
    let mut shown = 0;
    for entry in template.split("[\"${Namespace}\", \"").skip(1) {
        let entry = entry.split(']').next().unwrap();
        let words: Vec<&str> = entry.split('{').next().unwrap().split('"').collect();
        let dimension = match (words.get(2), words.get(4)) {
            (Some(name), Some(value)) => format!("{name}={value}"),
            _ => String::new(),
        };
        let metric = (words[0].to_owned(), dimension);
        // A time that was not observed is absent.
        let is_time = metric.0.ends_with("Time");
        assert!(is_time || emitted.contains(&metric), "{metric:?}");
        shown += 1;
    }
    assert!(shown > 10, "{shown}");
}

/// The metrics of a worker that did nothing yet, each with its dimension as "name=value".
fn emitted() -> Vec<(String, String)> {
    let now = Metrics::default().read();
    let mut emitted = Vec::new();
    for line in emf::lines("ExtensionWorker/app", 0, &[], &now) {
        let line: Json = serde_json::from_str(&line).unwrap();
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let dimension = directive["Dimensions"][0][0].as_str();
        let dimension = dimension.map(|name| format!("{name}={}", line[name].as_str().unwrap()));
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap().to_owned();
            emitted.push((name, dimension.clone().unwrap_or_default()));
        }
    }
    emitted
}
