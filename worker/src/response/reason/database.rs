//! Reasons of errors of a database or its connection.

use super::refusal;
use crate::plan::Step;
use crate::postgres_error::{DatabaseError, Statement, classify};
use crate::target::Target;

/// Why a database could not be changed; `step` is the one that was under way. If no connection could be opened, the
/// sentence is always the same: with more details the author of a stack could scan the worker's network for servers.
pub(crate) fn of_database(error: &DatabaseError, step: Option<&Step>, target: &Target) -> String {
    let address = &target.address;
    match error {
        DatabaseError::Sql(refused) => {
            let statement = step.map_or(Statement::Own, Step::statement);
            refusal::of_sql(refused, classify(error, statement), step, target)
        }
        DatabaseError::LogIn(refused) => {
            refusal::of_sql(refused, classify(error, Statement::LogIn), None, target)
        }
        DatabaseError::Unreachable(..) | DatabaseError::Tls(..) => {
            format!(
                "{address} could not be reached. Does its security group allow the worker's? See the worker's log."
            )
        }
        DatabaseError::ConfigurationRows(rows) => format!(
            "Extension \"{}\" cannot be dropped on {target}: {rows}. Use DeletionBehavior DropUnused or Retain to leave it, and no \
             Ensure: absent.",
            step.map_or("", Step::extension)
        ),
        DatabaseError::NotRecreated(lost) => of_not_recreated(step, lost, target),
        DatabaseError::NotPackaged(objects) => format!(
            "Extension \"{}\" is not created from its existing objects on {target}: {objects} could be changed by that role at \
             any time. Change the owner to the role of the secret, then update the stack.",
            step.map_or("", Step::extension)
        ),
        DatabaseError::NoSuchHost(_)
        | DatabaseError::Authentication(..)
        | DatabaseError::TooMuchReceived
        | DatabaseError::LocalAddress => format!("{address}: {error}."),
        DatabaseError::DatabaseLimit(_)
        | DatabaseError::RoleLimit(_)
        | DatabaseError::LedgerNotMade(_) => {
            format!("{target}: {error}")
        }
        DatabaseError::Lost(..)
        | DatabaseError::Busy
        | DatabaseError::Exhausted(_)
        | DatabaseError::Unreadable(_)
        | DatabaseError::UntrustedLedger(_)
        | DatabaseError::LedgerLocked(_)
        | DatabaseError::LedgerAppeared
        | DatabaseError::ReservedDatabase(_)
        | DatabaseError::PublishedLedger(_)
        | DatabaseError::NewerLedger(_)
        | DatabaseError::OlderLedger(_) => {
            format!("{target}: {error}.")
        }
    }
}

fn of_not_recreated(step: Option<&Step>, lost: &str, target: &Target) -> String {
    let Some(Step::Recreate { name, from, to, .. }) = step else {
        return format!("{target}: {lost}.");
    };
    format!(
        "Extension \"{name}\": no update path leads from {from} to {to} on {target}, and it is not dropped and created again \
         (OnNoUpdatePath: Recreate): {lost}. Save it, drop the extension, update the stack, and restore it."
    )
}

/// The details that [`of_database`] leaves out, for the log and the worker's operators: why no connection could be opened.
pub(crate) fn of_connection(error: &DatabaseError, target: &Target) -> Option<String> {
    let address = &target.address;
    if matches!(error, DatabaseError::Unreachable(..)) {
        let hint = "Does its security group allow the worker's?";
        return Some(format!("{address} could not be reached ({error}). {hint}"));
    }
    if matches!(error, DatabaseError::Tls(..)) {
        let hint = "PGSSLMODE and PGSSLROOTCERT of the worker say what it trusts.";
        return Some(format!("{address}: {error}. {hint}"));
    }
    None
}

/// The script of an extension is not run, because it would use these objects, or see them under names that it uses.
pub(crate) fn of_untrusted_objects(objects: &[String], target: &Target) -> String {
    format!(
        "{target}: the script of an extension would run with the server's rights and see {}, under a name that PostgreSQL or \
         an extension uses, or as an object of the extension itself. Rename or drop it, transfer an object of the extension to \
         the role of the secret (OWNER TO), or give the extension a schema in which no other role may create objects \
         (Schema, CreateSchema). The worker's setting WORKER_SCHEMA_CHECK controls this check.",
        objects.join(", ")
    )
}
