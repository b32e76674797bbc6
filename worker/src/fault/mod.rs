//! What goes wrong with a database, and what to do about it. Pure: [`crate::database`] makes these out of the driver's
//! errors.

mod sqlstate;

use std::error::Error as StdError;
use std::fmt;

pub use sqlstate::{Class, classify};

/// A fault of a connection or a statement.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The host name does not exist.
    #[error("the host name does not exist")]
    NoSuchHost(#[source] Box<dyn StdError + Send + Sync>),
    /// No connection could be made. The text says what happened.
    #[error("{0}")]
    Unreachable(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// A connection broke. The text says what happened.
    #[error("the connection was lost: {0}")]
    Lost(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// The worker's own connections to the database are all in use.
    #[error("the worker's connections to this database are all in use")]
    Busy,
    /// All connections that the worker may have are in use, in all databases.
    #[error("all {0} connections of the worker are in use (WORKER_CONNECTIONS)")]
    Exhausted(usize),
    /// The server's certificate is not trusted, or TLS could not be agreed on.
    #[error("TLS: {0}")]
    Tls(String, #[source] Box<dyn StdError + Send + Sync>),
    /// PostgreSQL refused.
    #[error("{0}")]
    Sql(Box<SqlError>),
    /// The answer is not what the query asks for.
    #[error("PostgreSQL's answer cannot be read: {0}")]
    Unreadable(String),
    /// Somebody else made the schema in which the ledger is kept.
    #[error(
        "schema extension_worker belongs to role \"{0}\", whose tables this role must not trust. Use that role's secret, \
         or give the schema and what is in it to this one"
    )]
    ForeignLedger(String),
    /// A newer worker made the ledger.
    #[error(
        "the ledger in schema extension_worker has version {0}, which this worker does not know: run a newer one"
    )]
    NewerLedger(u32),
}

impl DatabaseError {
    /// PostgreSQL's error fields, where it was PostgreSQL that refused.
    pub fn sql(&self) -> Option<&SqlError> {
        if let Self::Sql(error) = self {
            Some(error)
        } else {
            None
        }
    }
}

/// PostgreSQL's error fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// The five characters.
    pub sqlstate: String,
    /// What went wrong.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What may help.
    pub hint: Option<String>,
    /// The constraint that was hurt.
    pub constraint: Option<String>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        for addition in [&self.detail, &self.hint].into_iter().flatten() {
            write!(
                formatter,
                ". {}",
                addition.trim_end_matches('.').replace('\n', "; ")
            )?;
        }
        write!(formatter, " [{}]", self.sqlstate)
    }
}
