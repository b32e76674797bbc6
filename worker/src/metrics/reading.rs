//! What an instrument shows at one moment. Plain data, which the two formats are made of.

use std::borrow::Cow;
use std::time::Duration;

/// What is counted or measured. Base units alone: no milliseconds, no kilobytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Things.
    Count,
    /// Time.
    Seconds,
    /// Memory.
    Bytes,
}

/// An instrument, and what it shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// Prometheus's name, without a counter's `_total`.
    pub(crate) name: &'static str,
    /// CloudWatch's name.
    pub(crate) cloudwatch: &'static str,
    /// What it means.
    pub(crate) help: &'static str,
    /// In what it is measured.
    pub(crate) unit: Unit,
    /// What it shows.
    pub(crate) value: Value,
}

/// What an instrument shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// How often something happened since the process began.
    Count(u64),
    /// The same, for each value of a label.
    CountBy {
        /// The label's name in Prometheus.
        label: &'static str,
        /// The dimension's name in CloudWatch; none where CloudWatch gets the sum alone.
        dimension: Option<&'static str>,
        /// By the label's value.
        counts: Vec<(Cow<'static, str>, u64)>,
    },
    /// How many there are now.
    Level(i64),
    /// How much time was spent since the process began.
    Spent(Duration),
    /// How long something took, since the process began.
    Distribution(Vec<Bucket>),
}

/// The observations between the bound of the bucket before and this one's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// The longest that belongs to it, in seconds; the last one's is infinite.
    pub(crate) le: f64,
    /// How many there are.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: Duration,
}
