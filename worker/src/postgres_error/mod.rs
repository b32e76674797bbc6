//! Errors of a database, and the reaction to them. Pure: [`crate::postgres`] converts the driver's errors into these.

mod pending_triggers;
mod pooler;
#[cfg(test)]
pub(crate) mod reference;
mod sqlstate;
mod statement;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

pub use sqlstate::{Class, classify};
pub use statement::Statement;

/// Maximum length of PostgreSQL's CONTEXT, of which a Reason has room for the first lines.
const MAX_CONTEXT_CHARACTERS: usize = 400;

/// An error of a connection or a statement.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The host name does not exist.
    #[error("the host name does not exist")]
    NoSuchHost(#[source] Box<dyn StdError + Send + Sync>),
    /// No connection could be opened, with the cause as text.
    #[error("{0}")]
    Unreachable(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// A connection was lost, with the cause as text.
    #[error("the connection was lost: {0}")]
    Lost(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// All of the worker's connections to the database are in use.
    #[error("the worker's connections to this database are all in use")]
    Busy,
    /// All connections that the worker may have to all databases are in use.
    #[error("all {0} connections of the worker are in use (WORKER_CONNECTIONS)")]
    Exhausted(usize),
    /// The server's certificate is not trusted, or the TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(String, #[source] Box<dyn StdError + Send + Sync>),
    /// The server requests an authentication that is not allowed, or fails its own part of it, with the cause as text.
    #[error("{0}")]
    Authentication(String, #[source] Box<dyn StdError + Send + Sync>),
    /// The server sent more than any result needs.
    #[error(
        "the server sent more than 8 MB in answer to one request, and the worker closed the connection"
    )]
    TooMuchReceived,
    /// The host resolves only to addresses of this machine or its link.
    #[error(
        "the host leads to a loopback or link-local address, which is connected to only where a pattern of WORKER_HOSTS \
         names the host without *, or the address"
    )]
    LocalAddress,
    /// PostgreSQL refused a statement.
    #[error("{0}")]
    Sql(Box<SqlError>),
    /// PostgreSQL refused the log-in.
    #[error("{0}")]
    LogIn(Box<SqlError>),
    /// The database allows no connections: its `CONNECTION LIMIT` is 0.
    #[error(
        "{} (its CONNECTION LIMIT is 0). Raise it (ALTER DATABASE … CONNECTION LIMIT), or name another database. [{}]",
        .0.message, .0.sqlstate
    )]
    DatabaseLimit(Box<SqlError>),
    /// The role's `CONNECTION LIMIT` is 0, or other sessions use all of it.
    #[error(
        "{}. Its CONNECTION LIMIT is 0, or other sessions have all of it: raise it (ALTER ROLE … CONNECTION LIMIT), or name \
         the secret of another role. [{}]",
        .0.message, .0.sqlstate
    )]
    RoleLimit(Box<SqlError>),
    /// PostgreSQL refused to create the ledger, or code of the database did.
    #[error("the ledger (schema extension_worker) cannot be created: {0}")]
    LedgerNotMade(Box<SqlError>),
    /// The result does not have the form of the query.
    #[error("PostgreSQL's answer cannot be read: {0}")]
    Unreadable(String),
    /// A less privileged role can change the contents or the behavior of the ledger's schema; the text says how.
    #[error(
        "the ledger in schema extension_worker is not used, as statements on it could run what another role wrote: {0}. \
         \\dn+ extension_worker and \\dp extension_worker.* show it; COPY (SELECT ...) TO STDOUT exports its rows; DROP \
         SCHEMA extension_worker CASCADE removes it, and the next request makes a new one"
    )]
    UntrustedLedger(String),
    /// Another session holds the lock under which a database is changed; the text names it.
    #[error("the ledger in schema extension_worker is locked by {0}")]
    LedgerLocked(String),
    /// Another session created or dropped the ledger since it was observed.
    #[error("another session created or dropped the schema extension_worker meanwhile")]
    LedgerAppeared,
    /// A publication of all tables would include the ledger.
    #[error(
        "publication \"{0}\" is FOR ALL TABLES and would publish the ledger too: its subscribers stop until they have a table \
         extension_worker.ledger. Make the schema there (README.md, Settings) and set WORKER_PUBLISH_LEDGER=true, or publish the tables \
         by name or by schema"
    )]
    PublishedLedger(String),
    /// An extension that is to be dropped contains rows of users; the text names the tables.
    #[error("{0}")]
    ConfigurationRows(String),
    /// An extension is not dropped and created again, because something would be lost; the text says what.
    #[error("{0}")]
    NotRecreated(String),
    /// Objects from which an extension is to be created belong to less privileged roles; the text names them.
    #[error("{0}")]
    NotPackaged(String),
    /// The database is a template, or belongs to RDS.
    #[error(
        "database {0} is not managed: what is in a template is copied to every new database, and rdsadmin belongs to RDS. \
         Name another database"
    )]
    ReservedDatabase(String),
    /// A newer worker created the ledger.
    #[error(
        "the ledger in schema extension_worker has version {0}, which this worker does not know: run a newer one"
    )]
    NewerLedger(u32),
    /// An older worker created the ledger, which cannot be read on a replica.
    #[error(
        "the ledger in schema extension_worker has version {0}: a request or a re-sync on the writer brings it to the newest"
    )]
    OlderLedger(u32),
}

impl DatabaseError {
    /// The SQLSTATE, or a word for an error without one.
    pub(crate) fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Sql(error)
            | Self::LogIn(error)
            | Self::DatabaseLimit(error)
            | Self::RoleLimit(error)
            | Self::LedgerNotMade(error) => return Cow::Owned(error.sqlstate.clone()),
            Self::NoSuchHost(_) => "no_such_host",
            Self::Unreachable(..) => "unreachable",
            Self::Lost(..) => "lost",
            Self::Busy | Self::Exhausted(_) => "busy",
            Self::Tls(..) => "tls",
            Self::Authentication(..) => "authentication",
            Self::TooMuchReceived => "too_much_received",
            Self::LocalAddress => "local_address",
            Self::Unreadable(_) => "unreadable",
            Self::UntrustedLedger(_)
            | Self::LedgerLocked(_)
            | Self::LedgerAppeared
            | Self::NewerLedger(_)
            | Self::OlderLedger(_) => "ledger",
            Self::ReservedDatabase(_) => "reserved_database",
            Self::PublishedLedger(_) => "published_ledger",
            Self::ConfigurationRows(_) => "2BP01",
            Self::NotRecreated(_) => "not_recreated",
            Self::NotPackaged(_) => "not_packaged",
        })
    }

    /// PostgreSQL's error fields, if PostgreSQL reported the error.
    pub fn sql(&self) -> Option<&SqlError> {
        if let Self::Sql(error)
        | Self::LogIn(error)
        | Self::DatabaseLimit(error)
        | Self::RoleLimit(error)
        | Self::LedgerNotMade(error) = self
        {
            Some(error)
        } else {
            None
        }
    }
}

/// PostgreSQL's error fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// The SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub(crate) message: String,
    /// DETAIL.
    pub(crate) detail: Option<String>,
    /// HINT.
    pub(crate) hint: Option<String>,
    /// The name of the violated constraint.
    pub(crate) constraint: Option<String>,
    /// CONTEXT: the function and its line, and the statement in it.
    pub(crate) context: Option<String>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message.replace('\n', "; "))?;
        for addition in [&self.detail, &self.hint].into_iter().flatten() {
            write!(
                formatter,
                ". {}",
                addition.trim_end_matches('.').replace('\n', "; ")
            )?;
        }
        if let Some(context) = &self.context {
            let context = context.replace('\n', "; ");
            let shown: String = context.chars().take(MAX_CONTEXT_CHARACTERS).collect();
            write!(formatter, ". Context: {shown}")?;
        }
        write!(formatter, " [{}]", self.sqlstate)
    }
}
