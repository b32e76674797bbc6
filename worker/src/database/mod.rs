//! PostgreSQL. The only module that knows tokio-postgres and deadpool.

mod budget;
mod connection;
mod error;
mod ledger;
mod observe;
mod pool;
mod session;

pub use budget::Budget;
pub use ledger::{Entry, ResyncEntry, newest_version as newest_ledger_version};
pub use observe::Scope;
pub use pool::{PoolSettings, Pools};
pub use session::{Applied, DatabaseNames, Session};
