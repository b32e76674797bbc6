//! PostgreSQL. The only module that knows tokio-postgres and deadpool.

mod connection;
mod connection_limit;
mod error;
mod first_statement;
mod guard;
mod guarded_stream;
mod library_settings;
mod limit;
mod observe;
mod offer;
mod pool;
mod prepared;
mod reached;
mod resolve;
mod schema_objects;
mod session;
mod session_settings;
mod session_start;
mod transaction;
mod upgrade;

pub use first_statement::FirstStatement;
pub use limit::ConnectionLimit;
pub use offer::{Freshness, Offers};
pub use pool::{PoolSettings, Pools};
pub use reached::Reached;
pub use schema_objects::SchemaObjects;
pub use session::{Applied, DatabaseNames, Session, Tried};
pub(crate) use upgrade::OFFER as OFFER_QUERY;
