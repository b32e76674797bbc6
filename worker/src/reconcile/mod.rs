//! One pass over one database: observe, plan, apply, observe, all in one transaction with the ledger.
//!
//! A pass that failed left nothing behind, and the next one looks afresh: there is no undo code.

mod apply;
mod commit;
mod idempotency;
mod offer;
mod outcome;
mod planning;
mod script_check;
mod server_decides;
pub mod transaction;

use std::collections::BTreeMap;
use std::time::Instant;

use tracing::info;

use self::commit::{commit, record_deletion};
use self::idempotency::{is_superseded, recorded_result, targets_this_resource};
use self::outcome::{notes, outcome, versions};
use self::planning::make_plan;
use self::transaction::{Goal, ReconcileError, ReconcileResult, Reconciliation};
use crate::extension::Observed;
use crate::ledger::{Ledger, Managed, newest_version};
use crate::plan::{DatabaseOutcome, Intent, Step, offer_parts_of_newest, plan, update_ownership};
use crate::postgres::{Freshness, Pools, Session};
use crate::postgres_error::DatabaseError;
use crate::process::failpoint;
use crate::target::Target;

pub(crate) use self::apply::{AppliedSteps, ApplyContext, Refusals, StatementTime, apply};
pub use self::commit::record_response;
pub(crate) use self::offer::OfferReader;
pub(crate) use self::planning::unread;
pub(crate) use self::script_check::check_scripts;
pub(crate) use self::server_decides::{
    Question, ServerAnswer, is_control_file_error, try_on_server,
};

/// Makes one pass.
///
/// # Errors
/// [`ReconcileError`]; nothing was changed then, but for a commit whose answer was lost: the next pass finds it in the ledger.
pub async fn reconcile(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
) -> Result<ReconcileResult, ReconcileError> {
    let mut was_outdated = false;
    match transact(pools, reconciliation, Freshness::Minutes, &mut was_outdated).await {
        Err(error) if was_outdated => {
            info!(%error, "the server's offer has changed since it was read");
            let now = Freshness::Since(Instant::now());
            transact(pools, reconciliation, now, &mut was_outdated).await
        }
        end => end,
    }
}

/// One transaction. Notes where a step may have failed for an offer that is out of date.
async fn transact(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
    freshness: Freshness,
    was_outdated: &mut bool,
) -> Result<ReconcileResult, ReconcileError> {
    let mut session = pools
        .session(reconciliation.target, reconciliation.password)
        .await?;
    failpoint::at("before-transaction");
    failpoint::at_resource(&reconciliation.request.resource.logical_resource_id);
    let began = Instant::now();
    let Begun {
        observed: mut before,
        ledger,
        has_ledger,
    } = begin(&mut session, reconciliation).await?;
    if let Some(end) = recorded_result(&ledger)? {
        info!(
            database = reconciliation.target.database,
            "this request was decided before"
        );
        session.roll_back().await?;
        return Ok(end);
    }
    // A replica knows what was decided, and decides nothing.
    if before.in_recovery {
        return Err(ReconcileError::ReadOnly);
    }
    if ledger
        .resource
        .as_ref()
        .is_some_and(|resource| is_superseded(resource, reconciliation))
    {
        return Err(ReconcileError::Superseded);
    }
    if let Goal::Deleted {
        physical_resource_id,
    } = reconciliation.goal
        && !targets_this_resource(
            ledger.resource.as_ref(),
            physical_resource_id,
            reconciliation,
        )
    {
        return record_deletion(session, reconciliation, &before, &ledger).await;
    }

    let intent = Intent {
        resource: reconciliation.request.resource,
        declarations: reconciliation.declarations(),
        deletion_behavior: reconciliation.properties.deletion_behavior,
        policy: reconciliation.policy,
    };
    let mut offer = OfferReader::new(reconciliation.declarations(), freshness, began);
    let (plan, warnings) = make_plan(
        &mut session,
        reconciliation,
        &intent,
        &mut before,
        &ledger,
        &mut offer,
    )
    .await?;
    // A Delete is carried out all the same: nothing else would ever undo what was done before.
    if reconciliation.properties.dry_run && reconciliation.goal == Goal::Live {
        session.roll_back().await?;
        return Ok(ReconcileResult::Outcome(DatabaseOutcome {
            changes: plan.steps.iter().map(Step::sql).collect(),
            notes: notes(&plan.retained, warnings),
            ..outcome(reconciliation, &before, &before)
        }));
    }

    if !plan.steps.is_empty() {
        info!(
            database = reconciliation.target.database,
            extensions = versions(&before),
            "extensions before"
        );
    }
    if !has_ledger {
        session.migrate_ledger(before.ledger_version).await?;
    }
    let context = ApplyContext {
        database: &reconciliation.target.database,
        declarations: reconciliation.declarations(),
        refusals: Refusals::End,
        statement_time: reconciliation.statement_time(),
    };
    let applied = apply(&mut session, plan.steps.clone(), &before, context).await;
    let AppliedSteps {
        done,
        retained,
        after,
        ..
    } = applied.inspect_err(|error| {
        *was_outdated = offer.is_older() && error.is_of_control_file_in_step();
    })?;
    let managed = update_ownership(&intent, &plan.steps, &before, &after, &ledger);
    verify(&intent, &after, &managed, &ledger)?;
    if !plan.steps.is_empty() {
        info!(
            database = reconciliation.target.database,
            extensions = versions(&after),
            "extensions after"
        );
    }

    let outcome = DatabaseOutcome {
        changes: done.iter().map(Step::to_string).collect(),
        notes: notes(plan.retained.iter().chain(&retained), warnings),
        ..outcome(reconciliation, &before, &after)
    };
    if !outcome.notes.is_empty() {
        info!(
            database = reconciliation.target.database,
            notes = outcome.notes.join("; "),
            "to be known"
        );
    }
    let end = commit(session, reconciliation, outcome, &ledger, &managed).await?;
    discard_outdated_sessions(pools, reconciliation.target, &done);
    Ok(end)
}

/// A transaction that has begun.
struct Begun {
    observed: Observed,
    ledger: Ledger,
    /// Whether the database has a ledger; it is of the newest form then, but for a replica's.
    has_ledger: bool,
}

/// Begins the transaction, and reads the database and its ledger.
async fn begin(
    session: &mut Session,
    reconciliation: &Reconciliation<'_>,
) -> Result<Begun, ReconcileError> {
    let request = reconciliation.request;
    let (observed, read_along) = session
        .begin_and_read(
            reconciliation.declarations(),
            reconciliation.statement_time().timeout(),
            request.resource,
            request.request_id,
            &offer_parts_of_newest(reconciliation.declarations()),
        )
        .await?;
    // What is there is read in its newest form only.
    let has_ledger = observed.ledger_version.is_some_and(|version| version > 0);
    if has_ledger && !observed.in_recovery {
        session.migrate_ledger(observed.ledger_version).await?;
    }
    let is_readable =
        has_ledger && (!observed.in_recovery || observed.ledger_version == Some(newest_version()));
    let ledger = match read_along {
        Some(ledger) => ledger,
        None if is_readable => {
            session
                .read_ledger(request.resource, request.request_id)
                .await?
        }
        None => Ledger::default(),
    };
    Ok(Begun {
        observed,
        ledger,
        has_ledger,
    })
}

/// A library that a session has loaded stays loaded: after an update no session from before it may go on.
pub(crate) fn discard_outdated_sessions(pools: &Pools, target: &Target, done: &[Step]) {
    let is_update = |step: &Step| matches!(step, Step::Update { .. });
    if done.iter().any(is_update) {
        pools.discard_idle(target);
    }
}

/// What was planned and applied plans to nothing.
fn verify(
    intent: &Intent<'_>,
    after: &Observed,
    managed: &BTreeMap<String, Managed>,
    before: &Ledger,
) -> Result<(), ReconcileError> {
    let ledger = Ledger {
        managed: managed.clone(),
        resource: before.resource.clone(),
        ..Ledger::default()
    };
    let rest =
        plan(intent, after, &ledger).map_err(|_| ReconcileError::NotConverged(Vec::new()))?;
    if rest.steps.is_empty() {
        Ok(())
    } else {
        Err(ReconcileError::NotConverged(rest.steps))
    }
}

fn unreadable(error: serde_json::Error) -> ReconcileError {
    DatabaseError::Unreadable(error.to_string()).into()
}
