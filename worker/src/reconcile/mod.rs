//! One reconciliation of a database: observe, plan, apply and observe again, in one transaction with the ledger. If
//! PostgreSQL refuses this in one transaction, the stages of its updates come before, each in a transaction of its own.
//!
//! A failed reconciliation leaves only such stages, and the next one observes again: no code undoes anything.

mod apply;
mod begin;
mod blue_green;
mod commit;
mod idempotency;
mod offer;
mod outcome;
mod packaging;
mod planning;
mod script_check;
mod server_decides;
mod stages;
pub(crate) mod transaction;

use std::collections::BTreeMap;
use std::time::Instant;

use tracing::info;

use self::begin::{Begun, begin};
use self::commit::{commit, record_deletion};
use self::idempotency::{is_superseded, recorded_result, targets_this_resource};
use self::outcome::{notes, outcome, versions};
use self::planning::make_plan;
pub(crate) use self::stages::Stages;
use self::transaction::{Goal, ReconcileError, ReconcileResult, Reconciliation};
use crate::extension::Observed;
use crate::ledger::{Ledger, Managed, Stage};
use crate::plan::{DatabaseOutcome, Intent, Step, plan, update_ownership};
use crate::postgres::{Freshness, Pools};
use crate::postgres_error::DatabaseError;
use crate::process::failpoint;
use crate::target::Target;

pub(crate) use self::apply::{AppliedSteps, ApplyContext, Refusals, StatementTime, apply};
pub(crate) use self::begin::{LedgerForm, migrate};
pub use self::blue_green::BlueGreenDeployments;
pub(crate) use self::commit::record_response;
pub(crate) use self::offer::OfferReader;
pub(crate) use self::packaging::with_packaging;
pub(crate) use self::planning::unread;
pub(crate) use self::script_check::{check_scripts, check_scripts_again};
pub(crate) use self::server_decides::{
    Question, ServerAnswer, is_control_file_error, try_on_server,
};

/// Reconciles a database.
///
/// # Errors
/// [`ReconcileError`]; nothing was changed then, unless the connection was lost at COMMIT: the next reconciliation reads
/// the result in the ledger.
pub(crate) async fn reconcile(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
) -> Result<ReconcileResult, ReconcileError> {
    let stages = Stages {
        pools,
        target: reconciliation.target,
        password: reconciliation.password,
        resource: reconciliation.request.resource,
        request_id: reconciliation.request.request_id,
        published_at: Some(reconciliation.request.published_at),
        statement_time: reconciliation.statement_time(),
    };
    let mut committed = Vec::new();
    loop {
        let end = attempt(pools, reconciliation, &mut committed).await;
        let Err(ReconcileError::StagesNeeded {
            updates,
            error,
            step,
        }) = end
        else {
            return end.map_err(|error| error.after(committed));
        };
        match stages.walk(&updates, &mut committed).await {
            Ok(true) => {}
            Ok(false) => {
                let failed = match error {
                    Some(error) => ReconcileError::Database {
                        error,
                        step: Some(step),
                    },
                    None => ReconcileError::NotConverged(vec![*step]),
                };
                return Err(failed.after(committed));
            }
            Err(error) => return Err(error.after(committed)),
        }
    }
}

/// Sources of a transaction's plan, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// The requirements of a script are presumed to be met.
    Presumed,
    /// The server's offer, cached for some minutes.
    Offer,
    /// The server's offer, read now.
    OfferOfNow,
}

/// Runs one transaction, and another if that one failed because of an offer that was presumed or cached.
async fn attempt(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
    committed: &mut Vec<Stage>,
) -> Result<ReconcileResult, ReconcileError> {
    // A dry run has PostgreSQL try nothing, which would otherwise refuse a wrong presumption.
    let mut basis = match reconciliation.properties.dry_run {
        true => Basis::Offer,
        false => Basis::Presumed,
    };
    loop {
        let mut better = None;
        let end = transact(pools, reconciliation, basis, &mut better, committed).await;
        let (Err(error), Some(next)) = (&end, better) else {
            return end;
        };
        info!(%error, ?next, "planned again with what the server offers");
        basis = next;
    }
}

/// Runs one transaction. Records the source with which another may succeed if a step failed, and the stages that were
/// committed before it.
async fn transact(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
    basis: Basis,
    better: &mut Option<Basis>,
    committed: &mut Vec<Stage>,
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
    let progress = ledger
        .request
        .as_ref()
        .and_then(|request| request.progress.clone())
        .unwrap_or_default();
    committed.clone_from(&progress.stages);
    // A replica has the ledger's results, and records none.
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
    let freshness = match basis {
        Basis::Presumed | Basis::Offer => Freshness::Minutes,
        Basis::OfferOfNow => Freshness::Since(began),
    };
    let mut offer = OfferReader::new(reconciliation.declarations(), freshness, began);
    if basis == Basis::Presumed {
        offer = offer.presuming_versions();
    }
    let (plan, mut warnings) = make_plan(
        &mut session,
        reconciliation,
        &intent,
        &mut before,
        &ledger,
        &mut offer,
    )
    .await?;
    // A Delete is carried out nevertheless: no later request would revert the earlier changes.
    if reconciliation.properties.dry_run && reconciliation.goal == Goal::Live {
        session.roll_back().await?;
        return Ok(ReconcileResult::Outcome(DatabaseOutcome {
            changes: plan.steps.iter().map(Step::sql).collect(),
            notes: notes(&plan.retained, warnings, &plan.steps, &before),
            ..outcome(reconciliation, &before, &before)
        }));
    }

    if !plan.steps.is_empty() || !has_ledger {
        warnings.extend(reconciliation.check_blue_green().await?);
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
        earlier: &[],
        may_stage: true,
        statement_time: reconciliation.statement_time(),
    };
    let applied = apply(&mut session, plan.steps.clone(), &before, context).await;
    let AppliedSteps {
        done,
        retained,
        after,
        ..
    } = applied.inspect_err(|error| {
        if before.catalog.presumes_versions && error.is_of_refused_creation() {
            *better = Some(Basis::Offer);
        } else if offer.is_older() && error.is_of_control_file_in_step() {
            *better = Some(Basis::OfferOfNow);
        }
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

    let staged = progress.stages.iter().map(Step::from);
    let changed: Vec<Step> = staged.chain(done.iter().cloned()).collect();
    let mut outcome = DatabaseOutcome {
        changes: changed.iter().map(Step::to_string).collect(),
        notes: notes(
            plan.retained.iter().chain(&retained),
            warnings,
            &changed,
            &after,
        ),
        ..outcome(reconciliation, &before, &after)
    };
    if !progress.stages.is_empty() {
        outcome.before = progress.before;
    }
    if !outcome.notes.is_empty() {
        info!(
            database = reconciliation.target.database,
            notes = outcome.notes.join("; "),
            "to be known"
        );
    }
    let end = commit(
        session,
        reconciliation,
        outcome,
        &before.server_version,
        &ledger,
        &managed,
    )
    .await?;
    discard_outdated_sessions(pools, reconciliation.target, &done);
    Ok(end)
}

/// A library that a session has loaded stays loaded: after an update no session from before may continue.
pub(crate) fn discard_outdated_sessions(pools: &Pools, target: &Target, done: &[Step]) {
    let is_update = |step: &Step| matches!(step, Step::Update { .. } | Step::Recreate { .. });
    if done.iter().any(is_update) {
        pools.discard_idle(target);
    }
}

/// A second plan after the steps must be empty.
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
