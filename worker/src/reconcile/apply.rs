//! Carries the steps of a plan out, in a transaction that is open, and observes what is there then. Commits nothing.

use std::time::{Duration, Instant};

use tracing::info;

use super::transaction::ReconcileError;
use super::{check_script_behind, check_scripts, check_scripts_again, stages};
use crate::extension::{Declaration, Observed};
use crate::plan::{Retained, RetainedBecause, Step};
use crate::postgres::{Applied, Session, Tried};
use crate::postgres_error::{Class, DatabaseError, classify};

/// What becomes of the transaction when PostgreSQL refuses a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// It ends: nothing was done.
    End,
    /// It goes on without the step where trying again would not help, and ends where it may.
    LeaveOutPermanent,
    /// It goes on without the step.
    LeaveOut,
}

impl Refusals {
    /// Whether the transaction goes on without the step.
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

/// How long a statement may run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StatementTime {
    /// Until shortly before this: PostgreSQL ends a statement in time to say which one it was, and to be answered about.
    Until(Instant),
    /// As long each.
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

/// What steps are applied for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApplyContext<'a> {
    /// The database, for the log.
    pub(crate) database: &'a str,
    /// What is observed afterwards.
    pub(crate) declarations: &'a [Declaration],
    pub(crate) refusals: Refusals,
    /// Carried out before in the same transaction.
    pub(crate) earlier: &'a [Step],
    /// Whether updates may be committed one by one, where they have to be.
    pub(crate) may_stage: bool,
    pub(crate) statement_time: StatementTime,
}

/// What the steps came to.
#[derive(Debug)]
pub(crate) struct AppliedSteps {
    /// Carried out.
    pub(crate) done: Vec<Step>,
    /// Not dropped, as something uses it.
    pub(crate) retained: Vec<Retained>,
    /// Left out: the extension, and why.
    pub(crate) refused: Vec<(String, ReconcileError)>,
    /// What is there now.
    pub(crate) after: Observed,
}

/// What one step came to.
enum StepResult {
    Applied(Applied),
    Refused(ReconcileError),
}

/// Applies the steps, observes again, and has what the scripts saw checked once more. With [`Refusals::End`] the caller has
/// checked the scripts of all steps before, as a dry run does; otherwise each step is checked here, to be left out alone.
///
/// # Errors
/// [`ReconcileError`], after which the transaction cannot go on; [`ReconcileError::StagesNeeded`] where updates have to be
/// committed before what follows them.
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
        check_script_behind(session, done, step, before).await?;
        let applied = session.apply(step, timeout).await.map_err(failed)?;
        return Ok(StepResult::Applied(applied));
    }
    let mut checked = check_scripts(session, std::iter::once(step), before)
        .await
        .map(drop);
    if checked.is_ok() {
        checked = check_script_behind(session, done, step, before).await;
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
