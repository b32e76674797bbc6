//! What goes wrong with a database, and what to do about it. Pure: [`crate::database`] makes these out of the driver's
//! errors.

mod sqlstate;
mod statement;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

pub use sqlstate::{Class, classify};
pub use statement::Statement;

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
    /// PostgreSQL refused a statement.
    #[error("{0}")]
    Sql(Box<SqlError>),
    /// PostgreSQL refused the log-in.
    #[error("{0}")]
    LogIn(Box<SqlError>),
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
    /// An older worker made the ledger, as another role.
    #[error(
        "the ledger in schema extension_worker has version {0} and belongs to another role, which alone can bring it to a \
         newer one: run one request with that role's secret, or give the schema and what is in it to this one"
    )]
    OlderLedger(u32),
}

impl DatabaseError {
    /// The SQLSTATE, or a word where there is none.
    pub fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Sql(error) | Self::LogIn(error) => return Cow::Owned(error.sqlstate.clone()),
            Self::NoSuchHost(_) => "no_such_host",
            Self::Unreachable(..) => "unreachable",
            Self::Lost(..) => "lost",
            Self::Busy | Self::Exhausted(_) => "busy",
            Self::Tls(..) => "tls",
            Self::Unreadable(_) => "unreadable",
            Self::ForeignLedger(_) | Self::NewerLedger(_) | Self::OlderLedger(_) => "ledger",
        })
    }

    /// PostgreSQL's error fields, where it was PostgreSQL that refused.
    pub fn sql(&self) -> Option<&SqlError> {
        if let Self::Sql(error) | Self::LogIn(error) = self {
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
