//! Applies the steps of a plan in an open transaction, and observes the result. Commits nothing.

use std::time::{Duration, Instant};

use tracing::info;

use super::transaction::ReconcileError;
use super::{check_script_after_steps, check_scripts, check_scripts_again, stages};
use crate::extension::{Declaration, Observed};
use crate::plan::{Retained, RetainedBecause, Step};
use crate::postgres::{Applied, Session, Tried};
use crate::postgres_error::{Class, DatabaseError, classify};

/// What happens to the transaction when PostgreSQL refuses a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// It ends: nothing is changed.
    End,
    /// It continues without the step if another attempt cannot help, and ends if one may.
    LeaveOutPermanent,
    /// It continues without the step.
    LeaveOut,
}

impl Refusals {
    /// Whether the transaction continues without the step.
    pub(crate) fn leaves_out(self, error: &DatabaseError, step: &Step) -> bool {
        match self {
            Self::End => false,
            Self::LeaveOutPermanent => matches!(
                classify(error, step.statement()),
                Class::Permanent | Class::Prerequisite(_)
            ),
            Self::LeaveOut => true,
        }
    }
}

/// Time limit of statements.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StatementTime {
    /// Until shortly before this time: PostgreSQL ends a statement early enough to report which one it was, and to send the
    /// response.
    Until(Instant),
    /// This timeout for each statement.
    Each(Duration),
}

impl StatementTime {
    /// The timeout of a statement that begins now.
    pub(crate) fn timeout(self) -> Duration {
        match self {
            Self::Until(until) => {
                let left = until.saturating_duration_since(Instant::now());
                left.saturating_sub(Duration::from_secs(1)).max(left / 2)
            }
            Self::Each(timeout) => timeout,
        }
    }
}

/// Parameters of the steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApplyContext<'a> {
    /// The database, for the log.
    pub(crate) database: &'a str,
    /// The declarations whose schemas are observed afterwards.
    pub(crate) declarations: &'a [Declaration],
    pub(crate) refusals: Refusals,
    /// Steps that were applied before in the same transaction.
    pub(crate) earlier: &'a [Step],
    /// Whether updates may be committed one by one if necessary.
    pub(crate) may_stage: bool,
    pub(crate) statement_time: StatementTime,
}

/// The results of the steps.
#[derive(Debug)]
pub(crate) struct AppliedSteps {
    /// Applied.
    pub(crate) done: Vec<Step>,
    /// Not dropped, because something depends on the extension.
    pub(crate) retained: Vec<Retained>,
    /// Skipped: the extension, and why.
    pub(crate) refused: Vec<(String, ReconcileError)>,
    /// The observation afterwards.
    pub(crate) after: Observed,
}

/// The result of one step.
enum StepResult {
    Applied(Applied),
    Refused(ReconcileError),
}

/// Applies the steps, observes again, and checks once more the objects that the scripts saw. With [`Refusals::End`] the
/// caller has checked the scripts of all steps before, as a dry run does; otherwise each step is checked here, so that it
/// can be skipped alone.
///
/// # Errors
/// [`ReconcileError`], after which the transaction cannot continue; [`ReconcileError::StagesNeeded`] if updates have to be
/// committed before the following steps.
pub(crate) async fn apply(
    session: &mut Session,
    steps: Vec<Step>,
    before: &Observed,
    context: ApplyContext<'_>,
) -> Result<AppliedSteps, ReconcileError> {
    let mut done = Vec::new();
    let mut in_use = Vec::new();
    let mut retained = Vec::new();
    let mut refused = Vec::new();
    for step in steps {
        if context.may_stage {
            stages::check_session(&step)?;
        }
        let result = apply_step(session, &step, before, &done, context).await;
        let result = result.map_err(|error| match context.may_stage {
            true => stages::needed(error, context.earlier.iter().chain(&done)),
            false => error,
        });
        match result? {
            StepResult::Applied(Applied::Done) => {
                info!(database = context.database, sql = step.sql(), "{step}");
                done.push(step);
            }
            StepResult::Applied(Applied::InUse(detail)) => {
                retained.push(Retained {
                    name: step.extension().to_owned(),
                    because: RetainedBecause::InUse(detail),
                });
                in_use.push(step);
            }
            StepResult::Refused(error) => refused.push((step.extension().to_owned(), error)),
        }
    }
    let after = if done.is_empty() && in_use.is_empty() {
        before.clone()
    } else {
        let after = session.observe(context.declarations, before).await?;
        check_scripts_again(session, done.iter().chain(&in_use), &after).await?;
        after
    };
    Ok(AppliedSteps {
        done,
        retained,
        refused,
        after,
    })
}

async fn apply_step(
    session: &mut Session,
    step: &Step,
    before: &Observed,
    done: &[Step],
    context: ApplyContext<'_>,
) -> Result<StepResult, ReconcileError> {
    let failed = |error| ReconcileError::Database {
        error,
        step: Some(Box::new(step.clone())),
    };
    let timeout = context.statement_time.timeout();
    if context.refusals == Refusals::End {
        check_script_after_steps(session, done, step, before).await?;
        let applied = session.apply(step, timeout).await.map_err(failed)?;
        return Ok(StepResult::Applied(applied));
    }
    let mut checked = check_scripts(session, std::iter::once(step), before)
        .await
        .map(drop);
    if checked.is_ok() {
        checked = check_script_after_steps(session, done, step, before).await;
    }
    match checked {
        Ok(()) => {}
        Err(untrusted @ ReconcileError::UntrustedObjects(_)) => {
            return Ok(StepResult::Refused(untrusted));
        }
        Err(error) => return Err(error),
    }
    match session.try_apply(step, timeout).await.map_err(failed)? {
        Tried::Applied(applied) => Ok(StepResult::Applied(applied)),
        Tried::Refused(error) if context.may_stage && error.is_of_pending_triggers() => {
            Err(failed(error))
        }
        Tried::Refused(error) if context.refusals.leaves_out(&error, step) => {
            Ok(StepResult::Refused(failed(error)))
        }
        Tried::Refused(error) => Err(failed(error)),
    }
}
