//! Whether a resource of a stack is in just the operation that a request names, by what CloudFormation shows. Pure.
//!
//! What CloudFormation shows may lag behind: what is not verified now may be a moment later.

use crate::aws::ResourceOfStack;
use crate::request::{RequestHeader, RequestType};

/// What becomes of a request by what CloudFormation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The resource is in this operation.
    Verified,
    /// It may be, which depends on the status of the stack.
    AskStack,
    /// The operation has ended, or another has begun that ends it: a request that came late, or is sent again.
    Over,
    /// The resource is in no such operation.
    Contradicted,
}

/// Compares a request with the resource, where there is one, and with the stack's status, where it is known.
pub(crate) fn find(
    request: &RequestHeader,
    shown: Option<&ResourceOfStack>,
    stack_status: Option<&str>,
) -> Finding {
    let Some(shown) = shown else {
        return Finding::Contradicted;
    };
    // CloudFormation does not let an update change the type of a resource.
    if request.resource_type.as_deref() != Some(shown.resource_type.as_str()) {
        return Finding::Contradicted;
    }
    let status = shown.status.as_str();
    match request.request_type {
        RequestType::Create => create(status),
        RequestType::Update => update(status, has_its_id(request, shown), stack_status),
        RequestType::Delete => delete(status, has_its_id(request, shown), stack_status),
        RequestType::Unknown(_) => Finding::Contradicted,
    }
}

/// Whether the request names the id that the resource has. A resource that never answered a Create may be shown without
/// one, while its Delete names a placeholder.
fn has_its_id(request: &RequestHeader, shown: &ResourceOfStack) -> Id {
    match &shown.physical_resource_id {
        None => Id::Unset,
        Some(id) if request.physical_resource_id.as_ref() == Some(id) => Id::Same,
        Some(_) => Id::Other,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    Unset,
    Same,
    Other,
}

/// A Create names no id, and what is shown while it runs is unset or a placeholder.
fn create(status: &str) -> Finding {
    match status {
        "CREATE_IN_PROGRESS" => Finding::Verified,
        "CREATE_COMPLETE" | "CREATE_FAILED" | "DELETE_IN_PROGRESS" | "DELETE_COMPLETE" => {
            Finding::Over
        }
        _ => Finding::Contradicted,
    }
}

fn update(status: &str, id: Id, stack_status: Option<&str>) -> Finding {
    match (status, id, stack_status) {
        ("UPDATE_IN_PROGRESS" | "UPDATE_ROLLBACK_IN_PROGRESS", Id::Same, _) => Finding::Verified,
        // The way back from a replacement: which of its two ids is shown then is not documented.
        ("UPDATE_IN_PROGRESS" | "UPDATE_ROLLBACK_IN_PROGRESS", Id::Other, None) => {
            Finding::AskStack
        }
        (
            "UPDATE_IN_PROGRESS" | "UPDATE_ROLLBACK_IN_PROGRESS",
            Id::Other,
            Some("UPDATE_ROLLBACK_IN_PROGRESS"),
        ) => Finding::Verified,
        (
            "UPDATE_COMPLETE"
            | "UPDATE_FAILED"
            | "UPDATE_ROLLBACK_COMPLETE"
            | "UPDATE_ROLLBACK_FAILED"
            | "DELETE_IN_PROGRESS"
            | "DELETE_COMPLETE",
            _,
            _,
        ) => Finding::Over,
        _ => Finding::Contradicted,
    }
}

fn delete(status: &str, id: Id, stack_status: Option<&str>) -> Finding {
    match (status, id, stack_status) {
        ("DELETE_IN_PROGRESS", Id::Same | Id::Unset, _) => Finding::Verified,
        // The cleanup after an update deletes what was replaced: an id that is not the resource's any more.
        (
            "DELETE_IN_PROGRESS"
            | "UPDATE_COMPLETE"
            | "UPDATE_ROLLBACK_COMPLETE"
            | "CREATE_COMPLETE",
            Id::Other,
            None,
        ) => Finding::AskStack,
        (
            "DELETE_IN_PROGRESS"
            | "UPDATE_COMPLETE"
            | "UPDATE_ROLLBACK_COMPLETE"
            | "CREATE_COMPLETE",
            Id::Other,
            Some(
                "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
                | "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
            ),
        ) => Finding::Verified,
        ("DELETE_COMPLETE" | "DELETE_FAILED" | "DELETE_SKIPPED", _, _) => Finding::Over,
        _ => Finding::Contradicted,
    }
}

#[cfg(test)]
mod tests;
