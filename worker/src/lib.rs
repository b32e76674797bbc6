//! `extension-worker` makes PostgreSQL databases have the extensions that CloudFormation stacks declare.
//!
//! # The way of a message
//! receive → parse → observe → plan → apply → respond → acknowledge. From the top down, each room imports only rooms below
//! it; (P) marks a pure room: no I/O, clock, environment or randomness. The test `rooms.rs` holds both.
//!
//! | Room | What it does |
//! |---|---|
//! | [`cli`] | What a person runs: `plan` and `apply` on this machine, `resync` of a fleet by its workers |
//! | [`config`] | Flags and environment variables |
//! | [`consumer`] | Receives messages, keeps each under its lease, acknowledges it or returns it to the queue |
//! | [`handler`] | One message: verify → parse → execute or re-sync → respond |
//! | [`resync`] | The workers' half of a re-sync: expands targets to servers, reports or repairs each database |
//! | [`verification`] | Asks CloudFormation whether the stack is in the operation that the request names |
//! | [`sns_signature`] | Whether SNS signed the message; its `signed_fields`, `certificate_url` and `certificate` are (P) |
//! | [`execution`] | One request to its response: attempts, the retry loop, the limits for servers, stacks and accounts |
//! | [`reconcile`] | One transaction in one database: idempotency, plan, apply, verify, commit with the ledger |
//! | [`response`] (P) | The response of at most 4096 bytes, physical resource ids, every Reason |
//! | [`postgres`] | Connections, pools, sessions, the observe query |
//! | [`credentials`] | A secret or an IAM token, and to which hosts it may be sent |
//! | [`aws`] | Calls to SQS, SNS, RDS, CloudFormation and STS; the PUT to the ResponseURL |
//! | [`plan`] (P) | Declared + observed + ledger → steps, drift, ownership afterwards |
//! | [`upgrade`] (P) | Facts of a server and its databases + what the target offers → what an upgrade would meet |
//! | [`ledger`] (P) | Which resource owns which extension: the model, its SQL, its migrations, whether it may be trusted |
//! | [`resync_protocol`] (P) | What a client and the workers send each other for a re-sync |
//! | [`request`] (P) | The body of an SQS message → a request |
//! | [`postgres_error`] (P) | SQLSTATE → what to do |
//! | [`extension`] (P) | Names, versions, declarations, observations |
//! | [`target`] (P) | Host, address, database |
//! | [`process`] | Logs, health, TLS, HTTP, pauses between attempts |
//! | [`metrics`] | Instruments; what CloudWatch and Prometheus read |
//!
//! # What never happens
//! - A pure room never does I/O and never reads a clock, the environment or randomness.
//! - An AWS client, `tokio-postgres` or `reqwest` never decides: no type of a vendor crate stands in the public signature of a
//!   room that does not speak to that service. [`aws`], [`credentials::secrets`], [`postgres`] and [`process::http`] do not
//!   know what a request is for.
//! - No module but [`config`] reads the environment, and none but [`process::retry`] knows the crate `backoff`.
//! - Nothing is changed in a database for a request that [`verification`] does not confirm, where it is enabled.
//! - A connection never goes back to its pool with a transaction open or a statement under way.
//! - A secret is never used again after PostgreSQL refused it, where Secrets Manager has a newer one.
//! - Nothing is undone: an attempt that failed left nothing behind but committed stages of updates, and the next one
//!   observes afresh.
//! - No message is acknowledged before its response was accepted; except one that CloudFormation no longer waits for, and
//!   one whose response CloudFormation refuses.
//! - `resync` never leaves its temporary queue or subscription behind, unless it is killed.
//! - No text of a request reaches SQL unescaped: names and versions escape themselves, everything else is a parameter or
//!   goes through `postgres_protocol::escape`.
//! - No instrument of [`metrics`] is global, and nothing is decided by what one shows, or by the trace of a message.
//!
//! # Limits on concurrency
//! | What is limited | By | Limit |
//! |---|---|---|
//! | Receive calls at the same time | [`consumer`], its poller | 1; 4 while batches come back full |
//! | Messages received and not acknowledged | [`consumer`], its poller | `WORKER_CONCURRENCY` + [`execution::fair_share::waiting_room`] |
//! | Messages processed at the same time | [`execution::fair_share`] | `WORKER_CONCURRENCY` (16); half of it for one stack or account while others wait |
//! | Requests at one server | [`execution::server_limit`] | `WORKER_SERVER_CONCURRENCY` (half of the above); requests do not queue at a server that does not answer |
//! | Databases of one request, or of one server in a re-sync | [`execution`], [`resync`] | 4 each |
//! | Databases that re-syncs begin at the same time | [`execution::background`] | 4; none while a request is processed, for 0.25 s at the most |
//! | Servers in re-sync at the same time | [`resync::Resync`] | half of `WORKER_CONCURRENCY`; one expansion, which reads 8 secrets at a time |
//! | Connections of the process | [`postgres::limit::ConnectionLimit`] | `WORKER_CONNECTIONS` (200), idle ones included |
//! | Connections to one database, for each role | [`postgres::Pools`] | `WORKER_CONNECTIONS_PER_DATABASE` (4) |
//!
//! Beside these one call at a time is made for each secret ([`credentials::secrets`]), for signing certificates
//! ([`sns_signature::certificate_cache`]) and for the endpoints that RDS reports ([`credentials::AllowedHosts`]): others
//! meanwhile wait for that one.

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
