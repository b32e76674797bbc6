//! One pass over one database: observe, plan, apply, observe, all in one transaction with the ledger.
//!
//! A pass that failed left nothing behind, and the next one looks afresh: there is no undo code.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::info;

use crate::database::{Applied, Entry, Pools, Scope, Session};
use crate::extension::{Ensure, Observed};
use crate::fault::DatabaseError;
use crate::pass::{Goal, Pass, PassError};
use crate::plan::{
    Intent, Kept, KeptBecause, Ledger, Managed, PassOutcome, ResourceRecord, ResourceState, Step,
    plan, settle,
};

/// Makes one pass.
///
/// # Errors
/// [`PassError`]; nothing was changed then, but for a commit whose answer was lost: the next pass finds it in the ledger.
pub async fn reconcile(pools: &Pools, pass: &Pass<'_>) -> Result<PassOutcome, PassError> {
    let mut session = pools.session(pass.target, pass.password).await?;
    let scope = Scope::of(pass.declarations);
    let before = session.begin(&scope, statement_budget(pass.until)).await?;
    if before.in_recovery {
        return Err(PassError::ReadOnly);
    }
    // What is there is read in its newest form only.
    let has_ledger = before.ledger_version.is_some_and(|version| version > 0);
    if has_ledger {
        session.migrate_ledger(before.ledger_version).await?;
    }
    let ledger = if has_ledger {
        session.read_ledger(pass.resource, pass.request_id).await?
    } else {
        Ledger::default()
    };
    if let Some(outcome) = stored(&ledger)? {
        info!(
            database = pass.target.database,
            "this request was carried out before"
        );
        session.roll_back().await?;
        return Ok(outcome);
    }
    if ledger
        .resource
        .as_ref()
        .is_some_and(|resource| resource.requested_at > pass.published_at)
    {
        return Err(PassError::Superseded);
    }
    info!(
        database = pass.target.database,
        extensions = versions(&before),
        "extensions before"
    );
    if let Goal::Deleted {
        physical_resource_id,
    } = pass.goal
        && !is_meant(ledger.resource.as_ref(), physical_resource_id)
    {
        return remember_deletion(session, pass, &before, &ledger).await;
    }

    let intent = Intent {
        resource: pass.resource,
        declarations: pass.declarations,
        deletion_behavior: pass.deletion_behavior,
    };
    let blocked = |obstacle| PassError::Obstacle {
        obstacle: Box::new(obstacle),
        server_version: before.server_version.clone(),
    };
    let plan = plan(&intent, &before, &ledger).map_err(blocked)?;
    // A Delete is carried out all the same: nothing else would ever undo what was done before.
    if pass.dry_run && pass.goal == Goal::Live {
        session.roll_back().await?;
        return Ok(PassOutcome {
            changes: plan.steps.iter().map(Step::sql).collect(),
            notes: plan
                .kept
                .iter()
                .map(Kept::to_string)
                .chain(plan.warnings)
                .collect(),
            ..outcome(pass, &before, &before)
        });
    }

    if !has_ledger {
        session.migrate_ledger(None).await?;
    }
    let mut changes = Vec::new();
    let mut kept = plan.kept;
    for step in &plan.steps {
        let failed = |error| PassError::Database {
            error,
            step: Some(Box::new(step.clone())),
        };
        match session.apply(step).await.map_err(failed)? {
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
        session.observe(&scope).await?
    };
    let managed = settle(&intent, &plan.steps, &before, &after, &ledger);
    verify(&intent, &after, &managed)?;
    info!(
        database = pass.target.database,
        extensions = versions(&after),
        "extensions after"
    );

    let outcome = PassOutcome {
        changes,
        notes: kept
            .iter()
            .map(Kept::to_string)
            .chain(plan.warnings)
            .collect(),
        ..outcome(pass, &before, &after)
    };
    let stored = serde_json::to_value(&outcome).map_err(unreadable)?;
    let entry = entry(pass, &stored, &ledger, &managed);
    session.commit(&entry).await?;
    // A library that a session has loaded stays loaded: after an update no old session may go on.
    if plan
        .steps
        .iter()
        .any(|step| matches!(step, Step::Update { .. }))
    {
        pools.forget(pass.target);
    }
    Ok(outcome)
}

/// Whether a Delete means the resource that the ledger knows. A resource whose only request was its Create is meant by
/// any id: CloudFormation may not have learnt the right one. Otherwise another id is that of a resource which this one
/// replaced.
fn is_meant(resource: Option<&ResourceRecord>, physical_resource_id: &str) -> bool {
    resource.is_some_and(|resource| {
        resource.state == ResourceState::Live
            && (resource.physical_resource_id == physical_resource_id
                || resource.request_type == "Create")
    })
}

/// A Delete of what is not here: a Create that comes late must find that it was deleted.
async fn remember_deletion(
    mut session: Session,
    pass: &Pass<'_>,
    before: &Observed,
    ledger: &Ledger,
) -> Result<PassOutcome, PassError> {
    let outcome = outcome(pass, before, before);
    let is_live = ledger
        .resource
        .as_ref()
        .is_some_and(|resource| resource.state == ResourceState::Live);
    if is_live || pass.dry_run {
        session.roll_back().await?;
        return Ok(outcome);
    }
    if before.ledger_version.unwrap_or(0) == 0
        && let Err(error) = session.migrate_ledger(None).await
    {
        // Who may not make the ledger made nothing that could be deleted.
        let forbidden = error
            .sql()
            .is_some_and(|refused| refused.sqlstate == "42501");
        return if forbidden {
            Ok(outcome)
        } else {
            Err(error.into())
        };
    }
    let stored = serde_json::to_value(&outcome).map_err(unreadable)?;
    let entry = entry(pass, &stored, ledger, &ledger.managed);
    session.commit(&entry).await?;
    Ok(outcome)
}

/// What was planned and applied plans to nothing.
fn verify(
    intent: &Intent<'_>,
    after: &Observed,
    managed: &BTreeMap<String, Managed>,
) -> Result<(), PassError> {
    let ledger = Ledger {
        managed: managed.clone(),
        ..Ledger::default()
    };
    let rest = plan(intent, after, &ledger).map_err(|_| PassError::NotConverged(Vec::new()))?;
    if rest.steps.is_empty() {
        Ok(())
    } else {
        Err(PassError::NotConverged(rest.steps))
    }
}

fn entry<'a>(
    pass: &Pass<'a>,
    outcome: &'a serde_json::Value,
    ledger: &'a Ledger,
    managed: &'a BTreeMap<String, Managed>,
) -> Entry<'a> {
    Entry {
        resource: pass.resource,
        physical_resource_id: pass.physical_resource_id,
        state: match pass.goal {
            Goal::Live => ResourceState::Live,
            Goal::Deleted { .. } => ResourceState::Deleted,
        },
        declared: pass.declared,
        request_type: pass.request_type,
        request_id: pass.request_id,
        requested_at: pass.published_at,
        outcome,
        managed_before: &ledger.managed,
        managed_after: managed,
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

fn stored(ledger: &Ledger) -> Result<Option<PassOutcome>, PassError> {
    ledger
        .outcome
        .clone()
        .map(serde_json::from_value)
        .transpose()
        .map_err(unreadable)
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
