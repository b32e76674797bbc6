//! Why an attempt at a request failed, with all that is needed to decide what is next.

use std::borrow::Cow;

use crate::credentials::HostError;
use crate::credentials::rds_auth_token::RdsAuthTokenError;
use crate::credentials::secrets::SecretError;
use crate::plan::DatabaseOutcome;
use crate::postgres_error::{Class, DatabaseError};
use crate::reconcile::transaction::ReconcileError;
use crate::response::reason;
use crate::target::{Address, Target};

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub struct AttemptError {
    /// What to do about it.
    pub class: Class,
    /// The SQLSTATE, or a word where there is none.
    pub code: Cow<'static, str>,
    /// The Reason.
    pub reason: String,
    /// The same with what a stack's author is not to learn, where there is such.
    pub detail: Option<String>,
    /// The secret, the host or the database does not exist: nothing of the resource is there.
    pub gone: bool,
    /// No connection can be made.
    pub unreachable: bool,
    /// A statement of a plan was refused: there was something to do.
    pub in_step: bool,
    /// The server does not answer, or not to the end.
    pub failing: bool,
    /// The server does not answer others, who have all its turns: this one need not try.
    pub crowded: bool,
}

impl AttemptError {
    /// Time ran out in the middle of the attempt, which waited for this.
    pub fn out_of_time(waiting: Option<&str>) -> Self {
        Self {
            class: Class::Transient,
            code: Cow::Borrowed("timeout"),
            reason: match waiting {
                Some(what) => format!("{what}: there was no answer in time."),
                None => "the request came when its time was nearly over.".to_owned(),
            },
            detail: None,
            gone: false,
            unreachable: false,
            in_step: false,
            failing: false,
            crowded: false,
        }
    }

    /// Trying again never helps.
    pub fn permanent(reason: String) -> Self {
        Self {
            class: Class::Permanent,
            code: Cow::Borrowed("permanent"),
            reason,
            detail: None,
            gone: false,
            unreachable: false,
            in_step: false,
            failing: false,
            crowded: false,
        }
    }

    /// Others wait already for a server that does not answer.
    pub fn crowded(address: &Address) -> Self {
        Self {
            class: Class::Transient,
            crowded: true,
            ..Self::permanent(format!(
                "{address} does not answer, and enough requests wait for it."
            ))
        }
    }

    /// The secret gives no credentials.
    pub fn of_secret(error: &SecretError) -> Self {
        let class = match error {
            SecretError::Unavailable { .. } => Class::Transient,
            SecretError::NotFound { .. }
            | SecretError::Denied { .. }
            | SecretError::Unusable { .. } => Class::Permanent,
        };
        let gone = matches!(error, SecretError::NotFound { .. });
        Self {
            class,
            code: Cow::Borrowed("secret"),
            reason: format!("{error}."),
            detail: None,
            gone,
            unreachable: false,
            in_step: false,
            failing: false,
            crowded: false,
        }
    }

    /// The secret may not be sent to the server.
    pub fn of_host(error: &HostError, secret: &str) -> Self {
        let class = match error {
            HostError::Refused(_) => Class::Permanent,
            HostError::Unknown(_) => Class::Transient,
        };
        Self {
            class,
            code: Cow::Borrowed("host"),
            ..Self::permanent(reason::of_host(error, secret))
        }
    }

    /// There is no token to log in with.
    pub fn of_iam(error: &RdsAuthTokenError) -> Self {
        let class = match error {
            RdsAuthTokenError::Credentials(_) => Class::Transient,
            RdsAuthTokenError::NotRds(_) | RdsAuthTokenError::Signing(_) => Class::Permanent,
        };
        Self {
            class,
            code: Cow::Borrowed("token"),
            ..Self::permanent(format!("{error}."))
        }
    }

    /// A pass came to nothing.
    pub fn of_pass(error: &ReconcileError, target: &Target) -> Self {
        let class = error.class();
        let fault = if let ReconcileError::Database { error, .. } = error {
            Some(error)
        } else {
            None
        };
        let no_host = matches!(fault, Some(DatabaseError::NoSuchHost(_)));
        Self {
            class,
            code: error.code(),
            reason: error.reason(target),
            detail: error.detail(target),
            gone: class == Class::NoDatabase || no_host,
            unreachable: class == Class::ClosedDatabase
                || matches!(fault, Some(DatabaseError::Unreachable(..))),
            in_step: matches!(error, ReconcileError::Database { step: Some(_), .. }),
            failing: matches!(
                fault,
                Some(DatabaseError::Unreachable(..) | DatabaseError::Lost(..))
            ),
            crowded: false,
        }
    }

    /// Adds what was done in other databases: it stays until the rollback's own request undoes it.
    pub fn after(mut self, outcomes: &[(String, DatabaseOutcome)]) -> Self {
        let done: Vec<String> = outcomes
            .iter()
            .filter(|(_, outcome)| !outcome.changes.is_empty())
            .map(|(database, outcome)| format!("{database}: {}", outcome.changes.join(", ")))
            .collect();
        if !done.is_empty() {
            let done = done.join("; ");
            self.reason = format!("{} Done before: {done}.", self.reason);
            self.detail = self
                .detail
                .map(|detail| format!("{detail} Done before: {done}."));
        }
        self
    }

    /// All that is known, for the log and the worker's operators.
    pub fn full_reason(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.reason)
    }
}
