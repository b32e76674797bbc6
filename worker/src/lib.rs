//! `extension-worker` makes PostgreSQL databases have the extensions that CloudFormation stacks declare.
//!
//! A message goes one way: receive → parse → observe → plan → apply → respond → acknowledge.
//!
//! What is absent, on purpose:
//! - [`message`], [`extension`], [`plan`] and [`response`] do no I/O and read no clock, environment or randomness.
//! - [`queue`], [`secrets`], [`database`] and [`responder`] decide nothing: each knows one vendor crate, which no other
//!   module knows.
//! - No module but [`settings`] reads the environment, and none but [`retry`] knows the crate `backoff`.
//! - Nothing is undone: an attempt that failed left nothing behind, and the next one looks afresh.
//! - Nothing is acknowledged before its answer was accepted.
//! - No text reaches SQL but through the types of [`extension`], which escape it.

// From the outside to the inside of a message's way.
pub mod consumer;
pub mod handler;
pub mod reconcile;
pub mod work;

// Pure.
pub mod extension;
pub mod message;
pub mod plan;
pub mod response;

// Edges.
pub mod aws;
pub mod database;
pub mod queue;
pub mod responder;
pub mod secrets;

// The process.
pub mod health;
pub mod retry;
pub mod settings;
pub mod telemetry;
pub mod tls;
