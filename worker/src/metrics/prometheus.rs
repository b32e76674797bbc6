//! The instruments as text for Prometheus. The only module that knows the crate `prometheus_client`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as PrometheusUnit};

use super::reading::{Bucket, Reading, Unit, Value};

/// What the text is: OpenMetrics, which Prometheus has read since 2.5.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text.
///
/// # Errors
/// None: a string can always be written to.
pub(crate) fn text(readings: Vec<Reading>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Readings(readings)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Readings(Vec<Reading>);

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|reading| encode_one(reading, &mut encoder))
    }
}

fn encode_one(reading: &Reading, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (unit, suffix) = match reading.unit {
        Unit::Count => (None, ""),
        Unit::Seconds => (Some(PrometheusUnit::Seconds), "_seconds"),
        Unit::Bytes => (Some(PrometheusUnit::Bytes), "_bytes"),
    };
    // The encoder puts the unit behind the name.
    let name = reading.name.strip_suffix(suffix).unwrap_or(reading.name);
    let kind = match reading.value {
        Value::Count(_) | Value::CountBy { .. } | Value::Spent(_) => MetricType::Counter,
        Value::Level(_) => MetricType::Gauge,
        Value::Distribution(_) => MetricType::Histogram,
    };
    let mut metric = encoder.encode_descriptor(name, reading.help, unit.as_ref(), kind)?;
    match &reading.value {
        Value::Count(count) => metric.encode_counter::<NoLabelSet, _, u64>(count, None),
        Value::CountBy { label, counts, .. } => counts.iter().try_for_each(|(value, count)| {
            let labels = [(*label, value.as_ref())];
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(count, None)
        }),
        Value::Level(level) => metric.encode_gauge(level),
        Value::Spent(time) => {
            metric.encode_counter::<NoLabelSet, _, u64>(&time.as_secs_f64(), None)
        }
        Value::Distribution(buckets) => {
            let count = |bucket: &Bucket| (bucket.le, bucket.count);
            let counts: Vec<(f64, u64)> = buckets.iter().map(count).collect();
            metric.encode_histogram::<NoLabelSet>(
                buckets.iter().map(|bucket| bucket.sum.as_secs_f64()).sum(),
                buckets.iter().map(|bucket| bucket.count).sum(),
                &counts,
                None,
            )
        }
    }
}
