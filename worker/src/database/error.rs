//! What goes wrong with a database, without tokio-postgres's types.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// A fault of a connection or a statement.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The host name does not exist.
    #[error("the host name does not exist")]
    NoSuchHost(#[source] Box<dyn StdError + Send + Sync>),
    /// Nothing answered, or what answered went away. The text says what happened.
    #[error("{0}")]
    Connection(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
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
        "schema extension_worker belongs to role {0}, which this role does not trust: drop it, or give it to this role"
    )]
    ForeignLedger(String),
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

impl DatabaseError {
    /// PostgreSQL's error fields, where it was PostgreSQL that refused.
    pub fn sql(&self) -> Option<&SqlError> {
        match self {
            Self::Sql(error) => Some(error),
            Self::NoSuchHost(_)
            | Self::Connection(..)
            | Self::Tls(..)
            | Self::Unreadable(_)
            | Self::ForeignLedger(_) => None,
        }
    }

    pub(super) fn timed_out(what: &str) -> Self {
        Self::Connection(format!("{what} timed out"), None)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refused) = error.as_db_error() {
            return Self::Sql(Box::new(SqlError {
                sqlstate: refused.code().code().to_owned(),
                message: refused.message().to_owned(),
                detail: refused.detail().map(str::to_owned),
                hint: refused.hint().map(str::to_owned),
                constraint: refused.constraint().map(str::to_owned),
            }));
        }
        // tokio-postgres' Display hides the cause.
        let causes: Vec<&(dyn StdError + 'static)> =
            std::iter::successors(error.source(), |&cause| cause.source()).collect();
        let innermost = causes
            .last()
            .map_or_else(|| error.to_string(), ToString::to_string);
        let is_tls = causes.iter().any(|cause| {
            cause.is::<rustls::Error>()
                || cause
                    .downcast_ref::<io::Error>()
                    .and_then(io::Error::get_ref)
                    .is_some_and(|inner| inner.is::<rustls::Error>())
        }) || error.to_string().contains("TLS");
        if is_tls {
            return Self::Tls(innermost, Box::new(error));
        }
        // std gives a failed look-up no kind of its own.
        if innermost.contains("failed to lookup address") {
            return if innermost.contains("Temporary failure") {
                Self::Connection(innermost, Some(Box::new(error)))
            } else {
                Self::NoSuchHost(Box::new(error))
            };
        }
        Self::Connection(innermost, Some(Box::new(error)))
    }
}
