//! Why an attempt at a request failed, with the facts that decide what happens next.

use std::borrow::Cow;

use crate::credentials::HostError;
use crate::credentials::login::LoginError;
use crate::credentials::rds_auth_token::RdsAuthTokenError;
use crate::credentials::secrets::SecretError;
use crate::plan::DatabaseOutcome;
use crate::postgres_error::{Class, DatabaseError};
use crate::reconcile::transaction::ReconcileError;
use crate::response::reason;
use crate::target::{Address, Target};

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// There are no credentials for a login.
    #[error("could not log in")]
    Login(#[from] LoginError),
    /// A transaction failed.
    #[error("could not reconcile {target}")]
    Reconcile {
        /// The database.
        target: Target,
        /// Why the transaction failed.
        #[source]
        error: Box<ReconcileError>,
    },
    /// The server's databases could not be listed. The resource is not gone with the database in which they were listed.
    #[error("could not list databases in {target}")]
    ListDatabases {
        /// The database in which they were listed.
        target: Target,
        /// Why they could not be listed.
        #[source]
        error: Box<ReconcileError>,
    },
    /// As many requests as allowed wait for a server that does not answer: this one made no attempt.
    #[error("as many requests as allowed wait for {0}")]
    ServerLimit(Address),
    /// The time was over while the attempt waited.
    #[error("time ran out")]
    Timeout {
        /// The secret, the server or the database for which it waited.
        waiting_for: Option<String>,
    },
    /// Neither the properties nor the secret of this name contains a database.
    #[error("neither the properties nor secret \"{0}\" names a database")]
    NoDatabaseName(String),
    /// No database of the server accepts a connection in which the others could be listed.
    #[error("the server has no database to list the others in")]
    NoDatabaseToListIn,
    /// The server has no database except templates.
    #[error("the server has no databases")]
    NoDatabases,
    /// A dry run cannot plan for two servers or lists of databases.
    #[error("a dry run of a move")]
    DryRunThatMoves,
    /// An attempt failed after changes in other databases: they stay until the rollback's own request reverts them.
    #[error("other databases were changed before: {changes}")]
    AfterChanges {
        /// The changes.
        changes: String,
        /// Why the attempt failed.
        #[source]
        error: Box<AttemptError>,
    },
}

impl AttemptError {
    /// How the worker reacts to the error.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Login(error) => class_of_login(error),
            Self::Reconcile { error, .. } | Self::ListDatabases { error, .. } => error.class(),
            Self::ServerLimit(_) | Self::Timeout { .. } => Class::Transient,
            Self::NoDatabaseName(_)
            | Self::NoDatabaseToListIn
            | Self::NoDatabases
            | Self::DryRunThatMoves => Class::Permanent,
            Self::AfterChanges { error, .. } => error.class(),
        }
    }

    /// The SQLSTATE, or a word for an error without one: the label of the metric of retries.
    pub(crate) fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Reconcile { error, .. } | Self::ListDatabases { error, .. } => {
                return error.code();
            }
            Self::AfterChanges { error, .. } => return error.code(),
            Self::Login(LoginError::Secret(_)) => "secret",
            Self::Login(LoginError::Host { .. }) => "host",
            Self::Login(LoginError::Token(_)) => "token",
            Self::Timeout { .. } => "timeout",
            Self::Login(
                LoginError::NoHost(_) | LoginError::NoPassword(_) | LoginError::NoAwsCredentials,
            )
            | Self::ServerLimit(_)
            | Self::NoDatabaseName(_)
            | Self::NoDatabaseToListIn
            | Self::NoDatabases
            | Self::DryRunThatMoves => "permanent",
        })
    }

    /// The Reason.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Login(error) => reason::of_login(error),
            Self::Reconcile { target, error } | Self::ListDatabases { target, error } => {
                error.reason(target)
            }
            Self::ServerLimit(address) => reason::of_server_limit(address),
            Self::Timeout { waiting_for } => reason::of_timeout(waiting_for.as_deref()),
            Self::NoDatabaseName(secret) => reason::of_no_database_name(secret),
            Self::NoDatabaseToListIn => reason::of_no_database_to_list_in(),
            Self::NoDatabases => reason::of_no_databases(),
            Self::DryRunThatMoves => reason::of_dry_run_that_moves(),
            Self::AfterChanges { changes, error } => reason::with_changes(&error.reason(), changes),
        }
    }

    /// The Reason with details that the author of a stack must not see: for the log and the worker's operators.
    pub(crate) fn full_reason(&self) -> String {
        if let Self::AfterChanges { changes, error } = self {
            return reason::with_changes(&error.full_reason(), changes);
        }
        self.failed_transaction()
            .and_then(|(target, error)| error.detail(target))
            .unwrap_or_else(|| self.reason())
    }

    /// Whether the secret, the host or the database does not exist, so that nothing of the resource exists.
    pub(crate) fn target_is_gone(&self) -> bool {
        match self {
            Self::Login(error) => matches!(error, LoginError::Secret(SecretError::NotFound { .. })),
            Self::Reconcile { error, .. } => {
                error.class() == Class::NoDatabase || is_no_such_host(error)
            }
            Self::ListDatabases { error, .. } => is_no_such_host(error),
            Self::AfterChanges { error, .. } => error.target_is_gone(),
            Self::ServerLimit(_)
            | Self::Timeout { .. }
            | Self::NoDatabaseName(_)
            | Self::NoDatabaseToListIn
            | Self::NoDatabases
            | Self::DryRunThatMoves => false,
        }
    }

    /// Whether no connection can be made.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.class() == Class::ClosedDatabase
            || matches!(self.database_error(), Some(DatabaseError::Unreachable(..)))
    }

    /// Whether the server does not answer, or stopped answering.
    pub(crate) fn is_server_failure(&self) -> bool {
        matches!(
            self.database_error(),
            Some(DatabaseError::Unreachable(..) | DatabaseError::Lost(..))
        )
    }

    /// Whether the attempt was not made, because as many requests as allowed wait for the server.
    pub(crate) fn is_server_limit(&self) -> bool {
        matches!(self, Self::ServerLimit(_))
    }

    /// Whether PostgreSQL refused a step of a plan, so that there was something to change.
    pub(crate) fn is_in_step(&self) -> bool {
        let failed = self.failed_transaction().map(|(_, error)| error);
        matches!(
            failed.map(ReconcileError::cause),
            Some(ReconcileError::Database { step: Some(_), .. })
        )
    }

    /// The database in which the error occurred; `None` if the attempt did not reach one.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.failed_transaction().map(|(target, _)| target)
    }

    /// The same error, with the changes in other databases, if there are any.
    pub(crate) fn after(self, outcomes: &[(String, DatabaseOutcome)]) -> Self {
        let done: Vec<String> = outcomes
            .iter()
            .filter(|(_, outcome)| !outcome.changes.is_empty())
            .map(|(database, outcome)| format!("{database}: {}", outcome.changes.join(", ")))
            .collect();
        if done.is_empty() {
            return self;
        }
        Self::AfterChanges {
            changes: done.join("; "),
            error: Box::new(self),
        }
    }

    fn database_error(&self) -> Option<&DatabaseError> {
        let (_, error) = self.failed_transaction()?;
        database_error(error)
    }

    fn failed_transaction(&self) -> Option<(&Target, &ReconcileError)> {
        match self {
            Self::Reconcile { target, error } | Self::ListDatabases { target, error } => {
                Some((target, error))
            }
            Self::AfterChanges { error, .. } => error.failed_transaction(),
            Self::Login(_)
            | Self::ServerLimit(_)
            | Self::Timeout { .. }
            | Self::NoDatabaseName(_)
            | Self::NoDatabaseToListIn
            | Self::NoDatabases
            | Self::DryRunThatMoves => None,
        }
    }
}

fn class_of_login(error: &LoginError) -> Class {
    match error {
        LoginError::Secret(SecretError::Unavailable { .. })
        | LoginError::Host {
            error: HostError::Unknown(_),
            ..
        }
        | LoginError::Token(RdsAuthTokenError::Credentials(_)) => Class::Transient,
        LoginError::Secret(
            SecretError::NotFound { .. }
            | SecretError::Denied { .. }
            | SecretError::Unusable { .. },
        )
        | LoginError::Host {
            error: HostError::Refused(_),
            ..
        }
        | LoginError::Token(RdsAuthTokenError::NotRds(_) | RdsAuthTokenError::Signing(_))
        | LoginError::NoHost(_)
        | LoginError::NoPassword(_)
        | LoginError::NoAwsCredentials => Class::Permanent,
    }
}

fn database_error(error: &ReconcileError) -> Option<&DatabaseError> {
    if let ReconcileError::Database { error, .. } = error.cause() {
        Some(error)
    } else {
        None
    }
}

fn is_no_such_host(error: &ReconcileError) -> bool {
    matches!(database_error(error), Some(DatabaseError::NoSuchHost(_)))
}
