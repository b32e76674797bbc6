//! PostgreSQL. The only module that knows tokio-postgres and deadpool.

mod budget;
mod connection;
mod error;
mod observe;
mod pool;
mod schema_objects;
mod session;
mod transaction;

pub use budget::Budget;
pub use observe::Scope;
pub use pool::{PoolSettings, Pools};
pub use schema_objects::SchemaObjects;
pub use session::{Applied, Session};
