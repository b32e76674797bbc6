//! PostgreSQL. The only module that knows tokio-postgres and deadpool; it decides nothing.

mod error;
mod ledger;
mod observe;
mod pool;
mod session;
pub mod sqlstate;

use std::fmt;

pub use error::{DatabaseError, SqlError};
pub use ledger::Entry;
pub use observe::Scope;
pub use pool::{PoolSettings, Pools};
pub use session::{Applied, Session};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// One database of one server, as one role.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The server.
    pub address: Address,
    /// The database.
    pub database: String,
    /// The role.
    pub username: String,
}
