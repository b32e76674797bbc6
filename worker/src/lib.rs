//! `extension-worker` makes PostgreSQL databases have the extensions that CloudFormation stacks declare.
//!
//! A message goes one way: receive → parse → observe → plan → apply → respond → acknowledge.
//!
//! What is absent, on purpose:
//! - [`message`], [`events`], [`signing_certificate`], [`trust`], [`extension`], [`plan`], [`fault`], [`ledger`], [`server`],
//!   [`shape`],
//!   [`response`] and [`report`] do no I/O and read no clock, environment or randomness; but for the roots of the machine's
//!   store, read once.
//! - Nothing is changed in a database for a request that [`verification`] does not confirm, where it is asked to; its
//!   `operation` and `topics` are pure.
//! - [`queue`], [`topic`], [`aws`], [`secrets`], [`database`] and [`http`] do not know what a request is for: each speaks to one
//!   service through one vendor crate, which no other module knows. [`responder`] and [`certificates`] go through [`http`].
//! - No connection goes back to its pool with a transaction open or a statement under way, and none is made beyond
//!   [`database::Budget`]. No secret serves after PostgreSQL refused it, where Secrets Manager has a newer one.
//! - No module but [`settings`] reads the environment, and none but [`retry`] knows the crate `backoff`.
//! - No instrument of [`metrics`] is global: whoever uses one was given it. Nothing is decided by what one shows, or by the
//!   trace that a message belongs to.
//! - Nothing is undone: an attempt that failed left nothing behind, and the next one looks afresh.
//! - Nothing is acknowledged before its answer was accepted; but for what CloudFormation no longer waits for, and an
//!   answer that it refuses.
//! - Whoever follows a re-sync in [`fleet`] leaves neither queue nor subscription behind, unless it is killed.
//! - No text of a request reaches SQL unescaped: names and versions escape themselves, everything else is a parameter or
//!   goes through `postgres_protocol::escape`.

// A message's way, from the outside in: consumer, handler (which asks signatures), patience, work, reconcile. `by_hand`
// comes in at work. `fleet` is on the other side: it asks workers, and gathers what they tell.
pub mod by_hand;
pub mod consumer;
pub mod credentials;
pub mod fleet;
pub mod handler;
pub mod login;
pub mod pass;
pub mod patience;
pub mod recent;
pub mod reconcile;
pub mod resync;
pub mod shares;
pub mod signatures;
pub mod trouble;
pub mod turns;
pub mod verification;
pub mod work;

// Pure.
pub mod events;
pub mod extension;
pub mod fault;
pub mod ledger;
pub mod message;
pub mod plan;
pub mod report;
pub mod response;
pub mod server;
pub mod shape;
pub mod signing_certificate;
pub mod trust;

// Edges.
pub mod aws;
pub mod certificates;
pub mod database;
pub mod http;
pub mod iam;
pub mod instances;
pub mod protection;
pub mod queue;
pub mod responder;
pub mod secrets;
pub mod topic;

// The process.
mod batch;
pub mod causes;
mod failpoint;
pub mod health;
mod input;
pub mod metrics;
pub mod retry;
pub mod settings;
pub mod telemetry;
pub mod tls;
