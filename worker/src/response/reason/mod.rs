//! The Reason that CloudFormation shows, and nothing else does: what is wrong, what would be right, where to look, and
//! the SQLSTATE. Never a secret, a URL or a `Debug` print.

mod attempt;
mod plan;
mod refusal;

pub use attempt::{
    of_blue_green, of_changed_blue_green, of_dry_run_that_moves, of_login, of_no_database_name,
    of_no_database_to_list_in, of_no_databases, of_not_converged, of_read_only,
    of_reported_blue_green, of_server_limit, of_superseded, of_timeout, with_changes, with_time,
};
pub use plan::of_plan_error;

use crate::credentials::HostError;
use crate::plan::{DatabaseOutcome, Step};
use crate::postgres_error::{DatabaseError, Statement, classify};
use crate::target::Target;

/// Why the script of an extension is not run: it would see these objects under names that it uses.
pub fn of_untrusted_objects(objects: &[String], target: &Target) -> String {
    format!(
        "{target}: the script of an extension would run with the server's rights and see {}, under a name that PostgreSQL or \
         the extension uses. Rename or drop it, or give the extension a schema in which no other role may create objects \
         (Schema, CreateSchema). WORKER_SCHEMA_CHECK of the worker decides on this.",
        objects.join(", ")
    )
}

/// What is said where roles of lower rank may put objects where the script of an extension sees them.
pub fn of_open_schemas(schemas: &[String]) -> String {
    format!(
        "warning: in {} roles of lower rank may create functions and operators that the script of an extension would use; a \
         schema of its own (Schema, CreateSchema) has none",
        schemas.join(", ")
    )
}

/// Why a database could not be worked on; `step` is the one that was under way. That no connection could be made is one
/// sentence, whatever happened: with more of it a stack's author could look for servers in the worker's network.
pub fn of_database(error: &DatabaseError, step: Option<&Step>, target: &Target) -> String {
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
                "{address} could not be reached. Does its security group admit the worker's? The worker's log says more."
            )
        }
        DatabaseError::ConfigurationRows(rows) => format!(
            "Extension \"{}\" cannot be dropped on {target}: {rows}. Use DeletionBehavior DropUnused or Retain to leave it, and no \
             Ensure: absent.",
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

/// What [`of_database`] leaves out, for the log and for the worker's operators: why no connection could be made.
pub fn of_connection(error: &DatabaseError, target: &Target) -> Option<String> {
    let address = &target.address;
    if matches!(error, DatabaseError::Unreachable(..)) {
        let hint = "Does its security group admit the worker's?";
        return Some(format!("{address} could not be reached ({error}). {hint}"));
    }
    if matches!(error, DatabaseError::Tls(..)) {
        let hint = "PGSSLMODE and PGSSLROOTCERT of the worker say what it trusts.";
        return Some(format!("{address}: {error}. {hint}"));
    }
    None
}

/// Why a secret is not sent to a server.
pub fn of_host(error: &HostError, secret: &str) -> String {
    match error {
        HostError::Refused(address) => format!(
            "DBHost, DBPort: secret \"{secret}\" may not be sent to {address}. A secret is sent to the host and port that it \
             names itself, to an endpoint that RDS reports for the instance or cluster whose MasterUserSecret it is, and \
             to hosts that WORKER_HOSTS of the worker names."
        ),
        HostError::Unknown(error) => format!(
            "DBHost: the endpoints of RDS could not be listed ({}), of which it may be one.",
            error.call
        ),
    }
}

/// What a Delete that is carried out leaves, and why; empty where it leaves nothing.
pub fn of_what_stayed(outcomes: &[(String, DatabaseOutcome)]) -> String {
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

/// A control file that nobody asked for keeps PostgreSQL from listing what it offers.
pub fn of_unread_list(error: &DatabaseError) -> String {
    format!(
        "warning: the server's list of extensions cannot be read, and default versions above the installed ones are not \
         known ({error})"
    )
}

/// A database of the server that cannot be worked on.
pub fn of_skipped(database: &str) -> String {
    format!("skipped database \"{database}\" (its name is not UTF-8; rename it)")
}

/// A Delete of what cannot be reached, or is gone.
pub fn of_left_behind(why: &str) -> String {
    format!("Deleted, although what it managed is gone, cannot be reached, or never was: {why}")
}

#[cfg(test)]
mod tests;
