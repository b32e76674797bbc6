//! The Reason that CloudFormation shows, and nothing else does: what is wrong, what would be right, where to look, and
//! the SQLSTATE. Never a secret, a URL or a `Debug` print.

use std::fmt;

use crate::database::sqlstate::{self, Class};
use crate::database::{Address, DatabaseError, SqlError};
use crate::extension::{ExtensionName, Version, VersionRequest};
use crate::plan::{Obstacle, Step};

/// The database that a Reason speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The server's host name.
    pub host: String,
    /// The database.
    pub database: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.database)
    }
}

/// Why a declaration cannot be met; the SQLSTATE is the one with which PostgreSQL would have refused.
pub fn of_obstacle(obstacle: &Obstacle, place: &Place, server_version: &str) -> String {
    match obstacle {
        Obstacle::NotAvailable { name, suggestion } => {
            let hint = suggestion
                .as_ref()
                .map(|other| format!(" Did you mean \"{other}\"?"))
                .unwrap_or_default();
            format!(
                "Extension \"{name}\" is not available on {place} (PostgreSQL {server_version}).{hint} [0A000]"
            )
        }
        Obstacle::NoSuchVersion {
            name,
            asked,
            default,
            available,
        } => no_such_version(
            name,
            asked,
            default.as_ref(),
            available,
            place,
            server_version,
        ),
        Obstacle::NoPath {
            name,
            installed,
            asked,
            reachable,
        } => {
            let reachable = match reachable.as_slice() {
                [] => "It cannot be updated to any other version.".to_owned(),
                versions => format!("It can be updated to: {}.", join(versions)),
            };
            format!(
                "Extension \"{name}\": there is no update path from the installed version {installed} to {asked} \
                 on {place} (PostgreSQL {server_version}). {reachable} [22023]"
            )
        }
        Obstacle::Downgrade {
            name,
            installed,
            asked,
        } => format!(
            "Extension \"{name}\": version {asked} lies below the installed {installed} on {place}. Ask for \
             {installed}, or set AllowDowngrade: true."
        ),
        Obstacle::MissingRequirements { name, missing } => format!(
            "Extension \"{name}\" requires {}, not installed on {place}. Declare it too, or leave Cascade at true. \
             [42704]",
            missing.join(", ")
        ),
        Obstacle::FixedSchema { name, fixed, asked } => format!(
            "Extension \"{name}\" must be installed in schema {fixed}, not {asked}: its control file says so. Leave \
             Schema out. [0A000]"
        ),
        Obstacle::NotRelocatable {
            name,
            installed_in,
            asked,
        } => format!(
            "Extension \"{name}\" is installed in schema {installed_in} on {place} and cannot be moved to {asked}. \
             Set Schema: {installed_in}, or leave Schema out. [0A000]"
        ),
        Obstacle::NoSchema { name, schema } => format!(
            "Extension \"{name}\": schema {schema} does not exist on {place}. Create it, or set CreateSchema: true. \
             [3F000]"
        ),
        Obstacle::OwnedByAnother { name, owner } => {
            format!("Extension \"{name}\" shall be absent on {place}, but {owner} declares it.")
        }
    }
}

fn no_such_version(
    name: &ExtensionName,
    asked: &VersionRequest,
    default: Option<&Version>,
    available: &[Version],
    place: &Place,
    server_version: &str,
) -> String {
    let versions = join(available);
    match asked {
        VersionRequest::Unset | VersionRequest::Default => format!(
            "Extension \"{name}\" has no default version on {place} (PostgreSQL {server_version}). Available: \
             {versions}. Ask for one of these. [22023]"
        ),
        VersionRequest::Exact(_) | VersionRequest::Matching(_) => {
            let pattern = default
                .and_then(|version| version.as_str().rsplit_once('.'))
                .map(|(series, _)| format!(", or \"{series}.*\""))
                .unwrap_or_default();
            format!(
                "Extension \"{name}\": version {} cannot be installed on {place} (PostgreSQL {server_version}). \
                 Available: {versions}. Ask for one of these{pattern}. [22023]",
                asked.as_str()
            )
        }
    }
}

fn join(versions: &[Version]) -> String {
    versions
        .iter()
        .map(Version::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Why a database could not be worked on; `step` is the one that was under way.
pub fn of_database(
    error: &DatabaseError,
    step: Option<&Step>,
    address: &Address,
    place: &Place,
) -> String {
    match error {
        DatabaseError::Sql(refused) => of_sql(refused, sqlstate::classify(error), step, place),
        DatabaseError::NoSuchHost(_) => format!("{address}: the host name does not exist."),
        DatabaseError::Connection(cause, _) => {
            format!(
                "{address} could not be reached ({cause}). Does its security group admit the worker's?"
            )
        }
        DatabaseError::Tls(..) => {
            format!(
                "{address}: {error}. PGSSLMODE and PGSSLROOTCERT of the worker say what it trusts."
            )
        }
        DatabaseError::Unreadable(_) | DatabaseError::ForeignLedger(_) => {
            format!("{place}: {error}.")
        }
    }
}

fn of_sql(error: &SqlError, class: Class, step: Option<&Step>, place: &Place) -> String {
    let subject = match step {
        Some(step) => format!("Extension \"{}\"", step.extension()),
        None => place.to_string(),
    };
    let state = &error.sqlstate;
    match (class, state.as_str()) {
        (Class::Prerequisite(remedy), _) => format!("{subject}: {remedy}. [{state}]"),
        (_, "2BP01") => {
            let detail = error.detail.as_deref().unwrap_or(&error.message);
            let mut lines = detail.lines();
            let first = lines.next().unwrap_or_default();
            let more = match lines.count() {
                0 => String::new(),
                count => format!(" (and {count} more)"),
            };
            format!(
                "{subject} cannot be dropped: {first}{more}. Use DeletionBehavior DropUnused or Retain to leave it. \
                 [2BP01]"
            )
        }
        _ => format!("{subject}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn sql(
        sqlstate: &str,
        message: &str,
        detail: Option<&str>,
        hint: Option<&str>,
    ) -> DatabaseError {
        DatabaseError::Sql(Box::new(SqlError {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            detail: detail.map(str::to_owned),
            hint: hint.map(str::to_owned),
            constraint: None,
        }))
    }

    fn told(error: &DatabaseError) -> String {
        let step = Step::Create {
            name: ExtensionName::parse("hstore").unwrap(),
            version: Version::parse("1.8").unwrap(),
            schema: None,
            cascade: false,
        };
        let address = Address {
            host: "demo1".to_owned(),
            port: 5432,
        };
        let place = Place {
            host: "demo1".to_owned(),
            database: "app".to_owned(),
        };
        of_database(error, Some(&step), &address, &place)
    }

    #[test]
    fn a_reason_says_what_is_wrong_then_what_helps_then_the_sqlstate() {
        assert_snapshot!(
            told(&sql("42501", "permission denied to create extension \"hstore\"", None, Some("Must have CREATE privilege on current database to create this extension."))),
            @r#"Extension "hstore": permission denied to create extension "hstore". Must have CREATE privilege on current database to create this extension [42501]"#
        );
        assert_snapshot!(
            told(&sql("55000", "pg_cron must be loaded via shared_preload_libraries", None, None)),
            @r#"Extension "hstore": add it to shared_preload_libraries in the DB parameter group and reboot the instance, then update the stack. [55000]"#
        );
        assert_snapshot!(
            told(&sql("2BP01", "cannot drop", Some("column a of table t depends on type hstore\ncolumn b of table t depends on type hstore"), None)),
            @r#"Extension "hstore" cannot be dropped: column a of table t depends on type hstore (and 1 more). Use DeletionBehavior DropUnused or Retain to leave it. [2BP01]"#
        );
        assert_snapshot!(
            told(&DatabaseError::Connection("connection refused".to_owned(), None)),
            @"demo1:5432 could not be reached (connection refused). Does its security group admit the worker's?"
        );
    }
}
