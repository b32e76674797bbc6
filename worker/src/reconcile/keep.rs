//! What a pass leaves in the ledger.

use std::collections::BTreeMap;

use tracing::info;

use super::{outcome, statement_budget, unreadable};
use crate::database::{Pools, Session};
use crate::extension::Observed;
use crate::failpoint;
use crate::fault::DatabaseError;
use crate::ledger::Entry;
use crate::pass::{Goal, Pass, PassEnd, PassError};
use crate::plan::{Ledger, Managed, PassOutcome, ResourceState};
use crate::response::Response;

/// Writes the ledger and commits.
pub(super) async fn keep(
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

/// A Delete of what is not here: a Create that comes late must find that it was deleted.
pub(super) async fn remember_deletion(
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
        && let Err(error) = session.migrate_ledger(before.ledger_version).await
    {
        // Who may not make the ledger made nothing that could be deleted.
        let forbidden = matches!(error, DatabaseError::PublishedLedger(_))
            || error
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
    let seen = session.begin(&[], statement_budget(pass.until)).await?;
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
