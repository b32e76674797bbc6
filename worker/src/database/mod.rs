//! PostgreSQL. The only module that knows tokio-postgres and deadpool.

mod error;
mod ledger;
mod observe;
mod pool;
mod session;

pub use ledger::{Entry, newest_version as newest_ledger_version};
pub use observe::Scope;
pub use pool::{PoolSettings, Pools};
pub use session::{Applied, Session};
