//! Why an attempt at a request failed, with all that is needed to decide what is next.

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
    /// There is no login.
    #[error("could not log in")]
    Login(#[from] LoginError),
    /// A transaction failed.
    #[error("could not reconcile {target}")]
    Reconcile {
        /// The database.
        target: Target,
        /// Why it failed.
        #[source]
        error: Box<ReconcileError>,
    },
    /// The server's databases could not be listed. The resource is not gone with the one that they were listed in.
    #[error("could not list databases in {target}")]
    ListDatabases {
        /// The database that was connected to.
        target: Target,
        /// Why it failed.
        #[source]
        error: Box<ReconcileError>,
    },
    /// As many requests as may wait for a server that does not answer: this one did not try.
    #[error("as many requests as allowed wait for {0}")]
    ServerLimit(Address),
    /// Time ran out in the middle of the attempt, which waited for this.
    #[error("time ran out")]
    Timeout {
        /// A secret, a server or a database.
        waiting_for: Option<String>,
    },
    /// Neither the properties nor the secret of this name has a database.
    #[error("neither the properties nor secret \"{0}\" names a database")]
    NoDatabaseName(String),
    /// No database of the server can be connected to for a list of all.
    #[error("the server has no database to list the others in")]
    NoDatabaseToListIn,
    /// The server has no database but templates.
    #[error("the server has no databases")]
    NoDatabases,
    /// A dry run cannot look at two targets.
    #[error("a dry run of a move")]
    DryRunThatMoves,
    /// An attempt failed that had changed other databases: the changes stay until the rollback's own request undoes them.
    #[error("other databases were changed before: {changes}")]
    AfterChanges {
        /// What was done.
        changes: String,
        /// Why it failed.
        #[source]
        error: Box<AttemptError>,
    },
}

impl AttemptError {
    /// What to do about it.
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

    /// The SQLSTATE, or a word where there is none: the label of the retries' metric.
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

    /// The Reason, with what a stack's author is not to learn: for the log and the worker's operators.
    pub(crate) fn full_reason(&self) -> String {
        if let Self::AfterChanges { changes, error } = self {
            return reason::with_changes(&error.full_reason(), changes);
        }
        self.failed_transaction()
            .and_then(|(target, error)| error.detail(target))
            .unwrap_or_else(|| self.reason())
    }

    /// Whether the secret, the host or the database does not exist: nothing of the resource is there.
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

    /// Whether the server does not answer, or not to the end.
    pub(crate) fn is_server_failure(&self) -> bool {
        matches!(
            self.database_error(),
            Some(DatabaseError::Unreachable(..) | DatabaseError::Lost(..))
        )
    }

    /// Whether the attempt did not try, as enough others wait for the server.
    pub(crate) fn is_server_limit(&self) -> bool {
        matches!(self, Self::ServerLimit(_))
    }

    /// Whether a statement of a plan was refused: there was something to do.
    pub(crate) fn is_in_step(&self) -> bool {
        let failed = self.failed_transaction().map(|(_, error)| error);
        matches!(
            failed.map(ReconcileError::cause),
            Some(ReconcileError::Database { step: Some(_), .. })
        )
    }

    /// The database that was being worked on; none where the attempt did not come so far.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.failed_transaction().map(|(target, _)| target)
    }

    /// The same, after changes in other databases, where there were any.
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
