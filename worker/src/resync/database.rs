//! One database in a re-sync: observes it, compares it with the declarations of its ledger and the baseline, and with
//! `Repair` changes it, in one transaction with the ledger.

use std::time::{Duration, Instant};

use tracing::info;

use super::asking::Asking;
use super::assessment::Findings;
use super::commit::commit;
use super::declarers::{declarations, declarers};
use super::task::ResyncTask;
use crate::credentials::secrets::Password;
use crate::extension::Observed;
use crate::ledger::{Ledger, ResourceKey, WholeLedger};
use crate::plan::{Declarer, Drift, OfferParts, Policy, Step, drift, follow_ups};
use crate::postgres::{Freshness, Pools};
use crate::postgres_error::DatabaseError;
use crate::reconcile::transaction::ReconcileError;
use crate::reconcile::{
    LedgerForm, OfferReader, Refusals, Stages, StatementTime, discard_outdated_sessions, migrate,
    unread,
};
use crate::response::reason;
use crate::resync_protocol::event::DatabaseResult;
use crate::target::Target;

/// Statement timeout: PostGIS takes long with large databases.
pub(super) const STATEMENT_TIME: StatementTime = StatementTime::Each(Duration::from_secs(900));

/// Processes one database. If PostgreSQL cannot list its offer because of a broken control file, the database is processed
/// without the list.
///
/// # Errors
/// [`ReconcileError`], after which nothing was changed except by committed stages of updates. A step that PostgreSQL
/// refuses, and that `refusals` skips, is part of the result.
pub(super) async fn resync(
    pools: &Pools,
    task: &ResyncTask<'_>,
    target: &Target,
    password: &Password,
    refusals: Refusals,
) -> Result<DatabaseResult, ReconcileError> {
    let stages = Stages {
        pools,
        target,
        password,
        resource: &ResourceKey::resync(),
        request_id: task.server.resync_id,
        published_at: None,
        statement_time: STATEMENT_TIME,
    };
    let mut committed = Vec::new();
    let mut may_stage = true;
    loop {
        let end = transact(pools, task, target, password, refusals, may_stage).await;
        let Err(ReconcileError::StagesNeeded { updates, .. }) = end else {
            return end.map_err(|error| error.after(committed));
        };
        may_stage = match stages.walk(&updates, &mut committed).await {
            Ok(has_done) => has_done,
            // The step that needs them is skipped with it.
            Err(ReconcileError::Database {
                error,
                step: Some(step),
            }) if refusals.leaves_out(&error, &step) => false,
            Err(ReconcileError::UntrustedObjects(_)) if refusals != Refusals::End => false,
            Err(error) => return Err(error.after(committed)),
        };
    }
}

/// Runs one transaction.
async fn transact(
    pools: &Pools,
    task: &ResyncTask<'_>,
    target: &Target,
    password: &Password,
    refusals: Refusals,
    may_stage: bool,
) -> Result<DatabaseResult, ReconcileError> {
    let since = Instant::now();
    let mut session = pools.session(target, password).await?;
    let before = session.begin(&[], STATEMENT_TIME.timeout()).await?;
    // A report rolls the migration back with the rest.
    let form = migrate(&mut session, &before).await?;
    let has_ledger = form != LedgerForm::Absent;
    let whole = match form {
        LedgerForm::Absent => WholeLedger::default(),
        LedgerForm::Newest => session.read_whole_ledger(task.server.resync_id).await?,
        LedgerForm::Older(version) => return Err(DatabaseError::OlderLedger(version).into()),
    };
    if let Some(earlier) = whole.resync.as_ref().filter(|_| task.is_repair())
        && let Ok(result) = serde_json::from_value::<DatabaseResult>(earlier.clone())
    {
        info!(database = target.database, "this re-sync was here before");
        session.close();
        // Another secret may name the same database.
        return Ok(DatabaseResult {
            key: task.server.key.to_owned(),
            target: task.server.target.to_owned(),
            server: Some(target.address.to_string()),
            database: Some(target.database.clone()),
            ..result
        });
    }
    let task = &ResyncTask {
        baseline: task.baseline.filter(|_| has_ledger || task.is_named),
        ..*task
    };
    let mut findings = Findings::default();
    findings.warnings.extend(task.note.map(str::to_owned));
    let committed = whole.progress.iter().filter(|_| task.is_repair());
    let committed = committed.flat_map(|progress| &progress.stages);
    findings.done.extend(committed.map(Step::from));
    let committed = findings.done.len();
    let declarers = declarers(&whole.resources, task.baseline, &mut findings);
    let declarations = declarations(&declarers);
    let mut observed = before;
    if declarations
        .iter()
        .any(|declaration| declaration.schema.is_some())
    {
        observed = session.observe(&declarations, &observed).await?;
    }
    let mut offer = OfferReader::new(&declarations, Freshness::Since(task.since), task.since);
    // Installed versions are compared with the default versions.
    let defaults = OfferParts {
        extensions: true,
        ..OfferParts::default()
    };
    let mut unread = self::unread(offer.add(defaults, &mut session, &mut observed).await)?;
    if unread.is_none() {
        unread = self::unread(offer.complete(&mut session, &mut observed).await)?;
    }
    findings
        .warnings
        .extend(unread.as_ref().map(reason::of_unread_list));
    let mut asking = Asking {
        session: &mut session,
        task,
        target,
        declarations: &declarations,
        unread: unread.as_ref(),
        refusals,
        committed,
        may_stage,
    };
    let mut ledger = Ledger {
        managed: whole.managed.clone(),
        ..Ledger::default()
    };
    let may_repair = task.is_repair() && !observed.in_recovery;
    for declarer in &declarers {
        let mut found = asking
            .drift(declarer, &mut observed, &ledger, &mut findings)
            .await?;
        let steps = may_repair.then(|| std::mem::take(&mut found.steps));
        note(found, &mut findings, target, &observed);
        if let Some(steps) = steps {
            asking
                .repair(declarer, steps, &mut observed, &mut ledger, &mut findings)
                .await?;
        }
    }
    if task.is_repair() && !may_repair && !findings.to_do.is_empty() {
        return Err(ReconcileError::ReadOnly);
    }
    if !findings.done.is_empty() {
        note_disputes(
            &declarers,
            &observed,
            &ledger,
            task.policy,
            target,
            &mut findings,
        );
    }
    let follow_ups = follow_ups(&findings.done, &observed);
    let follow_ups = follow_ups.iter().map(reason::of_follow_up);
    findings.warnings.extend(follow_ups);
    let state = findings.state(&declarers, task.is_repair());
    let result = DatabaseResult {
        server: Some(target.address.to_string()),
        database: Some(target.database.clone()),
        server_version_before: whole
            .server_version
            .clone()
            .filter(|before| *before != observed.server_version),
        server_version: Some(observed.server_version.clone()),
        extensions: findings.extensions(&declarers, &observed, task.is_repair()),
        changes: findings.changes(),
        reason: findings.reason(),
        ..task.server.result(state, since)
    };
    if task.is_repair() {
        commit(
            session,
            task,
            &whole,
            &ledger,
            &findings,
            &result,
            observed.ledger_version,
        )
        .await?;
    } else {
        session.close();
    }
    discard_outdated_sessions(pools, target, &findings.done);
    Ok(result)
}

/// An extension that was changed for one declarer, and that another declares differently, is not as both declare it.
fn note_disputes(
    declarers: &[Declarer],
    observed: &Observed,
    ledger: &Ledger,
    policy: &Policy,
    target: &Target,
    findings: &mut Findings,
) {
    for declarer in declarers {
        let mut left = drift(declarer, observed, ledger, policy);
        for step in std::mem::take(&mut left.steps) {
            let name = step.extension();
            if !findings.faults.iter().any(|(fault, _)| fault == name) {
                let reason = reason::resync::of_dispute(name, &declarer.key, &step);
                findings.add_fault(name, reason);
            }
        }
        note(left, findings, target, observed);
    }
}

fn note(drift: Drift, findings: &mut Findings, target: &Target, observed: &Observed) {
    for step in drift.steps {
        if !findings.to_do.contains(&step) {
            findings.to_do.push(step);
        }
    }
    for unmet in drift.unmet {
        let reason = reason::of_plan_error(&unmet.plan_error, target, &observed.server_version);
        findings.add_fault(&unmet.extension, reason);
    }
    findings.unwanted.extend(drift.unwanted);
}
