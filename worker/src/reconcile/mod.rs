//! One pass over one database: observe, plan, apply, observe, all in one transaction with the ledger.
//!
//! A pass that failed left nothing behind, and the next one looks afresh: there is no undo code.

mod blue_green;
mod commit;
mod idempotency;
mod offer;
mod outcome;
mod script_check;
mod server_decides;
pub mod transaction;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use self::commit::{commit, record_deletion};
use self::idempotency::{is_superseded, recorded_result, targets_this_resource};
use self::outcome::{outcome, versions};
use self::transaction::{Goal, ReconcileError, ReconcileResult, Reconciliation};
use crate::extension::Observed;
use crate::ledger::{Ledger, Managed, newest_version};
use crate::plan::{
    DatabaseOutcome, Intent, Retained, RetainedBecause, Step, offer_parts_of,
    offer_parts_of_newest, plan, update_ownership,
};
use crate::postgres::{Applied, Freshness, Pools};
use crate::postgres_error::DatabaseError;
use crate::process::failpoint;
use crate::response::reason;

pub use self::blue_green::BlueGreenDeployments;
pub use self::commit::record_response;
pub(crate) use self::offer::OfferReader;
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
    let statement_timeout = remaining_statement_time(reconciliation.until);
    let began = Instant::now();
    let (mut before, read_along) = session
        .begin_and_read(
            reconciliation.declarations(),
            statement_timeout,
            reconciliation.request.resource,
            reconciliation.request.request_id,
            &offer_parts_of_newest(reconciliation.declarations()),
        )
        .await?;
    // What is there is read in its newest form only.
    let has_ledger = before.ledger_version.is_some_and(|version| version > 0);
    if has_ledger && !before.in_recovery {
        if before.ledger_version != Some(newest_version()) {
            reconciliation.check_blue_green().await?;
        }
        session.migrate_ledger(before.ledger_version).await?;
    }
    let is_readable =
        has_ledger && (!before.in_recovery || before.ledger_version == Some(newest_version()));
    let ledger = match read_along {
        Some(ledger) => ledger,
        None if is_readable => {
            session
                .read_ledger(
                    reconciliation.request.resource,
                    reconciliation.request.request_id,
                )
                .await?
        }
        None => Ledger::default(),
    };
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
    let mut unread = unread(offer.complete(&mut session, &mut before).await)?;
    let mut question = Question {
        declarations: reconciliation.declarations(),
        policy: reconciliation.policy,
        may_try: !reconciliation.properties.dry_run,
    };
    let mut asked = 0..=reconciliation.declarations().len();
    let mut plan = loop {
        let plan_error = match plan(&intent, &before, &ledger) {
            Ok(plan) => break plan,
            Err(plan_error) => plan_error,
        };
        if unread.is_none() {
            let read = offer.read_afresh(&mut session, &mut before).await;
            match read {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => unread = self::unread(Err(error))?,
            }
        }
        // What is tried is a change, even where it is taken back.
        question.may_try &= reconciliation.check_blue_green().await.is_ok();
        let statement_timeout = remaining_statement_time(reconciliation.until);
        let server_answer = match asked.next() {
            Some(_) => {
                try_on_server(
                    &mut session,
                    question,
                    &plan_error,
                    &mut before,
                    statement_timeout,
                )
                .await?
            }
            None => ServerAnswer::Agreed,
        };
        match (server_answer, unread.take()) {
            (ServerAnswer::Overruled, why) => unread = why,
            (ServerAnswer::NotAsked, Some(error)) if !plan_error.sqlstates().is_empty() => {
                return Err(error.into());
            }
            (ServerAnswer::Agreed | ServerAnswer::NotAsked, _) => {
                return Err(ReconcileError::Plan {
                    plan_error: Box::new(plan_error),
                    server_version: before.server_version.clone(),
                });
            }
        }
    };
    let parts = offer_parts_of(&plan);
    if unread.is_none() && !parts.is_empty() {
        unread = self::unread(offer.add(parts, &mut session, &mut before).await)?;
    }
    plan.warnings
        .extend(unread.map(|error| reason::of_unread_list(&error)));
    let warnings = check_scripts(&session, plan.steps.iter(), &before).await?;
    plan.warnings.extend(warnings);
    // A Delete is carried out all the same: nothing else would ever undo what was done before.
    if reconciliation.properties.dry_run && reconciliation.goal == Goal::Live {
        session.roll_back().await?;
        return Ok(ReconcileResult::Outcome(DatabaseOutcome {
            changes: plan.steps.iter().map(Step::sql).collect(),
            notes: plan
                .retained
                .iter()
                .map(Retained::to_string)
                .chain(plan.warnings)
                .collect(),
            ..outcome(reconciliation, &before, &before)
        }));
    }

    if !plan.steps.is_empty() || !has_ledger {
        plan.warnings
            .extend(reconciliation.check_blue_green().await?);
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
    let mut changes = Vec::new();
    let mut retained = plan.retained;
    for step in &plan.steps {
        let failed = |error| {
            *was_outdated = offer.is_older() && is_control_file_error(&error);
            ReconcileError::Database {
                error,
                step: Some(Box::new(step.clone())),
            }
        };
        let statement_timeout = remaining_statement_time(reconciliation.until);
        match session
            .apply(step, statement_timeout)
            .await
            .map_err(failed)?
        {
            Applied::Done => {
                info!(
                    database = reconciliation.target.database,
                    sql = step.sql(),
                    "{step}"
                );
                changes.push(step.to_string());
            }
            Applied::InUse(detail) => {
                retained.push(Retained {
                    name: step.extension().to_owned(),
                    because: RetainedBecause::InUse(detail),
                });
            }
        }
    }
    let after = if plan.steps.is_empty() {
        before.clone()
    } else {
        let after = session
            .observe(reconciliation.declarations(), &before)
            .await?;
        check_scripts(&session, plan.steps.iter(), &after).await?;
        after
    };
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
        changes,
        notes: retained
            .iter()
            .map(Retained::to_string)
            .chain(plan.warnings)
            .collect(),
        ..outcome(reconciliation, &before, &after)
    };
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
    // A library that a session has loaded stays loaded: after an update no old session may go on.
    if plan
        .steps
        .iter()
        .any(|step| matches!(step, Step::Update { .. }))
    {
        pools.discard_idle(reconciliation.target);
    }
    Ok(end)
}

/// Why the server's list of extensions cannot be read, where a file is in the way: PostgreSQL is asked about each then.
pub(crate) fn unread(
    read: Result<(), DatabaseError>,
) -> Result<Option<DatabaseError>, DatabaseError> {
    match read {
        Ok(()) => Ok(None),
        Err(error) if is_control_file_error(&error) => {
            warn!(%error, "the server's list of extensions cannot be read: PostgreSQL is asked about each");
            Ok(Some(error))
        }
        Err(error) => Err(error),
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

/// PostgreSQL ends a statement in time to say which one it was, and to be answered about.
fn remaining_statement_time(until: Instant) -> Duration {
    let left = until.saturating_duration_since(Instant::now());
    left.saturating_sub(Duration::from_secs(1)).max(left / 2)
}
