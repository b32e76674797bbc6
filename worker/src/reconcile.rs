//! One pass over one database: observe, plan, apply, observe, all in one transaction with the ledger.
//!
//! A pass that failed left nothing behind, and the next one looks afresh: there is no undo code.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::info;

use crate::database::{Applied, Entry, Pools, Scope, Session, newest_ledger_version};
use crate::extension::{Ensure, Observed};
use crate::failpoint;
use crate::fault::DatabaseError;
use crate::pass::{Goal, Pass, PassEnd, PassError};
use crate::plan::{
    Intent, Kept, KeptBecause, Ledger, Managed, PassOutcome, ResourceRecord, ResourceState, Step,
    plan, settle,
};
use crate::response::Response;

/// Makes one pass.
///
/// # Errors
/// [`PassError`]; nothing was changed then, but for a commit whose answer was lost: the next pass finds it in the ledger.
pub async fn reconcile(pools: &Pools, pass: &Pass<'_>) -> Result<PassEnd, PassError> {
    let mut session = pools.session(pass.target, pass.password).await?;
    let scope = Scope::of(pass.declarations);
    failpoint::at("before-transaction");
    let (before, read_along) = session
        .begin_and_read(
            &scope,
            statement_budget(pass.until),
            pass.resource,
            pass.request_id,
        )
        .await?;
    // What is there is read in its newest form only.
    let has_ledger = before.ledger_version.is_some_and(|version| version > 0);
    if has_ledger && !before.in_recovery {
        session.migrate_ledger(before.ledger_version).await?;
    }
    let is_readable = has_ledger
        && (!before.in_recovery || before.ledger_version == Some(newest_ledger_version()));
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
    };
    let blocked = |obstacle| PassError::Obstacle {
        obstacle: Box::new(obstacle),
        server_version: before.server_version.clone(),
    };
    let plan = plan(&intent, &before, &ledger).map_err(blocked)?;
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
        session.migrate_ledger(None).await?;
    }
    let mut changes = Vec::new();
    let mut kept = plan.kept;
    for step in &plan.steps {
        let failed = |error| PassError::Database {
            error,
            step: Some(Box::new(step.clone())),
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
        session.observe(&scope).await?
    };
    let managed = settle(&intent, &plan.steps, &before, &after, &ledger);
    verify(&intent, &after, &managed)?;
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

/// Keeps the answer to a request of several databases, or to one that failed, in one of its databases. Returns the one
/// that counts: the first that was kept.
///
/// # Errors
/// [`PassError`].
pub async fn keep_response(
    pools: &Pools,
    pass: &Pass<'_>,
    response: &Response,
) -> Result<Response, PassError> {
    let mut session = pools.session(pass.target, pass.password).await?;
    let seen = session
        .begin(&Scope::default(), statement_budget(pass.until))
        .await?;
    if seen.in_recovery {
        return Err(PassError::ReadOnly);
    }
    let is_missing = seen.ledger_version.unwrap_or(0) == 0;
    if is_missing && matches!(pass.goal, Goal::Deleted { .. }) {
        // The role may not make one, or the pass before this had.
        session.roll_back().await?;
        return Ok(response.clone());
    }
    session.migrate_ledger(seen.ledger_version).await?;
    let kept = session
        .keep_response(
            pass.resource,
            pass.request_id,
            pass.published_at,
            response.text(),
        )
        .await?;
    Response::from_text(kept).map_err(unreadable)
}

/// Whether the ledger knows of a newer request. With raw delivery requests are dated by the second: of a Delete and its
/// Create in the same one the Create is the older.
fn is_newer(resource: &ResourceRecord, pass: &Pass<'_>) -> bool {
    let is_late_create = resource.state == ResourceState::Deleted && pass.request_type == "Create";
    resource.requested_at > pass.published_at
        || is_late_create && resource.requested_at == pass.published_at
}

/// Whether a Delete means the resource that the ledger knows. A resource whose only request was its Create is meant by
/// any id: CloudFormation may not have learnt the right one. Otherwise another id is that of a resource which this one
/// replaced. A ledger that came to this server with a dump or a snapshot speaks of the server that it came from.
fn is_meant(resource: Option<&ResourceRecord>, named: &str, pass: &Pass<'_>) -> bool {
    let here = pass.physical_resource_id;
    resource.is_some_and(|resource| {
        resource.state == ResourceState::Live
            && resource.physical_resource_id == here
            && (named == here || resource.request_type == "Create")
    })
}

/// A Delete of what is not here: a Create that comes late must find that it was deleted.
async fn remember_deletion(
    mut session: Session,
    pass: &Pass<'_>,
    before: &Observed,
    ledger: &Ledger,
) -> Result<PassEnd, PassError> {
    let outcome = outcome(pass, before, before);
    let is_live = ledger
        .resource
        .as_ref()
        .is_some_and(|resource| resource.state == ResourceState::Live);
    if is_live || pass.dry_run {
        info!(
            database = pass.target.database,
            "the resource that is deleted is not the one that is managed here: nothing is dropped"
        );
        session.roll_back().await?;
        return Ok(PassEnd::Outcome(outcome));
    }
    if before.ledger_version.unwrap_or(0) == 0
        && let Err(error) = session.migrate_ledger(None).await
    {
        // Who may not make the ledger made nothing that could be deleted.
        let forbidden = error
            .sql()
            .is_some_and(|refused| refused.sqlstate == "42501");
        return if forbidden {
            Ok(PassEnd::Outcome(outcome))
        } else {
            Err(error.into())
        };
    }
    keep(session, pass, outcome, ledger, &ledger.managed).await
}

/// Writes the ledger and commits.
async fn keep(
    session: Session,
    pass: &Pass<'_>,
    outcome: PassOutcome,
    ledger: &Ledger,
    managed: &BTreeMap<String, Managed>,
) -> Result<PassEnd, PassError> {
    let stored = serde_json::to_value(&outcome).map_err(unreadable)?;
    let outcomes = [(pass.target.database.clone(), outcome)];
    let response = pass.draft.map(|draft| draft.success(&outcomes));
    let entry = Entry {
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
        outcome: &stored,
        response: response.as_ref().map(Response::text),
        managed_before: &ledger.managed,
        managed_after: managed,
    };
    failpoint::at("before-commit");
    session.commit(&entry).await?;
    let [(_, outcome)] = outcomes;
    Ok(response.map_or(PassEnd::Outcome(outcome), PassEnd::Answered))
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

/// What the ledger says of this very request.
fn decided(ledger: &Ledger) -> Result<Option<PassEnd>, PassError> {
    let Some(request) = &ledger.request else {
        return Ok(None);
    };
    if let Some(text) = &request.response {
        let response = Response::from_text(text.clone()).map_err(unreadable)?;
        return Ok(Some(PassEnd::Answered(response)));
    }
    let outcome = request.outcome.clone().map(serde_json::from_value);
    Ok(outcome
        .transpose()
        .map_err(unreadable)?
        .map(PassEnd::Outcome))
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
