//! Counters, gauges and histograms: atomics that the working code increments and the exporters read.
//!
//! They are not those of the crate that writes Prometheus's format: that one's histograms cannot be read, which the lines
//! for CloudWatch need.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::labels::Label;
use super::reading::{Bucket, Value};

/// The longest of each bucket, in seconds: a request that is in sync takes some milliseconds, one that waits for its
/// server up to an hour.
const BOUNDS: [f64; 20] = [
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    900.0,
    3600.0,
    f64::INFINITY,
];

/// Codes that are counted separately; a server can make up any number of them.
const MAX_CODES: usize = 50;
/// What the others are counted as.
const OTHER_CODE: &str = "other";
/// A SQLSTATE has five characters, the words for what has none a few more.
const MAX_CODE_BYTES: usize = 16;

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// It happened once more.
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub(crate) fn add(&self, count: usize) {
        self.0
            .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn read(&self) -> Value {
        Value::Count(self.0.load(Relaxed))
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub struct CounterBy<L> {
    counts: Box<[AtomicU64]>,
    label: PhantomData<L>,
}

impl<L: Label> Default for CounterBy<L> {
    fn default() -> Self {
        Self {
            counts: L::ALL.iter().map(|_| AtomicU64::default()).collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label> CounterBy<L> {
    /// It happened once more.
    pub(crate) fn inc(&self, label: L) {
        if let Some(count) = self.counts.get(label.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn read(&self) -> Value {
        let counts = L::ALL.iter().zip(&self.counts);
        Value::CountBy {
            label: L::NAME,
            dimension: L::DIMENSION,
            counts: counts
                .map(|(label, count)| (Cow::Borrowed(label.as_str()), count.load(Relaxed)))
                .collect(),
        }
    }
}

/// A counter for each code that was met, a bounded number of them. For what is rare: it takes a lock.
#[derive(Debug, Default)]
pub struct CounterByCode(Mutex<BTreeMap<Cow<'static, str>, u64>>);

impl CounterByCode {
    /// It happened once more.
    pub(crate) fn inc(&self, code: &str) {
        let is_code = (1..=MAX_CODE_BYTES).contains(&code.len())
            && code
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(code) {
            *count += 1;
        } else if is_code && counts.len() < MAX_CODES {
            counts.insert(Cow::Owned(code.to_owned()), 1);
        } else {
            *counts.entry(Cow::Borrowed(OTHER_CODE)).or_default() += 1;
        }
    }

    pub(super) fn read(&self) -> Value {
        let counts = self.0.lock();
        Value::CountBy {
            label: "sqlstate",
            dimension: Some("SqlState"),
            counts: counts.clone().into_iter().collect(),
        }
    }
}

/// Grows and shrinks. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// There is one more, until what is returned is dropped.
    #[must_use]
    pub(crate) fn hold(&self) -> GaugeGuard {
        self.0.fetch_add(1, Relaxed);
        GaugeGuard(self.clone())
    }

    pub(super) fn read(&self) -> Value {
        Value::Level(self.0.load(Relaxed))
    }
}

/// One of those that a gauge counts.
#[derive(Debug)]
pub(crate) struct GaugeGuard(Gauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram([Slot; BOUNDS.len()]);

/// The sum is kept for each bucket, so that the mean of any interval's observations in it can be computed.
#[derive(Debug, Default)]
struct Slot {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// It took so long.
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let slot = BOUNDS.iter().zip(&self.0).find(|(le, _)| seconds <= **le);
        if let Some((_, slot)) = slot {
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            slot.nanoseconds.fetch_add(nanoseconds, Relaxed);
            slot.count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn read(&self) -> Value {
        let slots = BOUNDS.iter().zip(&self.0);
        let bucket = |(le, slot): (&f64, &Slot)| Bucket {
            le: *le,
            count: slot.count.load(Relaxed),
            sum: Duration::from_nanos(slot.nanoseconds.load(Relaxed)),
        };
        Value::Distribution(slots.map(bucket).collect())
    }
}
