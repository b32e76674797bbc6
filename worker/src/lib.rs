//! `extension-worker` makes PostgreSQL databases have the extensions that CloudFormation stacks declare.
//!
//! # How a message is processed
//! receive → parse → observe → plan → apply → respond → acknowledge. A room is a module of this table, and imports only
//! rooms below it; (P) marks a pure room: no I/O, clock, environment or randomness. The test `rooms.rs` checks both.
//!
//! | Room | Purpose |
//! |---|---|
//! | [`cli`] | The commands that people run: `plan` and `apply` on this machine, `resync` and `upgrade-check` by the workers |
//! | [`config`] | Flags and environment variables |
//! | [`consumer`] | Receives messages, keeps each under its lease, acknowledges it or returns it to the queue |
//! | [`handler`] | One message: verify → parse → execute or re-sync → respond |
//! | [`resync`] | The workers' part of a re-sync: expands targets to servers, reports or repairs each database |
//! | [`verification`] | Verifies with CloudFormation that the operation of a request is under way; verifies senders and topics |
//! | [`sns_signature`] | Verifies that SNS signed the message; its `signed_fields`, `certificate_url` and `certificate` are (P) |
//! | [`execution`] | From a request to its response: attempts, the retry loop, the limits for servers, stacks and accounts |
//! | [`reconcile`] | One transaction in one database: idempotency, plan, apply, verify, commit with the ledger |
//! | [`response`] (P) | The response of at most 4096 bytes, physical resource ids, every Reason |
//! | [`postgres`] | Connections, pools, sessions, the observe query |
//! | [`credentials`] | Secrets and IAM tokens, and the hosts that they may be sent to |
//! | [`aws`] | Calls to SQS, SNS, RDS, CloudFormation and STS; the PUT to the ResponseURL |
//! | [`plan`] (P) | Declared + observed + ledger → steps, drift, ownership afterwards |
//! | [`upgrade`] (P) | Facts of a server and its databases + the offer of the target → findings before an upgrade |
//! | [`ledger`] (P) | Which resource owns which extension: the model, its SQL, its migrations, the check whether it may be used |
//! | [`resync_protocol`] (P) | The messages and events of a re-sync between the client and the workers |
//! | [`request`] (P) | The body of an SQS message → a request |
//! | [`postgres_error`] (P) | SQLSTATE → reaction |
//! | [`extension`] (P) | Names, versions, declarations, observations |
//! | [`target`] (P) | Host, address, database |
//! | [`process`] | Logs, health, TLS, HTTP, pauses between attempts |
//! | [`metrics`] | Instruments, and their output for CloudWatch and Prometheus |
//!
//! # Invariants
//! - A pure room never does I/O and never reads a clock, the environment or randomness.
//! - No type of the AWS SDK, `tokio-postgres` or `reqwest` is in the public signature of a room that does not call that
//!   service. [`aws`], [`credentials::secrets`], [`postgres`] and [`process::http`] make no decisions about requests.
//! - No module but [`config`] reads the environment, and none but [`process::retry`] knows the crate `backoff`.
//! - Nothing is changed in a database for a request that [`verification`] does not confirm, where it is enabled.
//! - A connection never returns to its pool with an open transaction or a running statement.
//! - A secret is never used again after PostgreSQL refused it, if Secrets Manager has a newer version.
//! - No code undoes a change: a failed attempt leaves only committed stages of updates, and the next one observes again.
//! - No message is acknowledged before its response was accepted, except a message that CloudFormation no longer waits for,
//!   and one whose response is refused for good.
//! - `resync` always deletes its temporary queue and subscription, unless it is killed.
//! - No text of a request is in SQL unescaped: the types of names and versions escape them, everything else is a parameter
//!   or goes through `postgres_protocol::escape`.
//! - No instrument of [`metrics`] is global, and no decision depends on an instrument or on the trace of a message.
//!
//! # Limits on concurrency
//! | Limited resource | By | Limit |
//! |---|---|---|
//! | Receive calls at the same time | [`consumer`], its poller | 1; up to 4 after full batches |
//! | Messages received and not acknowledged | [`consumer`], its poller | `WORKER_CONCURRENCY` + [`execution::fair_share::waiting_room`] |
//! | Messages processed at the same time | [`execution::fair_share`] | `WORKER_CONCURRENCY` (16); half of it for one stack or account while other messages wait |
//! | Requests for one server | [`execution::server_limit`] | `WORKER_SERVER_CONCURRENCY` (half of the above); requests do not wait for a server that does not answer |
//! | Databases of one request, or of one server in a re-sync | [`execution`], [`resync`] | 4 each |
//! | Databases of all re-syncs, for 5 s after a stack's request | [`execution::background`] | 1, which begins when no request is processed, or after 0.25 s |
//! | Servers in re-sync at the same time | [`resync::Resync`] | half of `WORKER_CONCURRENCY`; one expansion, which reads 8 secrets at a time |
//! | Connections of the process | [`postgres::limit::ConnectionLimit`] | `WORKER_CONNECTIONS` (200), idle ones included |
//! | Connections to one database, for each role | [`postgres::Pools`] | `WORKER_CONNECTIONS_PER_DATABASE` (4) |
//!
//! In addition there is at most one call at a time for each secret ([`credentials::secrets`]), for signing certificates
//! ([`sns_signature::certificate_cache`]) and for the endpoints that RDS reports ([`credentials::AllowedHosts`]); other
//! requests wait for its result.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the documentation is made with its private items: this is a program, and no dependency of others"
)]

// What a message passes, from the outside in.
pub mod cli;
pub mod config;
pub mod consumer;
pub mod execution;
pub mod handler;
pub mod reconcile;
pub mod resync;
pub mod sns_signature;
pub mod verification;

// Services.
pub mod aws;
pub mod credentials;
pub mod postgres;

// Pure.
pub mod extension;
pub mod ledger;
pub mod plan;
pub mod postgres_error;
pub mod request;
pub mod response;
pub mod resync_protocol;
pub mod target;
pub(crate) mod upgrade;

// The process.
pub mod metrics;
pub mod process;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod rooms;
