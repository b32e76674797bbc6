//! The table of states, row by row.

use serde_json::{Value, json};

use super::*;
use Finding::{AskStack, Contradicted, Over, Verified};

const CREATE: &str = "Create";
const UPDATE: &str = "Update";
const DELETE: &str = "Delete";

fn request(kind: &str, physical_id: &str) -> RequestHeader {
    let mut message = json!({
        "RequestType": kind,
        "ResponseURL": "https://example/",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10",
        "RequestId": "7f6f9b2e",
        "LogicalResourceId": "Extensions",
        "ResourceType": "Custom::PostgresExtensions",
    });
    if !physical_id.is_empty() {
        message["PhysicalResourceId"] = json!(physical_id);
    }
    let Value::Object(message) = message else {
        unreachable!()
    };
    RequestHeader::read(&message).unwrap()
}

fn shown(status: &str, physical_id: &str) -> ResourceOfStack {
    ResourceOfStack {
        status: status.to_owned(),
        physical_resource_id: Some(physical_id.to_owned()).filter(|id| !id.is_empty()),
        resource_type: "Custom::PostgresExtensions".to_owned(),
    }
}

#[test]
fn a_request_is_verified_in_just_its_operation() {
    // Request, its id; the resource's status, its id; the stack's status; what is found.
    for (kind, id, status, shown_id, stack, expected) in [
        (CREATE, "", "CREATE_IN_PROGRESS", "", None, Verified),
        (
            CREATE,
            "",
            "CREATE_IN_PROGRESS",
            "placeholder",
            None,
            Verified,
        ),
        (CREATE, "", "CREATE_COMPLETE", "a", None, Over),
        // A sibling failed, and the Create is no longer waited for.
        (CREATE, "", "CREATE_FAILED", "", None, Over),
        (CREATE, "", "DELETE_IN_PROGRESS", "", None, Over),
        (CREATE, "", "DELETE_COMPLETE", "", None, Over),
        (CREATE, "", "UPDATE_IN_PROGRESS", "a", None, Contradicted),
        (CREATE, "", "UPDATE_COMPLETE", "a", None, Contradicted),
        (CREATE, "", "", "", None, Contradicted),
        (UPDATE, "a", "UPDATE_IN_PROGRESS", "a", None, Verified),
        (
            UPDATE,
            "a",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "a",
            None,
            Verified,
        ),
        // The way back from a replacement.
        (UPDATE, "b", "UPDATE_IN_PROGRESS", "a", None, AskStack),
        (
            UPDATE,
            "b",
            "UPDATE_IN_PROGRESS",
            "a",
            Some("UPDATE_ROLLBACK_IN_PROGRESS"),
            Verified,
        ),
        (
            UPDATE,
            "b",
            "UPDATE_IN_PROGRESS",
            "a",
            Some("UPDATE_IN_PROGRESS"),
            Contradicted,
        ),
        (UPDATE, "a", "UPDATE_IN_PROGRESS", "", None, Contradicted),
        (UPDATE, "a", "UPDATE_COMPLETE", "a", None, Over),
        (UPDATE, "a", "UPDATE_FAILED", "a", None, Over),
        (UPDATE, "a", "DELETE_IN_PROGRESS", "a", None, Over),
        (UPDATE, "a", "CREATE_COMPLETE", "a", None, Contradicted),
        (UPDATE, "a", "CREATE_IN_PROGRESS", "a", None, Contradicted),
        (DELETE, "a", "DELETE_IN_PROGRESS", "a", None, Verified),
        // After a Create without an answer, whatever placeholder the Delete names.
        (
            DELETE,
            "placeholder",
            "DELETE_IN_PROGRESS",
            "",
            None,
            Verified,
        ),
        (DELETE, "a", "DELETE_COMPLETE", "a", None, Over),
        (DELETE, "a", "DELETE_FAILED", "a", None, Over),
        (DELETE, "a", "CREATE_COMPLETE", "a", None, Contradicted),
        (DELETE, "a", "UPDATE_COMPLETE", "a", None, Contradicted),
        (DELETE, "a", "UPDATE_IN_PROGRESS", "a", None, Contradicted),
        (DELETE, "a", "CREATE_FAILED", "a", None, Contradicted),
        // What was replaced goes in the cleanup.
        (DELETE, "a", "UPDATE_COMPLETE", "b", None, AskStack),
        (
            DELETE,
            "a",
            "UPDATE_COMPLETE",
            "b",
            Some("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
            Verified,
        ),
        (
            DELETE,
            "a",
            "UPDATE_COMPLETE",
            "b",
            Some("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"),
            Verified,
        ),
        (
            DELETE,
            "a",
            "UPDATE_COMPLETE",
            "b",
            Some("UPDATE_COMPLETE"),
            Contradicted,
        ),
        (
            DELETE,
            "a",
            "UPDATE_COMPLETE",
            "b",
            Some("UPDATE_IN_PROGRESS"),
            Contradicted,
        ),
        (
            DELETE,
            "a",
            "DELETE_IN_PROGRESS",
            "b",
            Some("DELETE_IN_PROGRESS"),
            Contradicted,
        ),
        (
            DELETE,
            "a",
            "UPDATE_COMPLETE",
            "a",
            Some("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
            Contradicted,
        ),
        (
            "Nonsense",
            "a",
            "UPDATE_IN_PROGRESS",
            "a",
            None,
            Contradicted,
        ),
    ] {
        let found = find(&request(kind, id), Some(&shown(status, shown_id)), stack);
        assert_eq!(
            found, expected,
            "{kind} {id}: {status} {shown_id} {stack:?}"
        );
    }
}

#[test]
fn what_the_stack_does_not_have_or_has_as_another_type_is_contradicted() {
    let create = request(CREATE, "");
    assert_eq!(find(&create, None, None), Contradicted);
    let other = ResourceOfStack {
        resource_type: "Custom::Other".to_owned(),
        ..shown("CREATE_IN_PROGRESS", "")
    };
    assert_eq!(find(&create, Some(&other), None), Contradicted);
}
