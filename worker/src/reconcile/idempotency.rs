//! Decides from the ledger, before anything is observed, whether the request was carried out, is superseded, or is for this
//! resource.

use super::transaction::{ReconcileError, ReconcileResult, Reconciliation};
use super::unreadable;
use crate::ledger::{Ledger, ResourceRecord, ResourceState};
use crate::response::Response;

/// The ledger's row about this request.
pub(super) fn recorded_result(ledger: &Ledger) -> Result<Option<ReconcileResult>, ReconcileError> {
    let Some(request) = &ledger.request else {
        return Ok(None);
    };
    if let Some(text) = &request.response {
        let response = Response::from_text(text.clone()).map_err(unreadable)?;
        return Ok(Some(ReconcileResult::Answered(response)));
    }
    let outcome = request.outcome.clone().map(serde_json::from_value);
    Ok(outcome
        .transpose()
        .map_err(unreadable)?
        .map(ReconcileResult::Outcome))
}

/// Whether the ledger has a newer request. With raw message delivery requests are dated by the second: of a Delete and a
/// Create in the same second, the Create counts as the older one.
pub(super) fn is_superseded(
    resource: Option<&ResourceRecord>,
    reconciliation: &Reconciliation<'_>,
) -> bool {
    let Some(resource) = resource else {
        return false;
    };
    let is_late_create =
        resource.state == ResourceState::Deleted && reconciliation.request.request_type == "Create";
    resource.requested_at > reconciliation.request.published_at
        || is_late_create && resource.requested_at == reconciliation.request.published_at
}

/// Whether a Delete is for the resource in the ledger. If the only request of the resource was its Create, any id is
/// accepted, because CloudFormation may not have received the right one. Otherwise another id is that of a resource that
/// this one replaced. A ledger that came to this server in a dump or a snapshot describes the server that it came from.
pub(super) fn targets_this_resource(
    resource: Option<&ResourceRecord>,
    named: &str,
    reconciliation: &Reconciliation<'_>,
) -> bool {
    let here = reconciliation.physical_resource_id;
    resource.is_some_and(|resource| {
        resource.state == ResourceState::Live
            && resource.physical_resource_id == here
            && (named == here || resource.request_type == "Create")
    })
}
