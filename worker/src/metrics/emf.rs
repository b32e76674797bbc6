//! The instruments as lines in CloudWatch's embedded metric format: what happened in an interval. Pure.
//!
//! The first line holds everything without a dimension, and a zero for each counter that did not move, so that an alarm
//! has data; an interval without observations has no value of a histogram. A line for each value of a label follows,
//! where the label is a dimension.
//!
//! Source: "Specification: Embedded metric format" in CloudWatch's user guide. A histogram is `{"Values": …, "Counts": …}`,
//! which that page leaves out and AWS's own writer of the format (awslabs/metrique) relies on; an array of the single
//! observations, which it has, ends at 100 of them.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::reading::{Bucket, Reading, Unit, Value};

/// The lines for what changed from `before`, an earlier reading or none, to `now`. The time is in milliseconds since 1970.
pub(super) fn lines(
    namespace: &str,
    timestamp_ms: i64,
    before: &[Reading],
    now: &[Reading],
) -> Vec<String> {
    let mut all = Line::default();
    let mut by_dimension = Vec::new();
    for reading in now {
        let earlier = before
            .iter()
            .find(|earlier| earlier.name == reading.name)
            .map(|earlier| &earlier.value);
        if let Some(value) = total(&reading.value, earlier) {
            all.add(reading, value);
        }
        if let Value::CountBy {
            dimension: Some(dimension),
            counts,
            ..
        } = &reading.value
        {
            for (label, count) in counts {
                let mut line = Line::default();
                line.members
                    .insert((*dimension).to_owned(), json!(label.as_ref()));
                line.dimension = Some(*dimension);
                let count = count.saturating_sub(count_of(earlier, label));
                line.add(reading, json!(count));
                by_dimension.push(line);
            }
        }
    }
    std::iter::once(all)
        .chain(by_dimension)
        .map(|line| line.text(namespace, timestamp_ms))
        .collect()
}

#[derive(Default)]
struct Line {
    dimension: Option<&'static str>,
    metrics: Vec<Json>,
    members: Map<String, Json>,
}

impl Line {
    fn add(&mut self, reading: &Reading, value: Json) {
        let unit = match reading.unit {
            Unit::Count => "Count",
            Unit::Seconds => "Seconds",
            Unit::Bytes => "Bytes",
        };
        self.metrics
            .push(json!({"Name": reading.cloudwatch, "Unit": unit}));
        self.members.insert(reading.cloudwatch.to_owned(), value);
    }

    fn text(mut self, namespace: &str, timestamp_ms: i64) -> String {
        let directive = json!({
            "Namespace": namespace,
            "Dimensions": [Vec::from_iter(self.dimension)],
            "Metrics": self.metrics,
        });
        self.members.insert(
            "_aws".to_owned(),
            json!({"Timestamp": timestamp_ms, "CloudWatchMetrics": [directive]}),
        );
        Json::Object(self.members).to_string()
    }
}

/// What changed, over all values of a label; nothing where nothing was observed.
fn total(now: &Value, before: Option<&Value>) -> Option<Json> {
    Some(match now {
        Value::Count(count) => {
            let earlier = match before {
                Some(Value::Count(earlier)) => *earlier,
                _ => 0,
            };
            json!(count.saturating_sub(earlier))
        }
        Value::CountBy { counts, .. } => {
            let changes = counts
                .iter()
                .map(|(label, count)| count.saturating_sub(count_of(before, label)));
            json!(changes.sum::<u64>())
        }
        Value::Level(level) => json!(level),
        Value::Spent(time) => {
            let earlier = match before {
                Some(Value::Spent(earlier)) => *earlier,
                _ => Duration::ZERO,
            };
            json!(time.saturating_sub(earlier).as_secs_f64())
        }
        Value::Distribution(buckets) => return distribution(buckets, before),
    })
}

fn count_of(before: Option<&Value>, label: &str) -> u64 {
    match before {
        Some(Value::CountBy { counts, .. }) => counts
            .iter()
            .find(|(known, _)| known == label)
            .map_or(0, |(_, count)| *count),
        _ => 0,
    }
}

/// Each bucket's observations are counted with their mean, so that the sum is right.
fn distribution(now: &[Bucket], before: Option<&Value>) -> Option<Json> {
    let before = match before {
        Some(Value::Distribution(buckets)) => buckets.as_slice(),
        _ => &[],
    };
    let mut values = Vec::new();
    let mut counts = Vec::new();
    for (index, bucket) in now.iter().enumerate() {
        let earlier = before.get(index);
        let count = bucket
            .count
            .saturating_sub(earlier.map_or(0, |earlier| earlier.count));
        let sum = bucket
            .sum
            .saturating_sub(earlier.map_or(Duration::ZERO, |earlier| earlier.sum));
        if count > 0 {
            #[allow(
                clippy::cast_precision_loss,
                reason = "a mean of more than 2^53 observations may be less exact"
            )]
            values.push(sum.as_secs_f64() / count as f64);
            counts.push(count);
        }
    }
    (!values.is_empty()).then(|| json!({"Values": values, "Counts": counts}))
}
