//! One database in a re-sync: look, compare with what its ledger and the baseline declare, and in `Repair` make it so,
//! all in one transaction with the ledger.

use std::time::{Duration, Instant};

use tracing::info;

use super::asking::{Asking, may_pass};
use super::assessment::Findings;
use super::commit::commit;
use super::declarers::{declarations, declarers};
use super::task::ResyncTask;
use crate::credentials::secrets::Password;
use crate::extension::{DeletionBehavior, Observed};
use crate::ledger::{Ledger, WholeLedger, newest_version};
use crate::plan::{Declarer, Drift, Intent, OfferParts, Policy, Step, drift, update_ownership};
use crate::postgres::{Freshness, Pools, Session};
use crate::postgres_error::DatabaseError;
use crate::reconcile::transaction::ReconcileError;
use crate::reconcile::{OfferReader, check_scripts, unread};
use crate::response::reason;
use crate::resync_protocol::event::DatabaseResult;
use crate::target::Target;

/// How long a statement may run: PostGIS takes its time with large databases.
pub(super) const STATEMENT_TIME: Duration = Duration::from_secs(900);

/// Does one database. Where a control file is broken, which PostgreSQL reads with all others, it is done without the list of
/// what the server offers.
///
/// # Errors
/// [`ReconcileError`], after which nothing was changed. At the `last` attempt what PostgreSQL refuses is a part of the result.
pub(super) async fn resync(
    pools: &Pools,
    task: &ResyncTask<'_>,
    target: &Target,
    password: &Password,
    last: bool,
) -> Result<DatabaseResult, ReconcileError> {
    let since = Instant::now();
    let mut session = pools.session(target, password).await?;
    let before = session.begin(&[], STATEMENT_TIME).await?;
    let has_ledger = before.ledger_version.is_some_and(|version| version > 0);
    if let Some(older) = before
        .ledger_version
        .filter(|version| has_ledger && *version < newest_version())
    {
        if before.in_recovery {
            return Err(DatabaseError::OlderLedger(older).into());
        }
        // It is read in its newest form only; a report gives this up with the rest.
        session.migrate_ledger(Some(older)).await?;
    }
    let whole = if has_ledger {
        session.read_whole_ledger(task.resync_id).await?
    } else {
        WholeLedger::default()
    };
    if let Some(earlier) = whole.resync.as_ref().filter(|_| task.is_repair())
        && let Ok(result) = serde_json::from_value::<DatabaseResult>(earlier.clone())
    {
        info!(database = target.database, "this re-sync was here before");
        session.close();
        // Another secret may have led here.
        return Ok(DatabaseResult {
            key: task.key.to_owned(),
            target: task.target.to_owned(),
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
    // What is installed is compared with the default versions.
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
        unread: unread.as_ref(),
        last,
    };
    let mut ledger = Ledger {
        managed: whole.managed.clone(),
        ..Ledger::default()
    };
    if !task.is_repair() || observed.in_recovery {
        for declarer in &declarers {
            let found = asking
                .drift(declarer, &mut observed, &ledger, &mut findings)
                .await?;
            note(found, &mut findings, target, &observed);
        }
        if task.is_repair() && !findings.to_do.is_empty() {
            return Err(ReconcileError::ReadOnly);
        }
    } else {
        for declarer in &declarers {
            let mut found = asking
                .drift(declarer, &mut observed, &ledger, &mut findings)
                .await?;
            let steps = std::mem::take(&mut found.steps);
            note(found, &mut findings, target, &observed);
            let session = &mut *asking.session;
            let done = apply(session, steps, &observed, target, last, &mut findings).await?;
            let before = observed.clone();
            if !done.is_empty() {
                observed = session.observe(&declarations, &observed).await?;
                check_scripts(session, done.iter(), &observed).await?;
            }
            let is_baseline = task
                .baseline
                .is_some_and(|baseline| baseline.declarer.key == declarer.key);
            if !done.is_empty() || is_baseline {
                let intent = Intent {
                    resource: &declarer.key,
                    declarations: &declarer.declarations,
                    // Nothing is dropped; what was created for it stays known, to be dropped with it.
                    deletion_behavior: DeletionBehavior::DropUnused,
                    policy: task.policy,
                };
                ledger.managed = update_ownership(&intent, &done, &before, &observed, &ledger);
            }
            findings.done.extend(done);
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
    }
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
        ..task.result(state, since)
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
    // A library that a session has loaded stays loaded.
    if findings
        .done
        .iter()
        .any(|step| matches!(step, Step::Update { .. }))
    {
        pools.discard_idle(target);
    }
    Ok(result)
}

/// Carries steps out, each for itself. Before the last attempt what may pass ends it.
async fn apply(
    session: &mut Session,
    steps: Vec<Step>,
    observed: &Observed,
    target: &Target,
    last: bool,
    findings: &mut Findings,
) -> Result<Vec<Step>, ReconcileError> {
    let mut done = Vec::new();
    for step in steps {
        match check_scripts(session, std::iter::once(&step), observed).await {
            Ok(_) => {}
            Err(refused @ ReconcileError::UntrustedObjects(_)) => {
                findings.add_fault(step.extension(), refused.reason(target));
                continue;
            }
            Err(error) => return Err(error),
        }
        let error = match session.try_apply(&step, STATEMENT_TIME).await {
            Ok(Ok(())) => {
                info!(database = target.database, sql = step.sql(), "{step}");
                done.push(step);
                continue;
            }
            Ok(Err(error)) => error,
            Err(error) => {
                return Err(ReconcileError::Database {
                    error,
                    step: Some(Box::new(step)),
                });
            }
        };
        if !last && may_pass(&error, &step) {
            return Err(ReconcileError::Database {
                error,
                step: Some(Box::new(step)),
            });
        }
        let reason = reason::of_database(&error, Some(&step), target);
        findings.add_fault(step.extension(), reason);
    }
    Ok(done)
}

/// What one declarer has made so, and another declares otherwise, is not as both declare it.
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
                let reason = format!(
                    "{name} is not as {} declares it, since another declares it otherwise: still to do is {}.",
                    declarer.key,
                    step.sql()
                );
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
