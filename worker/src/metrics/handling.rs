//! One message's handling, from its start to its end, however it ends.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::instrument::GaugeGuard;
use super::{Metrics, Outcome};

/// A message that is being handled. Where it is dropped without an outcome its handler panicked, or was cancelled: the
/// caller then says why, with [`Metrics::lease_lost`] or [`Metrics::stopped`].
#[derive(Debug)]
pub(crate) struct Handling<'a> {
    metrics: &'a Metrics,
    began: Instant,
    outcome: Option<Outcome>,
    _in_flight: GaugeGuard,
}

impl Metrics {
    /// The handling of a message begins.
    pub(crate) fn handling(&self) -> Handling<'_> {
        Handling {
            metrics: self,
            began: Instant::now(),
            outcome: None,
            _in_flight: self.messages_in_flight.hold(),
        }
    }

    /// The lease of a message is lost, and its handler was cancelled if it was still at work.
    pub(crate) fn lease_lost(&self) {
        self.lease_losses.inc();
        let explained = self
            .0
            .cancelled
            .fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        if explained.is_ok() {
            self.messages_handled.inc(Outcome::LeaseLost);
        }
    }

    /// Handlers that were at work were cancelled, as the worker stops.
    pub(crate) fn stopped(&self) {
        for _ in 0..self.0.cancelled.swap(0, Relaxed) {
            self.messages_handled.inc(Outcome::Cancelled);
        }
    }
}

impl Handling<'_> {
    /// It is over.
    pub(crate) fn ends(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking().then_some(Outcome::Panicked);
        match self.outcome.or(panicked) {
            Some(outcome) => self.metrics.messages_handled.inc(outcome),
            None => {
                self.metrics.0.cancelled.fetch_add(1, Relaxed);
            }
        }
        self.metrics.handling_seconds.observe(self.began.elapsed());
    }
}
