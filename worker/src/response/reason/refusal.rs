//! Reasons of errors that PostgreSQL reports. One SQLSTATE has several causes with different remedies, depending on the
//! statement.

use crate::plan::Step;
use crate::postgres_error::{Class, SqlError, Statement};
use crate::target::Target;

/// The Reason. `step` is the one that was under way; `None` at a log-in, or at a query of the worker's own.
pub(super) fn of_sql(
    error: &SqlError,
    class: Class,
    step: Option<&Step>,
    target: &Target,
) -> String {
    let state = &error.sqlstate;
    let subject = subject(step, target);
    let statement = step.map_or(Statement::Own, Step::statement);
    match (class, statement, state.as_str()) {
        (Class::Prerequisite(remedy), _, _) => {
            format!("{subject}: {}: {remedy}. [{state}]", bare(&error.message))
        }
        (Class::ClosedDatabase, _, _) => {
            let hint = error.hint.as_deref().map_or_else(
                || {
                    let way_out = if is_of_pooler(error) {
                        "The pooler does not serve it: add or enable it there, or name"
                    } else {
                        "Allow connections (ALTER DATABASE … ALLOW_CONNECTIONS true), or name"
                    };
                    format!("{way_out} another database.")
                },
                ended,
            );
            format!("{subject}: {} {hint} [{state}]", ended(&error.message))
        }
        _ if is_in_use(error) => in_use(error, step, &subject),
        (_, Statement::Create | Statement::SetSchema, "3F000") => format!(
            "{subject}: {} Create the schema, or name one with Schema and set CreateSchema: true. [{state}]",
            ended(&error.message)
        ),
        (
            Class::Permanent,
            Statement::Create | Statement::Update,
            "42P06" | "42P07" | "42710" | "42723",
        ) => {
            format!(
                "{subject}: {} An object that the script creates exists already, and does not belong to the extension: drop or \
                 rename it, then update the stack. [{state}]",
                ended(&error.message)
            )
        }
        // If the declaration is ASCII, the character is in the script.
        (_, _, "22P05") if step.is_none_or(|step| !step.sql().is_ascii()) => format!(
            "{subject}: a name or version that is declared has a character that the encoding of the database lacks ({}). [{state}]",
            bare(&error.message)
        ),
        (_, _, "25006") => format!(
            "{subject}: {} Name the writer's endpoint. [{state}]",
            ended(&error.message)
        ),
        (_, _, "57014") if error.message.contains("statement timeout") => {
            let statement = step.map_or_else(|| "a query of the worker".to_owned(), Step::sql);
            format!("{subject}: {statement} did not end in time and was cancelled. [57014]")
        }
        (_, _, "55P03") => format!(
            "{subject}: another session holds a lock that is needed. {} [{state}]",
            ended(&error.message)
        ),
        _ => format!("{subject}: {error}"),
    }
}

fn subject(step: Option<&Step>, target: &Target) -> String {
    match step {
        Some(Step::CreateSchema(schema)) => format!("Schema \"{schema}\" on {target}"),
        Some(step) => format!("Extension \"{}\" on {target}", step.extension()),
        None => target.to_string(),
    }
}

/// A pooler that does not know the database, or in which it is disabled.
fn is_of_pooler(error: &SqlError) -> bool {
    error.sqlstate == "08P01"
        && (error.message.starts_with("no such database") || error.message.contains("is disabled"))
}

/// DROP reports 2BP01; a script that replaces a type, a column or a function reports other SQLSTATEs for the same.
fn is_in_use(error: &SqlError) -> bool {
    error.sqlstate == "2BP01"
        || error
            .detail
            .as_deref()
            .is_some_and(|detail| detail.contains(" depends on "))
}

fn in_use(error: &SqlError, step: Option<&Step>, subject: &str) -> String {
    let state = &error.sqlstate;
    let detail = error.detail.as_deref().unwrap_or(&error.message);
    let mut lines = detail.lines();
    let first = bare(lines.next().unwrap_or_default());
    let more = match lines.count() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    match step {
        Some(Step::Drop { .. }) => format!(
            "{subject} cannot be dropped: {first}{more}. Use DeletionBehavior DropUnused or Retain to leave it, and no \
             Ensure: absent. [{state}]"
        ),
        Some(Step::Update { from, to, .. }) => format!(
            "{subject} cannot be updated from {from} to {to}: {}, and {first}{more}. Drop what depends on it, update the \
             stack, and create it again afterwards. [{state}]",
            bare(&error.message)
        ),
        Some(Step::SetSchema { from, to, .. }) => format!(
            "{subject} cannot be moved from schema {from} to {to}: {}, and {first}{more}. Drop what depends on it, update \
             the stack, and create it again afterwards. [{state}]",
            bare(&error.message)
        ),
        Some(Step::Recreate { from, to, .. }) => format!(
            "{subject} has no update path from {from} to {to}, and is not dropped and created again (OnNoUpdatePath: \
             Recreate): {first}{more}. Drop what depends on it, update the stack, and create it again afterwards. [{state}]"
        ),
        Some(Step::Create { .. } | Step::Package { .. } | Step::CreateSchema(_)) | None => {
            format!(
                "{subject}: {}, and {first}{more}. Drop what depends on it, then update the stack. [{state}]",
                bare(&error.message)
            )
        }
    }
}

fn bare(sentence: &str) -> &str {
    sentence.trim_end_matches('.')
}

fn ended(sentence: &str) -> String {
    format!("{}.", bare(sentence))
}
