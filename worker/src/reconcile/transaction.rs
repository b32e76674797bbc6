//! The input of a reconciliation, and why it may fail.

use std::borrow::Cow;
use std::time::Instant;

use super::{BlueGreenDeployments, StatementTime, is_control_file_error};
use crate::credentials::secrets::Password;
use crate::extension::Declaration;
use crate::ledger::{ResourceRequest, Stage};
use crate::plan::{DatabaseOutcome, Part, PlanError, Policy, Step};
use crate::postgres_error::{Class, DatabaseError, Statement, classify};
use crate::request::Properties;
use crate::response::{Response, SuccessTemplate, reason};
use crate::target::Target;

/// One transaction in one database, and its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reconciliation<'a> {
    /// The request.
    pub(crate) request: &'a ResourceRequest<'a>,
    /// The properties of the resource; those of a deleted one are the ones that it had.
    pub(crate) properties: &'a Properties,
    /// The database.
    pub(crate) target: &'a Target,
    /// The role's password.
    pub(crate) password: &'a Password,
    /// The operator's limits.
    pub(crate) policy: &'a Policy,
    /// The Blue/Green deployments; `None` if they are not listed.
    pub(crate) blue_green: Option<&'a BlueGreenDeployments>,
    /// Whether the resource exists afterwards.
    pub(crate) goal: Goal<'a>,
    /// The physical id of the resource on this server.
    pub(crate) physical_resource_id: &'a str,
    /// The response, if the request has only this transaction, which records it.
    pub(crate) success_template: Option<SuccessTemplate<'a>>,
    /// When the transaction must have ended.
    pub(crate) until: Instant,
}

impl Reconciliation<'_> {
    /// The declarations; none if the resource is deleted.
    pub(crate) fn declarations(&self) -> &[Declaration] {
        match self.goal {
            Goal::Live => &self.properties.declarations,
            Goal::Deleted { .. } => &[],
        }
    }

    pub(super) fn statement_time(&self) -> StatementTime {
        StatementTime::Until(self.until)
    }

    /// Whether the server may be changed; with a warning, if there is one.
    ///
    /// # Errors
    /// [`ReconcileError::BlueGreen`].
    pub(super) async fn check_blue_green(&self) -> Result<Option<String>, ReconcileError> {
        match self.blue_green {
            Some(deployments) => deployments.check(&self.target.address).await,
            None => Ok(None),
        }
    }
}

/// The result of a reconciliation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReconcileResult {
    /// It was carried out, now or before.
    Outcome(DatabaseOutcome),
    /// The request has this response, from now or before.
    Answered(Response),
}

/// The resource after a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal<'a> {
    /// It exists, as declared.
    Live,
    /// It is gone, with the extensions that it owned.
    Deleted {
        /// The id in the request: for a replaced resource it differs from the ledger's.
        physical_resource_id: &'a str,
    },
}

/// Why a reconciliation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// A declaration cannot be met.
    #[error("cannot be planned")]
    Plan {
        /// Why it cannot be met.
        plan_error: Box<PlanError>,
        /// The server's version.
        server_version: String,
    },
    /// The database refused a statement, or could not be reached.
    #[error("could not be carried out")]
    Database {
        /// What happened.
        #[source]
        error: DatabaseError,
        /// The step that was under way.
        step: Option<Box<Step>>,
    },
    /// Updates have to be committed one by one: PostgreSQL refuses a step because of triggers that they left pending, or
    /// one has to be the first statement of a session.
    #[error("the updates are to be committed one by one")]
    StagesNeeded {
        /// The updates.
        updates: Vec<Step>,
        /// PostgreSQL's error; `None` if the need is known before.
        #[source]
        error: Option<DatabaseError>,
        /// The step that was under way.
        step: Box<Step>,
    },
    /// An attempt failed after stages of updates were committed, by it or before it: they stay.
    #[error("stages of updates are committed")]
    AfterStages {
        /// The committed stages.
        stages: Vec<Stage>,
        /// Why it failed.
        #[source]
        error: Box<ReconcileError>,
    },
    /// The server is a replica: a failover is under way, or the stack names the wrong endpoint.
    #[error("the server is read-only")]
    ReadOnly,
    /// The server belongs to a Blue/Green deployment, which a change would break.
    #[error("the server is {0}")]
    BlueGreen(Box<Part>),
    /// A newer request of the same resource was carried out already.
    #[error("superseded by a newer request")]
    Superseded,
    /// The script of an extension would see these objects of less privileged roles under names that it uses.
    #[error("the script of an extension would see objects of less privileged roles")]
    UntrustedObjects(Vec<String>),
    /// All statements succeeded, and the database is not as declared.
    #[error("the database is not as declared")]
    NotConverged(Vec<Step>),
}

impl ReconcileError {
    /// The same error, with the committed stages, if there are any.
    pub(crate) fn after(self, stages: Vec<Stage>) -> Self {
        if stages.is_empty() {
            return self;
        }
        Self::AfterStages {
            stages,
            error: Box::new(self),
        }
    }

    /// The error without the committed stages.
    pub(crate) fn cause(&self) -> &Self {
        if let Self::AfterStages { error, .. } = self {
            error.cause()
        } else {
            self
        }
    }

    /// How the worker reacts to the error.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Database { error, step } => {
                let statement = step
                    .as_ref()
                    .map_or(Statement::Own, |step| step.statement());
                classify(error, statement)
            }
            Self::StagesNeeded {
                error: Some(error),
                step,
                ..
            } => classify(error, step.statement()),
            Self::StagesNeeded { error: None, .. } => Class::Race,
            Self::AfterStages { error, .. } => error.class(),
            Self::ReadOnly => Class::TransientAtMost(3),
            // A session that does not take the lock changed the database between the two observations.
            Self::NotConverged(_) => Class::Race,
            Self::Plan { .. }
            | Self::BlueGreen(_)
            | Self::Superseded
            | Self::UntrustedObjects(_) => Class::Permanent,
        }
    }

    /// Whether PostgreSQL refused to create an extension for good.
    pub(super) fn is_of_refused_creation(&self) -> bool {
        matches!(self, Self::Database { error, step: Some(step) }
            if step.statement() == Statement::Create
                && error.sql().is_some()
                && matches!(self.class(), Class::Permanent | Class::Prerequisite(_)))
    }

    /// Whether a step failed because of a control file.
    pub(super) fn is_of_control_file_in_step(&self) -> bool {
        matches!(self, Self::Database { error, step: Some(_) } if is_control_file_error(error))
    }

    /// The SQLSTATE, or a word for an error without one.
    pub(crate) fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Database { error, .. }
            | Self::StagesNeeded {
                error: Some(error), ..
            } => error.code(),
            Self::StagesNeeded { error: None, .. } => Cow::Borrowed("not_converged"),
            Self::AfterStages { error, .. } => error.code(),
            Self::ReadOnly => Cow::Borrowed("25006"),
            Self::NotConverged(_) => Cow::Borrowed("not_converged"),
            Self::Plan { .. } => Cow::Borrowed("obstacle"),
            Self::BlueGreen(_) => Cow::Borrowed("blue_green"),
            Self::Superseded => Cow::Borrowed("superseded"),
            Self::UntrustedObjects(_) => Cow::Borrowed("untrusted_objects"),
        }
    }

    /// The details that the Reason leaves out, for the worker's operators.
    pub(crate) fn detail(&self, target: &Target) -> Option<String> {
        match self {
            Self::Database { error, .. }
            | Self::StagesNeeded {
                error: Some(error), ..
            } => reason::of_connection(error, target),
            Self::StagesNeeded { error: None, .. } => None,
            Self::AfterStages { error, .. } => error.detail(target),
            Self::Plan { .. }
            | Self::ReadOnly
            | Self::BlueGreen(_)
            | Self::Superseded
            | Self::UntrustedObjects(_)
            | Self::NotConverged(_) => None,
        }
    }

    /// The Reason.
    pub(crate) fn reason(&self, target: &Target) -> String {
        match self {
            Self::Plan {
                plan_error,
                server_version,
            } => reason::of_plan_error(plan_error, target, server_version),
            Self::Database { error, step } => reason::of_database(error, step.as_deref(), target),
            Self::StagesNeeded { error, step, .. } => match error {
                Some(error) => reason::of_database(error, Some(step), target),
                None => reason::of_not_converged(target, std::slice::from_ref(step)),
            },
            Self::AfterStages { stages, error } => {
                let stages: Vec<String> = stages
                    .iter()
                    .map(|stage| Step::from(stage).to_string())
                    .collect();
                reason::with_changes(&error.reason(target), &stages.join(", "))
            }
            Self::ReadOnly => reason::of_read_only(target),
            Self::BlueGreen(part) => reason::of_blue_green(part, target),
            Self::Superseded => reason::of_superseded(),
            Self::UntrustedObjects(objects) => reason::of_untrusted_objects(objects, target),
            Self::NotConverged(steps) => reason::of_not_converged(target, steps),
        }
    }
}

impl From<DatabaseError> for ReconcileError {
    fn from(error: DatabaseError) -> Self {
        Self::Database { error, step: None }
    }
}
