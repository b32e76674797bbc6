//! What is to be known beside the changes: what stays and why, warnings, databases that are left out. It stands in `Changes`, and
//! of a Delete in the Reason.

use crate::plan::{DatabaseOutcome, FollowUp, Part, Retained, RetainedBecause, Warning};
use crate::postgres_error::DatabaseError;

/// Why an extension stays that is no longer declared.
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

/// What the plan warns of.
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

/// A side of a Blue/Green deployment that is changed all the same.
pub(crate) fn of_changed_blue_green(part: &Part) -> String {
    format!("warning: the server is {part}, which may have to be created again after this change")
}

/// What is left to do by hand after an update.
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

/// What the script of an extension sees that roles of lower rank wrote, where it is run all the same.
pub(crate) fn of_seen_objects(objects: &[String]) -> String {
    format!(
        "warning: the script of an extension sees {}",
        objects.join(", ")
    )
}

/// A warning where roles of lower rank may create objects that the script of an extension sees.
pub(crate) fn of_open_schemas(schemas: &[String]) -> String {
    format!(
        "warning: in {} less privileged roles may create functions and operators that the script of an extension would use; a \
         separate schema for the extension (Schema, CreateSchema) avoids this",
        schemas.join(", ")
    )
}

/// A control file that the request does not need keeps PostgreSQL from listing what it offers.
pub(crate) fn of_unread_list(error: &DatabaseError) -> String {
    format!(
        "warning: the server's list of extensions cannot be read, and default versions above the installed ones are not \
         known ({error})"
    )
}

/// A database of the server that cannot be worked on.
pub(crate) fn of_skipped(database: &str) -> String {
    format!("skipped database \"{database}\" (its name is not UTF-8; rename it)")
}

/// What a Delete leaves in a database that is gone, or that it cannot work on.
pub(crate) fn of_left_unchanged(why: &str) -> String {
    format!("left as it is ({})", why.trim_end_matches('.'))
}

/// What a Delete that is carried out leaves, and why; empty where it leaves nothing.
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

/// A Delete of what cannot be reached, or is gone.
pub(crate) fn of_left_behind(why: &str) -> String {
    format!("Deleted, although its databases do not exist or cannot be reached: {why}")
}
