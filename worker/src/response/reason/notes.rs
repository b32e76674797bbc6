//! Notes in `Changes`, and in the Reason of a Delete: extensions that stay and why, warnings, databases that were skipped.

use crate::plan::{DatabaseOutcome, FollowUp, Part, Retained, RetainedBecause, Warning};
use crate::postgres_error::DatabaseError;

/// Why an extension stays although it is no longer declared.
pub(crate) fn of_retained(retained: &Retained) -> String {
    let Retained { name, because } = retained;
    match because {
        RetainedBecause::Adopted => format!("kept {name} (installed before)"),
        RetainedBecause::OwnedBy(other) => format!("kept {name} (also declared by {other})"),
        RetainedBecause::Retained => format!("kept {name} (DeletionBehavior Retain)"),
        RetainedBecause::RequiredElsewhere => {
            format!("kept {name} (in use: an extension of another resource requires it)")
        }
        RetainedBecause::InUse(detail) => format!("kept {name} (in use: {detail})"),
    }
}

/// A warning of the plan.
pub(crate) fn of_warning(warning: &Warning) -> String {
    match warning {
        Warning::NotPreloaded { name } => format!(
            "warning: {name} does nothing until it is in shared_preload_libraries of the DB parameter group and the \
             instance is rebooted"
        ),
        Warning::NoDropCascade => {
            "warning: DeletionBehavior DropCascade is not allowed by the worker's \
             WORKER_ALLOW_DROP_CASCADE, so that dependent objects are not dropped"
                .to_owned()
        }
    }
}

/// A server of a Blue/Green deployment is changed nevertheless.
pub(crate) fn of_changed_blue_green(part: &Part) -> String {
    format!("warning: the server is {part}, which may have to be created again after this change")
}

/// A statement that is needed after an update, and that the worker does not run.
pub(crate) fn of_follow_up(follow_up: &FollowUp) -> String {
    match follow_up {
        FollowUp::Statement {
            extension,
            version,
            action,
            why,
        } => format!("to do after the update of {extension} to {version}: {action} ({why})"),
        FollowUp::Outdated {
            extension,
            version,
            beside,
            target,
        } => format!(
            "to do: {extension} {version} belongs to {beside}, which is at {target}, and is not declared: declare it too, or \
             run ALTER EXTENSION {extension} UPDATE TO '{target}'"
        ),
    }
}

/// Objects of less privileged roles that the script of an extension sees, if it runs nevertheless.
pub(crate) fn of_seen_objects(objects: &[String]) -> String {
    format!(
        "warning: the script of an extension sees {}",
        objects.join(", ")
    )
}

/// Less privileged roles may create objects that the script of an extension would see.
pub(crate) fn of_open_schemas(schemas: &[String]) -> String {
    format!(
        "warning: in {} less privileged roles may create functions and operators that the script of an extension would use; a \
         separate schema for the extension (Schema, CreateSchema) avoids this",
        schemas.join(", ")
    )
}

/// PostgreSQL cannot list what it offers, because of a control file that the request does not need.
pub(crate) fn of_unread_list(error: &DatabaseError) -> String {
    format!(
        "warning: the server's list of extensions cannot be read, and default versions above the installed ones are not \
         known ({error})"
    )
}

/// A database that is skipped.
pub(crate) fn of_skipped(database: &str) -> String {
    format!("skipped database \"{database}\" (its name is not UTF-8; rename it)")
}

/// A Delete leaves a database unchanged that does not exist, or that it cannot change.
pub(crate) fn of_left_unchanged(why: &str) -> String {
    format!("left as it is ({})", why.trim_end_matches('.'))
}

/// The extensions that a successful Delete leaves, and why; empty if it leaves none.
pub(crate) fn of_what_stayed(outcomes: &[(String, DatabaseOutcome)]) -> String {
    let stayed: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| !outcome.notes.is_empty())
        .map(|(database, outcome)| format!("{database}: {}", outcome.notes.join("; ")))
        .collect();
    if stayed.is_empty() {
        return String::new();
    }
    format!("Deleted, but not all of it: {}.", stayed.join(". "))
}

/// A Delete succeeded although its databases do not exist or cannot be reached.
pub(crate) fn of_left_behind(why: &str) -> String {
    format!("Deleted, although its databases do not exist or cannot be reached: {why}")
}
