//! What one pass over one database is to do, and why it may come to nothing.

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

/// One transaction in one database, and the request that it is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reconciliation<'a> {
    /// The request.
    pub(crate) request: &'a ResourceRequest<'a>,
    /// What the resource declares, or, where it goes, declared.
    pub(crate) properties: &'a Properties,
    /// The database.
    pub(crate) target: &'a Target,
    /// The role's password.
    pub(crate) password: &'a Password,
    /// What the operator allows.
    pub(crate) policy: &'a Policy,
    /// Which servers are sides of Blue/Green deployments; none where RDS is not asked.
    pub(crate) blue_green: Option<&'a BlueGreenDeployments>,
    /// Whether the resource is there afterwards.
    pub(crate) goal: Goal<'a>,
    /// The id of the resource on this server.
    pub(crate) physical_resource_id: &'a str,
    /// The answer, where the transaction is all that the request asks for: it is recorded in it.
    pub(crate) success_template: Option<SuccessTemplate<'a>>,
    /// When the transaction must be over.
    pub(crate) until: Instant,
}

impl Reconciliation<'_> {
    /// What is to be there afterwards: nothing where the resource goes.
    pub(crate) fn declarations(&self) -> &[Declaration] {
        match self.goal {
            Goal::Live => &self.properties.declarations,
            Goal::Deleted { .. } => &[],
        }
    }

    pub(super) fn statement_time(&self) -> StatementTime {
        StatementTime::Until(self.until)
    }

    /// Whether the server may be changed; the warning that goes with it, if any.
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

/// What a pass comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReconcileResult {
    /// It was carried out, now or before.
    Outcome(DatabaseOutcome),
    /// With it the request is answered, now or before.
    Answered(Response),
}

/// What a pass leaves of the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal<'a> {
    /// It is there, as declared.
    Live,
    /// It is gone, and with it what it owned.
    Deleted {
        /// The id that the request names: of a resource that was replaced it is another.
        physical_resource_id: &'a str,
    },
}

/// Why a pass came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// What is declared cannot be had.
    #[error("cannot be planned")]
    Plan {
        /// Why it cannot be met.
        plan_error: Box<PlanError>,
        /// The server's version.
        server_version: String,
    },
    /// The database refused, or could not be worked on.
    #[error("could not be carried out")]
    Database {
        /// What happened.
        #[source]
        error: DatabaseError,
        /// The step that was under way.
        step: Option<Box<Step>>,
    },
    /// Updates have to be committed one by one, each stage before the next: PostgreSQL refuses a step for triggers that they
    /// left pending, or one is to be the first statement of a session.
    #[error("the updates are to be committed one by one")]
    StagesNeeded {
        /// The updates.
        updates: Vec<Step>,
        /// What happened; none where that is known before.
        #[source]
        error: Option<DatabaseError>,
        /// The step that was under way.
        step: Box<Step>,
    },
    /// An attempt failed that had committed stages of updates, or that found them committed: they stay.
    #[error("stages of updates are committed")]
    AfterStages {
        /// What is committed.
        stages: Vec<Stage>,
        /// Why it failed.
        #[source]
        error: Box<ReconcileError>,
    },
    /// The server is a replica: a failover is under way, or the stack names the wrong endpoint.
    #[error("the server is read-only")]
    ReadOnly,
    /// The server is a side of a Blue/Green deployment, which a change would break.
    #[error("the server is {0}")]
    BlueGreen(Box<Part>),
    /// A newer request of the same resource was carried out already.
    #[error("superseded by a newer request")]
    Superseded,
    /// The script of an extension would see what roles of lower rank wrote, under names that it uses: these objects.
    #[error("the script of an extension would see objects of less privileged roles")]
    UntrustedObjects(Vec<String>),
    /// PostgreSQL did everything, and the database is not as declared.
    #[error("the database is not as declared")]
    NotConverged(Vec<Step>),
}

impl ReconcileError {
    /// The same, after stages, where there were any.
    pub(crate) fn after(self, stages: Vec<Stage>) -> Self {
        if stages.is_empty() {
            return self;
        }
        Self::AfterStages {
            stages,
            error: Box::new(self),
        }
    }

    /// The same, whatever was committed before.
    pub(crate) fn cause(&self) -> &Self {
        if let Self::AfterStages { error, .. } = self {
            error.cause()
        } else {
            self
        }
    }

    /// What to do about it.
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
            // A session that does not take the lock changed it between the two observations.
            Self::NotConverged(_) => Class::Race,
            Self::Plan { .. }
            | Self::BlueGreen(_)
            | Self::Superseded
            | Self::UntrustedObjects(_) => Class::Permanent,
        }
    }

    /// Whether PostgreSQL refused to create an extension, for good.
    pub(super) fn is_of_refused_creation(&self) -> bool {
        matches!(self, Self::Database { error, step: Some(step) }
            if step.statement() == Statement::Create
                && error.sql().is_some()
                && matches!(self.class(), Class::Permanent | Class::Prerequisite(_)))
    }

    /// Whether a step failed for a control file.
    pub(super) fn is_of_control_file_in_step(&self) -> bool {
        matches!(self, Self::Database { error, step: Some(_) } if is_control_file_error(error))
    }

    /// The SQLSTATE, or a word where there is none.
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

    /// What the Reason leaves out, for the worker's operators.
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
