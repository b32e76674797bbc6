//! The Reason that CloudFormation shows, and nothing else does: what is wrong, what would be right, where to look, and
//! the SQLSTATE. Never a secret, a URL or a `Debug` print.

mod attempt;
mod refusal;

pub use attempt::{
    of_dry_run_that_moves, of_login, of_no_database_name, of_no_database_to_list_in,
    of_no_databases, of_not_converged, of_read_only, of_server_limit, of_superseded, of_timeout,
    with_changes, with_time,
};

use crate::credentials::HostError;
use crate::extension::{ExtensionName, Version, VersionRequest};
use crate::plan::{DatabaseOutcome, PlanError, Step};
use crate::postgres_error::{DatabaseError, Statement, classify};
use crate::target::Target;

/// Why a declaration cannot be met; the SQLSTATE is the one with which PostgreSQL would have refused.
pub fn of_plan_error(plan_error: &PlanError, target: &Target, server_version: &str) -> String {
    match plan_error {
        PlanError::NotAvailable { name, suggestion } => {
            let hint = suggestion
                .as_ref()
                .map(|other| format!(" Did you mean \"{other}\"?"))
                .unwrap_or_default();
            format!(
                "Extension \"{name}\" is not available on {target} (PostgreSQL {server_version}).{hint} [0A000]"
            )
        }
        PlanError::NotAllowed {
            name,
            role,
            allowed,
        } => format!(
            "Extension \"{name}\": user \"{role}\" may not create it on {target}: it is not in rds.allowed_extensions \
             ({allowed}). Add it in the DB parameter group. [42501]"
        ),
        PlanError::NotInPolicy {
            name,
            forbidden,
            patterns,
        } => {
            let what = if name.means(forbidden) {
                "it".to_owned()
            } else {
                format!("\"{forbidden}\", which it requires,")
            };
            format!(
                "Extension \"{name}\" cannot be created on {target}: {what} is not among the extensions that the worker \
                 creates (WORKER_EXTENSIONS: {patterns}). Leave it out, or ask the worker's operator to allow it."
            )
        }
        PlanError::NoDropCascade { extension: None } => "DeletionBehavior: DropCascade is not allowed by the worker \
             (WORKER_ALLOW_DROP_CASCADE is false). Use DropUnused, Drop or Retain, or ask the worker's operator to allow it."
            .to_owned(),
        PlanError::NoDropCascade {
            extension: Some(name),
        } => format!(
            "Extension \"{name}\" is not dropped on {target}: DeletionBehavior DropCascade is not allowed by the worker \
             (WORKER_ALLOW_DROP_CASCADE is false). Change DeletionBehavior to DropUnused, Drop or Retain, or ask the \
             worker's operator to allow it."
        ),
        PlanError::OtherCronDatabase { cron_database } => format!(
            "Extension \"pg_cron\" can only be in database {cron_database} (cron.database_name), not on {target}. Declare it \
             there, or set the parameter in the DB parameter group and reboot the instance."
        ),
        PlanError::NoSuchVersion {
            name,
            asked,
            default,
            available,
        } => no_such_version(
            name,
            asked,
            default.as_ref(),
            available,
            target,
            server_version,
        ),
        PlanError::NoPath {
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
                 on {target} (PostgreSQL {server_version}). {reachable} [22023]"
            )
        }
        PlanError::Downgrade {
            name,
            installed,
            asked,
        } => format!(
            "Extension \"{name}\": version {asked} lies below the installed {installed} on {target}. Ask for \
             {installed}, or set AllowDowngrade: true."
        ),
        PlanError::MissingRequirements { name, missing } => format!(
            "Extension \"{name}\" requires {}, not installed on {target}. Declare it too, or leave Cascade at true. \
             [42704]",
            missing.join(", ")
        ),
        PlanError::FixedSchema { name, fixed, asked } => format!(
            "Extension \"{name}\" must be installed in schema {fixed}, not {asked}, on {target}: its control file says so. \
             Leave Schema out. [0A000]"
        ),
        PlanError::NotRelocatable {
            name,
            installed_in,
            asked,
        } => format!(
            "Extension \"{name}\" is installed in schema {installed_in} on {target} and cannot be moved to {asked}. \
             Set Schema: {installed_in}, or leave Schema out. [0A000]"
        ),
        PlanError::NoSchema { name, schema } => format!(
            "Extension \"{name}\": schema {schema} does not exist on {target}. Create it, or set CreateSchema: true. \
             [3F000]"
        ),
        PlanError::AbsentButRequired { name, by } => format!(
            "Extension \"{name}\" shall be absent, but \"{by}\", which shall be present, requires it. Declare one of them \
             otherwise."
        ),
        PlanError::OwnedByAnother { name, owner } => {
            format!("Extension \"{name}\" shall be absent on {target}, but {owner} needs it.")
        }
    }
}

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

fn no_such_version(
    name: &ExtensionName,
    asked: &VersionRequest,
    default: Option<&Version>,
    available: &[Version],
    target: &Target,
    server_version: &str,
) -> String {
    let versions = join(available);
    match asked {
        _ if available.is_empty() => format!(
            "Extension \"{name}\" cannot be installed on {target} (PostgreSQL {server_version}): the server has a control file \
             of it, and no script. [22023]"
        ),
        VersionRequest::Unset | VersionRequest::Default if default.is_some() => format!(
            "Extension \"{name}\": its default version {} cannot be installed on {target} (PostgreSQL {server_version}), as the \
             server has no script of it. Available: {versions}. Ask for one of these. [22023]",
            default.map_or("", Version::as_str)
        ),
        VersionRequest::Unset | VersionRequest::Default => format!(
            "Extension \"{name}\" has no default version on {target} (PostgreSQL {server_version}). Available: \
             {versions}. Ask for one of these. [22023]"
        ),
        VersionRequest::Exact(_) | VersionRequest::Matching(_) => {
            let pattern = default
                .and_then(|version| version.as_str().rsplit_once('.'))
                .map(|(series, _)| format!(", or \"{series}.*\""))
                .unwrap_or_default();
            let asked = asked.as_str();
            let cut = of_cut_version(asked, available);
            format!(
                "Extension \"{name}\": version {asked} cannot be installed on {target} (PostgreSQL {server_version}). \
                 Available: {versions}. Ask for one of these{pattern}.{cut} [22023]"
            )
        }
    }
}

/// YAML reads a bare 1.10 as the number 1.1: a version that may have been cut so is to be quoted.
fn of_cut_version(asked: &str, available: &[Version]) -> String {
    let is_number = |text: &str| {
        let is_part = |byte: u8| byte == b'.' || byte.is_ascii_digit();
        text.bytes().all(is_part) && text.parse::<f64>().is_ok()
    };
    let was_cut = |version: &&str| {
        is_number(version)
            && version.contains('.')
            && version.trim_end_matches('0').trim_end_matches('.') == asked
    };
    let mut available = available.iter().map(Version::as_str);
    let Some(meant) = available.find(was_cut) else {
        return String::new();
    };
    format!(
        " If the template means {meant}: YAML reads that as the number {asked}, unless it is quoted. Write \"{meant}\"."
    )
}

fn join(versions: &[Version]) -> String {
    versions
        .iter()
        .map(Version::as_str)
        .collect::<Vec<_>>()
        .join(", ")
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
            "Extension \"{}\" cannot be dropped on {target}: {rows}. Use DeletionBehavior DropUnused or Retain to leave it.",
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
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::extension::SchemaName;
    use crate::postgres_error::SqlError;
    use crate::target::{Address, Host};

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
            context: None,
        }))
    }

    fn create() -> Step {
        Step::Create {
            name: ExtensionName::parse("hstore").unwrap(),
            version: Some(Version::parse("1.8").unwrap()),
            schema: Some(SchemaName::public()),
            cascade: false,
        }
    }

    fn update() -> Step {
        Step::Update {
            name: ExtensionName::parse("hstore").unwrap(),
            from: Version::parse("1.7").unwrap(),
            to: Version::parse("1.8").unwrap(),
        }
    }

    fn drop_it() -> Step {
        Step::Drop {
            name: "hstore".to_owned(),
            version: Version::parse("1.8").unwrap(),
            mode: crate::plan::DropMode::Restrict,
        }
    }

    fn told(error: &DatabaseError, step: Option<&Step>) -> String {
        of_database(error, step, &target())
    }

    fn target() -> Target {
        Target {
            address: Address {
                host: Host::parse("demo1").unwrap(),
                port: 5432,
            },
            database: "app".to_owned(),
            username: "app".to_owned(),
        }
    }

    #[test]
    fn a_reason_says_what_is_wrong_then_what_helps_then_the_sqlstate() {
        assert_snapshot!(
            told(&sql("42501", "permission denied to create extension \"hstore\"", None, Some("Must have CREATE privilege on current database to create this extension.")), Some(&create())),
            @r##"Extension "hstore" on demo1/app: permission denied to create extension "hstore". Must have CREATE privilege on current database to create this extension [42501]"##
        );
        assert_snapshot!(
            told(&sql("55000", "pg_cron must be loaded via shared_preload_libraries", None, None), Some(&create())),
            @r##"Extension "hstore" on demo1/app: pg_cron must be loaded via shared_preload_libraries: add it to shared_preload_libraries in the DB parameter group and reboot the instance, then update the stack. [55000]"##
        );
        let unreachable = DatabaseError::Unreachable("connection refused".to_owned(), None);
        assert_snapshot!(
            told(&unreachable, None),
            @"demo1:5432 could not be reached. Does its security group admit the worker's? The worker's log says more."
        );
        assert_snapshot!(
            of_connection(&unreachable, &target()).unwrap(),
            @"demo1:5432 could not be reached (connection refused). Does its security group admit the worker's?"
        );
    }

    #[test]
    fn a_state_is_worded_with_its_statement() {
        let in_use = sql(
            "2BP01",
            "cannot drop type hstore because other objects depend on it",
            Some(
                "column a of table t depends on type hstore\ncolumn b of table t depends on type hstore",
            ),
            Some("Use DROP ... CASCADE to drop the dependent objects too."),
        );
        assert_snapshot!(told(&in_use, Some(&drop_it())), @r##"Extension "hstore" on demo1/app cannot be dropped: column a of table t depends on type hstore (and 1 more). Use DeletionBehavior DropUnused or Retain to leave it. [2BP01]"##);
        assert_snapshot!(told(&in_use, Some(&update())), @r##"Extension "hstore" on demo1/app cannot be updated from 1.7 to 1.8: cannot drop type hstore because other objects depend on it, and column a of table t depends on type hstore (and 1 more). Drop what depends on it, update the stack, and create it again afterwards. [2BP01]"##);
        assert_snapshot!(told(&in_use, Some(&create())), @r##"Extension "hstore" on demo1/app: cannot drop type hstore because other objects depend on it, and column a of table t depends on type hstore (and 1 more). Drop what depends on it, then update the stack. [2BP01]"##);
        let view = sql(
            "0A000",
            "cannot alter type of a column used by a view or rule",
            Some("rule _RETURN on view v depends on column \"c\""),
            None,
        );
        assert_snapshot!(told(&view, Some(&update())), @r##"Extension "hstore" on demo1/app cannot be updated from 1.7 to 1.8: cannot alter type of a column used by a view or rule, and rule _RETURN on view v depends on column "c". Drop what depends on it, update the stack, and create it again afterwards. [0A000]"##);
        let no_schema = sql("3F000", "schema \"public\" does not exist", None, None);
        assert_snapshot!(told(&no_schema, Some(&create())), @r##"Extension "hstore" on demo1/app: schema "public" does not exist. Create the schema, or name one with Schema and set CreateSchema: true. [3F000]"##);
        let there = sql("42P07", "relation \"t\" already exists", None, None);
        assert_snapshot!(told(&there, Some(&update())), @r##"Extension "hstore" on demo1/app: relation "t" already exists. What its script makes is there already and does not belong to the extension: drop or rename it, then update the stack. [42P07]"##);
        let other = sql("42704", "type \"x\" does not exist", None, None);
        assert_snapshot!(told(&other, Some(&Step::CreateSchema(SchemaName::public()))), @r##"Schema "public" on demo1/app: type "x" does not exist [42704]"##);
    }

    #[test]
    fn a_database_that_takes_no_connections_is_said_to_be_one() {
        let closed = |message: &str, hint: Option<&str>| {
            let DatabaseError::Sql(refused) = sql("55000", message, None, hint) else {
                panic!("it is one of SQL");
            };
            told(&DatabaseError::LogIn(refused), None)
        };
        assert_snapshot!(closed("database \"app\" is not currently accepting connections", None), @r##"demo1/app: database "app" is not currently accepting connections. Let it (ALTER DATABASE … ALLOW_CONNECTIONS true), or name another database. [55000]"##);
        assert_snapshot!(closed("cannot connect to invalid database \"app\"", Some("Use DROP DATABASE to drop invalid databases.")), @r##"demo1/app: cannot connect to invalid database "app". Use DROP DATABASE to drop invalid databases. [55000]"##);
    }
}
