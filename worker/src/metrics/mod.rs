//! What the worker counts and measures: one set of instruments, shown as text for Prometheus ([`text`]) and written
//! as lines for CloudWatch ([`start`]). It changes nothing and decides nothing.
//!
//! A new instrument is one entry in the list below, and one row in `docs/metrics.md`, which a test asks for; what
//! uses it takes [`Metrics`]. A new label value is one line in `labels.rs`.

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
    /// Handlers that were cancelled, without a cause noted yet.
    cancelled: AtomicU64,
}

impl Deref for Metrics {
    type Target = Instruments;

    fn deref(&self) -> &Instruments {
        &self.0.instruments
    }
}

impl Metrics {
    /// What every instrument shows now, and what the system says of the process.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let mut readings = self.0.instruments.read();
        readings.extend(process::read());
        readings
    }
}

/// Makes the instruments of a list: what each means, its name, its kind, its name in CloudWatch, and its unit. The name in
/// Prometheus is the field's behind `extension_worker_`; a counter's ends in `_total` there.
macro_rules! instruments {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ty = $cloudwatch:literal, $unit:ident;)+) => {
        /// The instruments. Using one is an atomic operation or two; only [`CounterByCode`] takes a lock.
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
    /// Messages that receives brought, redeliveries too.
    messages_received: Counter = "MessagesReceived", Count;
    /// Messages that were handled, by outcome.
    messages_handled: CounterBy<Outcome> = "MessagesHandled", Count;
    /// Messages that are being handled.
    messages_in_flight: Gauge = "MessagesInFlight", Count;
    /// From the start of a message's handling to its end, without the acknowledgement.
    handling_seconds: Histogram = "HandlingTime", Seconds;
    /// PUTs of answers, by result; an answer may take several.
    puts: CounterBy<PutResult> = "Puts", Count;
    /// From the start of a PUT to its status, or until it was given up.
    put_seconds: Histogram = "PutTime", Seconds;
    /// Attempts at a request that were repeated, by the SQLSTATE of the failure or a word where it has none.
    retries: CounterByCode = "Retries", Count;
    /// Leases that were lost while their message was handled.
    lease_losses: Counter = "LeaseLosses", Count;
    /// Requests that came after their deadline: nothing is changed, and nobody waits for an answer.
    stale_requests: Counter = "StaleRequests", Count;
    /// Receives of requests that CloudFormation did not confirm, or could not be asked about.
    unverified_requests: Counter = "UnverifiedRequests", Count;
    /// Requests whose ResponseURL names a host that is not CloudFormation's for the stack's region; they are not answered.
    refused_response_hosts: Counter = "RefusedResponseHosts", Count;
    /// Messages that were put in the dead-letter queue.
    dead_letters: Counter = "DeadLetters", Count;
    /// Calls of SQS, by operation; the SDK's own retries are not counted.
    sqs_calls: CounterBy<SqsCall> = "SqsCalls", Count;
    /// Receives that failed.
    receive_failures: Counter = "ReceiveFailures", Count;
    /// Databases that a re-sync was at, by how it found or left them.
    resync_databases: CounterBy<ResyncState> = "ResyncDatabases", Count;
    /// Connections to databases that are open, at work or at rest.
    database_connections: Gauge = "DatabaseConnections", Count;
}
