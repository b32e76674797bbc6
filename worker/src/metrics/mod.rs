//! The worker's metrics: one set of instruments, served as text for Prometheus ([`text`]) and written as lines for
//! CloudWatch ([`start`]). No decision of the worker depends on them.
//!
//! To add an instrument, add one entry to the list below and one row to `docs/metrics.md`, which a test requires, and pass
//! [`Metrics`] to the code that counts. To add a label value, add one line to `labels.rs`.

mod emf;
mod handling;
mod instrument;
mod labels;
mod process;
mod prometheus;
mod reading;
mod report;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use instrument::Gauge;
pub(crate) use instrument::{Counter, CounterBy, CounterByCode, GaugeGuard, Histogram};
pub(crate) use labels::{Label, Outcome, PutResult, ResyncState, SqsCall};
pub(crate) use prometheus::{CONTENT_TYPE, text};
pub(crate) use reading::{Reading, Unit};
pub use report::{ReportSettings, Reporter, start};

/// The process's instruments; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    instruments: Instruments,
    /// Handlers that were cancelled, and whose cause is not recorded yet.
    cancelled: AtomicU64,
}

impl Deref for Metrics {
    type Target = Instruments;

    fn deref(&self) -> &Instruments {
        &self.0.instruments
    }
}

impl Metrics {
    /// Reads every instrument, and the CPU time and memory of the process.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let mut readings = self.0.instruments.read();
        readings.extend(process::read());
        readings
    }
}

/// Defines the instruments of a list. An entry has the help text, the field, the kind, the name in CloudWatch and the unit. The
/// name in Prometheus is `extension_worker_` and the field; that of a counter ends in `_total`.
macro_rules! instruments {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ty = $cloudwatch:literal, $unit:ident;)+) => {
        /// The instruments. Each use takes one or two atomic operations; only [`CounterByCode`] takes a lock.
        #[derive(Debug, Default)]
        pub struct Instruments {
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Instruments {
            fn read(&self) -> Vec<Reading> {
                vec![$(Reading {
                    name: concat!("extension_worker_", stringify!($field)),
                    cloudwatch: $cloudwatch,
                    help: concat!($($help),+).trim_start(),
                    unit: Unit::$unit,
                    value: self.$field.read(),
                }),+]
            }
        }
    };
}

instruments! {
    /// Messages that were received, redeliveries included.
    messages_received: Counter = "MessagesReceived", Count;
    /// Messages that were processed, by outcome.
    messages_handled: CounterBy<Outcome> = "MessagesHandled", Count;
    /// Messages that are being processed.
    messages_in_flight: Gauge = "MessagesInFlight", Count;
    /// Time to process a message, without its acknowledgement.
    handling_seconds: Histogram = "HandlingTime", Seconds;
    /// PUTs of responses, by result; a response may take several.
    puts: CounterBy<PutResult> = "Puts", Count;
    /// Time from the start of a PUT to its status, or to its timeout.
    put_seconds: Histogram = "PutTime", Seconds;
    /// Attempts at a request that failed and were repeated, by SQLSTATE, or by a word for a failure without one.
    retries: CounterByCode = "Retries", Count;
    /// Leases that were lost while their message was processed.
    lease_losses: Counter = "LeaseLosses", Count;
    /// Requests that arrived after their deadline: nothing is changed, and no response is sent.
    stale_requests: Counter = "StaleRequests", Count;
    /// Received requests that CloudFormation did not confirm, or that could not be verified yet.
    unverified_requests: Counter = "UnverifiedRequests", Count;
    /// Requests whose ResponseURL names a host that is not CloudFormation's for the stack's region; no response is sent.
    refused_response_hosts: Counter = "RefusedResponseHosts", Count;
    /// Messages that were moved to the dead-letter queue.
    dead_letters: Counter = "DeadLetters", Count;
    /// Calls of SQS, by operation, without the SDK's own retries.
    sqs_calls: CounterBy<SqsCall> = "SqsCalls", Count;
    /// Receives that failed.
    receive_failures: Counter = "ReceiveFailures", Count;
    /// Databases that a re-sync or a check before an upgrade processed, by state.
    resync_databases: CounterBy<ResyncState> = "ResyncDatabases", Count;
    /// Open connections to databases, idle ones included.
    database_connections: Gauge = "DatabaseConnections", Count;
}
