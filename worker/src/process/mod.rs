//! What the process as a whole needs: logs, health, TLS, HTTP, retries.

pub mod error_chain;
pub(crate) mod failpoint;
pub mod health;
pub mod http;
pub mod logging;
pub(crate) mod retry;
pub mod signals;
pub mod tls;
