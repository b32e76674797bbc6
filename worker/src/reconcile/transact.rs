//! One transaction in one database: the ledger's record of the request, the plan, its steps, and the commit.

use std::collections::BTreeMap;
use std::time::Instant;

use tracing::info;

use super::apply::{ApplyContext, Refusals, apply};
use super::basis::Basis;
use super::begin::{Begun, begin};
use super::commit::{commit, record_deletion};
use super::discard_outdated_sessions;
use super::idempotency::{is_superseded, recorded_result, targets_this_resource};
use super::offer::OfferReader;
use super::outcome::{notes, outcome, versions};
use super::planning::make_plan;
use super::transaction::{Goal, ReconcileError, ReconcileResult, Reconciliation};
use crate::extension::Observed;
use crate::ledger::{Ledger, Managed, Stage};
use crate::plan::{DatabaseOutcome, Intent, Step, plan, update_ownership};
use crate::postgres::Pools;
use crate::process::failpoint;

/// Runs one transaction. Records the stages that were committed before it and, if a step failed, the source with which
/// another transaction may succeed.
///
/// # Errors
/// [`ReconcileError`].
pub(super) async fn transact(
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
    let database = &reconciliation.target.database;
    if let Some(end) = recorded_result(&ledger)? {
        info!(database, "this request was decided before");
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
    if is_superseded(ledger.resource.as_ref(), reconciliation) {
        return Err(ReconcileError::Superseded);
    }
    if deletes_another_resource(&ledger, reconciliation) {
        return record_deletion(session, reconciliation, &before, &ledger).await;
    }

    let intent = Intent {
        resource: reconciliation.request.resource,
        declarations: reconciliation.declarations(),
        deletion_behavior: reconciliation.properties.deletion_behavior,
        policy: reconciliation.policy,
    };
    let mut offer = basis.offer_reader(reconciliation.declarations(), began);
    let planned = make_plan(
        &mut session,
        reconciliation,
        &intent,
        &mut before,
        &ledger,
        &mut offer,
    );
    let (plan, mut warnings) = planned.await?;
    // A Delete is carried out all the same: nothing else would ever undo what was done before.
    if reconciliation.properties.dry_run && reconciliation.goal == Goal::Live {
        session.roll_back().await?;
        return Ok(ReconcileResult::Outcome(DatabaseOutcome {
            changes: plan.steps.iter().map(Step::sql).collect(),
            notes: notes(&plan.retained, warnings, &plan.steps, &before),
            ..outcome(reconciliation, &before, &before)
        }));
    }

    let changes_extensions = !plan.steps.is_empty();
    if changes_extensions || !has_ledger {
        warnings.extend(reconciliation.check_blue_green().await?);
    }
    if changes_extensions {
        info!(
            database,
            extensions = versions(&before),
            "extensions before"
        );
    }
    if !has_ledger {
        session.migrate_ledger(before.ledger_version).await?;
    }
    let context = ApplyContext {
        database,
        declarations: reconciliation.declarations(),
        refusals: Refusals::End,
        earlier: &[],
        may_stage: true,
        statement_time: reconciliation.statement_time(),
    };
    let applied = apply(&mut session, plan.steps.clone(), &before, context).await;
    let applied = applied.inspect_err(|error| *better = basis_after(error, &before, &offer))?;
    let after = &applied.after;
    let managed = update_ownership(&intent, &plan.steps, &before, after, &ledger);
    verify(&intent, after, &managed, &ledger)?;
    if changes_extensions {
        info!(database, extensions = versions(after), "extensions after");
    }

    let staged = progress.stages.iter().map(Step::from);
    let changed: Vec<Step> = staged.chain(applied.done.iter().cloned()).collect();
    let retained = plan.retained.iter().chain(&applied.retained);
    let mut outcome = DatabaseOutcome {
        changes: changed.iter().map(Step::to_string).collect(),
        notes: notes(retained, warnings, &changed, after),
        ..outcome(reconciliation, &before, after)
    };
    if !progress.stages.is_empty() {
        outcome.before = progress.before;
    }
    if !outcome.notes.is_empty() {
        info!(database, notes = outcome.notes.join("; "), "to be known");
    }
    let committing = commit(
        session,
        reconciliation,
        outcome,
        &before.server_version,
        &ledger,
        &managed,
    );
    let end = committing.await?;
    discard_outdated_sessions(pools, reconciliation.target, &applied.done);
    Ok(end)
}

/// Whether the request deletes a resource other than the one in the ledger.
fn deletes_another_resource(ledger: &Ledger, reconciliation: &Reconciliation<'_>) -> bool {
    let Goal::Deleted {
        physical_resource_id,
    } = reconciliation.goal
    else {
        return false;
    };
    !targets_this_resource(
        ledger.resource.as_ref(),
        physical_resource_id,
        reconciliation,
    )
}

/// The source with which another transaction may succeed after this error.
fn basis_after(
    error: &ReconcileError,
    before: &Observed,
    offer: &OfferReader<'_>,
) -> Option<Basis> {
    if before.catalog.presumes_versions && error.is_of_refused_creation() {
        Some(Basis::Offer)
    } else if offer.is_older() && error.is_of_control_file_in_step() {
        Some(Basis::OfferOfNow)
    } else {
        None
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
