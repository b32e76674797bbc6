//! Writes the result of a reconciliation to the ledger.

use std::collections::BTreeMap;

use chrono::Utc;
use tracing::info;

use super::outcome::outcome;
use super::transaction::{Goal, ReconcileError, ReconcileResult, Reconciliation};
use super::unreadable;
use crate::extension::Observed;
use crate::ledger::{Entry, Ledger, Managed, ResourceState, newest_version};
use crate::plan::DatabaseOutcome;
use crate::postgres::{Pools, Session};
use crate::postgres_error::DatabaseError;
use crate::process::failpoint;
use crate::response::Response;

/// Writes the ledger and commits.
pub(super) async fn commit(
    session: Session,
    reconciliation: &Reconciliation<'_>,
    outcome: DatabaseOutcome,
    server_version: &str,
    ledger: &Ledger,
    managed: &BTreeMap<String, Managed>,
) -> Result<ReconcileResult, ReconcileError> {
    let stored = serde_json::to_value(&outcome).map_err(unreadable)?;
    let outcomes = [(reconciliation.target.database.clone(), outcome)];
    let response = reconciliation
        .success_template
        .map(|success_template| success_template.success(&outcomes));
    let entry = Entry {
        request: reconciliation.request,
        physical_resource_id: reconciliation.physical_resource_id,
        state: match reconciliation.goal {
            Goal::Live => ResourceState::Live,
            Goal::Deleted { .. } => ResourceState::Deleted,
        },
        outcome: &stored,
        response: response.as_ref().map(Response::text),
        managed_before: &ledger.managed,
        managed_after: managed,
        changed_at: Utc::now(),
        server_version,
    };
    failpoint::at("before-commit");
    session.commit(&entry).await?;
    let [(_, outcome)] = outcomes;
    Ok(response.map_or(ReconcileResult::Outcome(outcome), ReconcileResult::Answered))
}

/// A Delete of a resource that is not in the ledger is recorded, so that a Create that arrives later changes nothing.
pub(super) async fn record_deletion(
    mut session: Session,
    reconciliation: &Reconciliation<'_>,
    before: &Observed,
    ledger: &Ledger,
) -> Result<ReconcileResult, ReconcileError> {
    let outcome = outcome(reconciliation, before, before);
    let is_live = ledger
        .resource
        .as_ref()
        .is_some_and(|resource| resource.state == ResourceState::Live);
    if is_live || reconciliation.properties.dry_run {
        info!(
            database = reconciliation.target.database,
            "the resource that is deleted is not the one that is managed here: nothing is dropped"
        );
        session.roll_back().await?;
        return Ok(ReconcileResult::Outcome(outcome));
    }
    let is_missing = before.ledger_version.unwrap_or(0) == 0;
    if is_missing && reconciliation.check_blue_green().await.is_err() {
        // A Create that was refused here made nothing that a Delete would have to drop.
        session.roll_back().await?;
        return Ok(ReconcileResult::Outcome(outcome));
    }
    if is_missing && let Err(error) = session.migrate_ledger(before.ledger_version).await {
        // A role that may not create the ledger made nothing that a Delete would have to drop.
        let forbidden = matches!(error, DatabaseError::PublishedLedger(_))
            || error
                .sql()
                .is_some_and(|refused| refused.sqlstate == "42501");
        return if forbidden {
            Ok(ReconcileResult::Outcome(outcome))
        } else {
            Err(error.into())
        };
    }
    commit(
        session,
        reconciliation,
        outcome,
        &before.server_version,
        ledger,
        &ledger.managed,
    )
    .await
}

/// Records the response to a request of several databases, or to a failed request, in one of its databases. Returns the
/// response that was recorded first, which is the one to send.
///
/// # Errors
/// [`ReconcileError`].
pub(crate) async fn record_response(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
    response: &Response,
) -> Result<Response, ReconcileError> {
    let mut session = pools
        .session(reconciliation.target, reconciliation.password)
        .await?;
    let seen = session
        .begin(&[], reconciliation.statement_time().timeout())
        .await?;
    if seen.in_recovery {
        return Err(ReconcileError::ReadOnly);
    }
    let is_missing = seen.ledger_version.unwrap_or(0) == 0;
    if is_missing && matches!(reconciliation.goal, Goal::Deleted { .. }) {
        // The role may not create a ledger, or the transaction before this one has created it.
        session.roll_back().await?;
        return Ok(response.clone());
    }
    if seen.ledger_version != Some(newest_version())
        && reconciliation.check_blue_green().await.is_err()
    {
        session.roll_back().await?;
        return Ok(response.clone());
    }
    session.migrate_ledger(seen.ledger_version).await?;
    let recorded = session
        .record_response(
            reconciliation.request.resource,
            reconciliation.request.request_id,
            reconciliation.request.published_at,
            response.text(),
        )
        .await?;
    Response::from_text(recorded).map_err(unreadable)
}
