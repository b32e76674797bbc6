//! One pass over one database: observe, plan, apply, observe, all in one transaction with the ledger.
//!
//! A pass that failed left nothing behind, and the next one looks afresh: there is no undo code.

mod decided;
mod keep;
mod offer;
mod script_check;
mod server_decides;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use self::decided::{decided, is_meant, is_newer};
use self::keep::{keep, remember_deletion};
use crate::database::{Applied, Freshness, Pools};
use crate::extension::{Ensure, Observed};
use crate::failpoint;
use crate::fault::DatabaseError;
use crate::ledger::newest_version;
use crate::pass::{Goal, Pass, PassEnd, PassError};
use crate::plan::{
    Intent, Kept, KeptBecause, Ledger, Managed, PassOutcome, Step, offer_parts_of, plan, settle,
};
use crate::response::reason;

pub use self::keep::keep_response;
pub(crate) use self::offer::OfferReader;
pub(crate) use self::script_check::check_scripts;
pub(crate) use self::server_decides::{Question, Ruling, ask, is_of_directory};

/// Makes one pass.
///
/// # Errors
/// [`PassError`]; nothing was changed then, but for a commit whose answer was lost: the next pass finds it in the ledger.
pub async fn reconcile(pools: &Pools, pass: &Pass<'_>) -> Result<PassEnd, PassError> {
    let mut was_outdated = false;
    match transact(pools, pass, Freshness::Minutes, &mut was_outdated).await {
        Err(error) if was_outdated => {
            info!(%error, "the server's offer has changed since it was read");
            let now = Freshness::Since(Instant::now());
            transact(pools, pass, now, &mut was_outdated).await
        }
        end => end,
    }
}

/// One transaction. Notes where a step may have failed for an offer that is out of date.
async fn transact(
    pools: &Pools,
    pass: &Pass<'_>,
    freshness: Freshness,
    was_outdated: &mut bool,
) -> Result<PassEnd, PassError> {
    let mut session = pools.session(pass.target, pass.password).await?;
    failpoint::at("before-transaction");
    failpoint::at_resource(&pass.resource.logical_resource_id);
    let budget = statement_budget(pass.until);
    let (mut before, read_along) = session
        .begin_and_read(pass.declarations, budget, pass.resource, pass.request_id)
        .await?;
    // What is there is read in its newest form only.
    let has_ledger = before.ledger_version.is_some_and(|version| version > 0);
    if has_ledger && !before.in_recovery {
        session.migrate_ledger(before.ledger_version).await?;
    }
    let is_readable =
        has_ledger && (!before.in_recovery || before.ledger_version == Some(newest_version()));
    let ledger = match read_along {
        Some(ledger) => ledger,
        None if is_readable => session.read_ledger(pass.resource, pass.request_id).await?,
        None => Ledger::default(),
    };
    if let Some(end) = decided(&ledger)? {
        info!(
            database = pass.target.database,
            "this request was decided before"
        );
        session.roll_back().await?;
        return Ok(end);
    }
    // A replica knows what was decided, and decides nothing.
    if before.in_recovery {
        return Err(PassError::ReadOnly);
    }
    if ledger
        .resource
        .as_ref()
        .is_some_and(|resource| is_newer(resource, pass))
    {
        return Err(PassError::Superseded);
    }
    if let Goal::Deleted {
        physical_resource_id,
    } = pass.goal
        && !is_meant(ledger.resource.as_ref(), physical_resource_id, pass)
    {
        return remember_deletion(session, pass, &before, &ledger).await;
    }

    let intent = Intent {
        resource: pass.resource,
        declarations: pass.declarations,
        deletion_behavior: pass.deletion_behavior,
        policy: pass.policy,
    };
    let mut offer = OfferReader::new(pass.declarations, freshness);
    let mut unread = unread(offer.complete(&mut session, &mut before).await)?;
    let question = Question {
        declarations: pass.declarations,
        policy: pass.policy,
        may_try: !pass.dry_run,
    };
    let mut asked = 0..=pass.declarations.len();
    let mut plan = loop {
        let obstacle = match plan(&intent, &before, &ledger) {
            Ok(plan) => break plan,
            Err(obstacle) => obstacle,
        };
        if unread.is_none() {
            let read = offer.read_afresh(&mut session, &mut before).await;
            match read {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => unread = self::unread(Err(error))?,
            }
        }
        let budget = statement_budget(pass.until);
        let ruling = match asked.next() {
            Some(_) => ask(&mut session, question, &obstacle, &mut before, budget).await?,
            None => Ruling::Agreed,
        };
        match (ruling, unread.take()) {
            (Ruling::Overruled, why) => unread = why,
            (Ruling::NotAsked, Some(error)) if !obstacle.sqlstates().is_empty() => {
                return Err(error.into());
            }
            (Ruling::Agreed | Ruling::NotAsked, _) => {
                return Err(PassError::Obstacle {
                    obstacle: Box::new(obstacle),
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
    if pass.dry_run && pass.goal == Goal::Live {
        session.roll_back().await?;
        return Ok(PassEnd::Outcome(PassOutcome {
            changes: plan.steps.iter().map(Step::sql).collect(),
            notes: plan
                .kept
                .iter()
                .map(Kept::to_string)
                .chain(plan.warnings)
                .collect(),
            ..outcome(pass, &before, &before)
        }));
    }

    if !plan.steps.is_empty() {
        info!(
            database = pass.target.database,
            extensions = versions(&before),
            "extensions before"
        );
    }
    if !has_ledger {
        session.migrate_ledger(before.ledger_version).await?;
    }
    let mut changes = Vec::new();
    let mut kept = plan.kept;
    for step in &plan.steps {
        let failed = |error| {
            *was_outdated = offer.is_older() && is_of_directory(&error);
            PassError::Database {
                error,
                step: Some(Box::new(step.clone())),
            }
        };
        let budget = statement_budget(pass.until);
        match session.apply(step, budget).await.map_err(failed)? {
            Applied::Done => {
                info!(database = pass.target.database, sql = step.sql(), "{step}");
                changes.push(step.to_string());
            }
            Applied::InUse(detail) => {
                kept.push(Kept {
                    name: step.extension().to_owned(),
                    because: KeptBecause::InUse(detail),
                });
            }
        }
    }
    let after = if plan.steps.is_empty() {
        before.clone()
    } else {
        let after = session.observe(pass.declarations, &before).await?;
        check_scripts(&session, plan.steps.iter(), &after).await?;
        after
    };
    let managed = settle(&intent, &plan.steps, &before, &after, &ledger);
    verify(&intent, &after, &managed, &ledger)?;
    if !plan.steps.is_empty() {
        info!(
            database = pass.target.database,
            extensions = versions(&after),
            "extensions after"
        );
    }

    let outcome = PassOutcome {
        changes,
        notes: kept
            .iter()
            .map(Kept::to_string)
            .chain(plan.warnings)
            .collect(),
        ..outcome(pass, &before, &after)
    };
    if !outcome.notes.is_empty() {
        info!(
            database = pass.target.database,
            notes = outcome.notes.join("; "),
            "to be known"
        );
    }
    let end = keep(session, pass, outcome, &ledger, &managed).await?;
    // A library that a session has loaded stays loaded: after an update no old session may go on.
    if plan
        .steps
        .iter()
        .any(|step| matches!(step, Step::Update { .. }))
    {
        pools.forget(pass.target);
    }
    Ok(end)
}

/// Why the server's list of extensions cannot be read, where a file is in the way: PostgreSQL is asked about each then.
pub(crate) fn unread(
    read: Result<(), DatabaseError>,
) -> Result<Option<DatabaseError>, DatabaseError> {
    match read {
        Ok(()) => Ok(None),
        Err(error) if is_of_directory(&error) => {
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
) -> Result<(), PassError> {
    let ledger = Ledger {
        managed: managed.clone(),
        resource: before.resource.clone(),
        ..Ledger::default()
    };
    let rest = plan(intent, after, &ledger).map_err(|_| PassError::NotConverged(Vec::new()))?;
    if rest.steps.is_empty() {
        Ok(())
    } else {
        Err(PassError::NotConverged(rest.steps))
    }
}

fn outcome(pass: &Pass<'_>, before: &Observed, after: &Observed) -> PassOutcome {
    let all = |observed: &Observed| {
        observed
            .installed
            .iter()
            .map(|(name, installed)| (name.clone(), installed.version.to_string()))
            .collect()
    };
    let declared = pass
        .declarations
        .iter()
        .filter(|declaration| declaration.ensure == Ensure::Present)
        .filter_map(|declaration| {
            let (_, installed) = after
                .installed
                .iter()
                .find(|(name, _)| declaration.name.means(name))?;
            Some((declaration.name.to_string(), installed.version.to_string()))
        })
        .collect();
    PassOutcome {
        before: all(before),
        after: all(after),
        declared,
        changes: Vec::new(),
        notes: Vec::new(),
    }
}

fn unreadable(error: serde_json::Error) -> PassError {
    DatabaseError::Unreadable(error.to_string()).into()
}

fn versions(observed: &Observed) -> String {
    let all: Vec<String> = observed
        .installed
        .iter()
        .map(|(name, installed)| format!("{name} {}", installed.version))
        .collect();
    all.join(", ")
}

/// PostgreSQL ends a statement in time to say which one it was, and to be answered about.
fn statement_budget(until: Instant) -> Duration {
    let left = until.saturating_duration_since(Instant::now());
    left.saturating_sub(Duration::from_secs(1)).max(left / 2)
}
