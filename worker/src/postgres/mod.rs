//! PostgreSQL. Only this module uses tokio-postgres and deadpool.

mod connection;
mod connection_limit;
mod error;
mod first_statement;
mod guard;
mod guarded_stream;
mod ledger_trust;
mod library_settings;
pub(crate) mod limit;
mod observe;
mod offer;
mod pool;
mod preparation;
mod prepared;
mod reached;
mod resolve;
mod schema_objects;
mod server_facts;
mod session;
mod session_settings;
mod session_start;
mod transaction;
mod upgrade;

pub(crate) use first_statement::FirstStatement;
pub(crate) use offer::Freshness;
pub use pool::{PoolSettings, Pools};
pub use session::Session;
pub(crate) use session::{Applied, CATALOG_TIMEOUT, DatabaseNames, Tried};
pub(crate) use upgrade::OFFER as OFFER_QUERY;
