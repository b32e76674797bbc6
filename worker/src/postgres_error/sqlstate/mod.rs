//! SQLSTATE → reaction, in one table. A new row goes here and nowhere else.
//!
//! It was compared with `errcodes.txt` of PostgreSQL 13 to 18, class by class. An SQLSTATE without a row is permanent:
//! FAILED is sent at once, rather than after an hour of retries; `tests/decisions.txt` lists all of them. Classes 00 to 02
//! are no errors; 03, 09, 0B to 0P, 20 to 24, 26, 27, 2D to 39, 42, 44, 54, F0, HV and P0 are about the statement or the
//! server's configuration, so that the next attempt would fail the same way.
//!
//! Message texts are those of `lc_messages` C or en, as on RDS. A row has no text if the statement, or a name that is never
//! translated, is sufficient.

use super::pooler::state_of_log_in;
use super::{DatabaseError, SqlError, Statement};

/// The reaction to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The next attempt would fail the same way: respond now.
    Permanent,
    /// Another attempt on a new connection may help.
    Transient,
    /// Another attempt may help, but no more often than this.
    TransientAtMost(u32),
    /// Another session changed the same object first: observe again.
    Race,
    /// Permanent until the user follows the advice of this text.
    Prerequisite(&'static str),
    /// The password was refused: read the secret again, without the cache.
    Credentials,
    /// The database does not exist: success for a Delete, otherwise permanent.
    NoDatabase,
    /// The database exists and accepts no connections: unreachable for a Delete, otherwise permanent.
    ClosedDatabase,
}

const PRELOAD: &str = "add it to shared_preload_libraries in the DB parameter group and reboot the instance, then update the stack";
const PARAMETER: &str = "add the extension's library to shared_preload_libraries in the DB parameter group, set the parameter \
                         there where it has no default, and reboot the instance, then update the stack";
const WAL_LEVEL: &str = "set rds.logical_replication to 1 in the DB parameter group (elsewhere wal_level to logical) and reboot \
                         the instance, then update the stack";
const DISK: &str = "give the server more storage, then update the stack";

/// A role's limit of 0 is reported like one that other sessions have used up, and may release: with full jitter from 200 ms
/// on, these attempts take about 25 s.
const ROLE_LIMIT_RETRIES: u32 = 8;

/// The text of an error that a row requires.
#[derive(Debug, Clone, Copy)]
pub(super) enum Says {
    Anything,
    /// The message, the detail or the hint contains it.
    This(&'static str),
    /// The message begins with it.
    First(&'static str),
    /// The constraint's name begins with it.
    Constraint(&'static str),
}

use Says::{Anything, Constraint, First, This};
use Statement::{Create, CreateSchema, Drop, LogIn, SetSchema, Update};

const ANY: &[Statement] = &[];
/// The statements about an installed extension.
const OF_INSTALLED: &[Statement] = &[SetSchema, Drop];

/// `(statements, or none for any; SQLSTATE or its class; text; reaction)`; the first row that matches applies.
pub(super) const TABLE: &[(&[Statement], &str, Says, Class)] = &[
    // For any SQLSTATE and language: the name of the setting is never translated.
    (
        ANY,
        "",
        This("shared_preload_libraries"),
        Class::Prerequisite(PRELOAD),
    ),
    // 08, connection exceptions of PostgreSQL and of a pooler. `state_of_log_in` handles the refusals of a pooler at a
    // log-in; here are errors of the protocol, which are permanent, and errors for which a pooler has no other SQLSTATE.
    (ANY, "08P01", This("query_wait_timeout"), Class::Transient),
    (ANY, "08P01", This("server_login_retry"), Class::Transient),
    (ANY, "08P01", This("server login"), Class::Transient),
    (ANY, "08P01", This("server down"), Class::Transient),
    (ANY, "08P01", This("connect to server"), Class::Transient),
    (ANY, "08P01", This("server conn crashed"), Class::Transient),
    (ANY, "08P01", This("connection"), Class::TransientAtMost(3)),
    (ANY, "08P01", This("shut"), Class::Transient),
    (ANY, "08P01", Anything, Class::Permanent),
    // The server, or a proxy before it, rejected the connection.
    (ANY, "08004", Anything, Class::TransientAtMost(3)),
    // A connection of a script, by dblink.
    (
        &[Create, Update, SetSchema, Drop],
        "08003",
        Anything,
        Class::Permanent,
    ),
    (ANY, "08", Anything, Class::Transient),
    // 0A, not supported.
    (
        ANY,
        "0A000",
        This("old version has already been loaded"),
        Class::TransientAtMost(1),
    ),
    // An observation reads the files of all extensions: an error may concern another extension that is being replaced.
    (
        &[Statement::Own],
        "0A000",
        Anything,
        Class::TransientAtMost(3),
    ),
    // 23, integrity: unique indexes of catalogs, on which two sessions conflict.
    (ANY, "23505", Constraint("pg_"), Class::Race),
    // 25, transaction state: a replica; the timeouts of the session and, from 17 on, of the transaction.
    (ANY, "25006", Anything, Class::TransientAtMost(3)),
    (ANY, "25P03", Anything, Class::Transient),
    (ANY, "25P04", Anything, Class::Transient),
    // 28, authorization, and 3D: only of the log-in. dblink in a script reports the same about another database.
    (&[LogIn], "28", Anything, Class::Credentials),
    (&[LogIn], "3D000", Anything, Class::NoDatabase),
    // 40, rollback.
    (ANY, "40000", Anything, Class::TransientAtMost(3)),
    (ANY, "40001", Anything, Class::Transient),
    (ANY, "40003", Anything, Class::Transient),
    (ANY, "40P01", Anything, Class::Transient),
    // 42, objects that exist or do not exist.
    (&[CreateSchema], "42P06", Anything, Class::Race),
    (ANY, "42710", First("extension \""), Class::Race),
    // Two sessions that update the same extension at the same time.
    (&[Update], "42710", This("operator family"), Class::Race),
    (OF_INSTALLED, "42704", First("extension"), Class::Race),
    (ANY, "42704", First("extension \""), Class::Race),
    (
        ANY,
        "42704",
        This("unrecognized configuration parameter"),
        Class::Prerequisite(PARAMETER),
    ),
    // 53, resources.
    (ANY, "53100", Anything, Class::Prerequisite(DISK)),
    // A limit of the configuration, such as temp_file_limit, which others may have used up.
    (ANY, "53400", Anything, Class::TransientAtMost(3)),
    (ANY, "53", Anything, Class::Transient),
    // 55, prerequisites. At a log-in 55000 means ALLOW_CONNECTIONS false, template0, or an interrupted DROP DATABASE.
    (&[LogIn], "55000", Anything, Class::ClosedDatabase),
    (
        ANY,
        "55000",
        This("wal_level"),
        Class::Prerequisite(WAL_LEVEL),
    ),
    // The next attempt would hold the same objects in its transaction again.
    (ANY, "55006", This("pending trigger"), Class::Permanent),
    (ANY, "55006", This("in this session"), Class::Permanent),
    (ANY, "55006", Anything, Class::TransientAtMost(3)),
    (ANY, "55P03", Anything, Class::Transient),
    // 57, operator intervention. A standby that accepts no connections reports 57P03 as long as it is one.
    (
        &[LogIn],
        "57P03",
        This("Hot standby mode is disabled"),
        Class::Permanent,
    ),
    (ANY, "57000", Anything, Class::TransientAtMost(3)),
    (ANY, "57014", Anything, Class::Transient),
    (ANY, "57P04", Anything, Class::NoDatabase),
    (ANY, "57P", Anything, Class::Transient),
    // 58, system errors: errors of a disk may pass, a missing file stays missing.
    (ANY, "58000", Anything, Class::TransientAtMost(3)),
    (ANY, "58030", Anything, Class::TransientAtMost(3)),
    // 72, up to 16.
    (ANY, "72000", Anything, Class::Transient),
    // HV, foreign data: its only SQLSTATE about a connection.
    (ANY, "HV00N", Anything, Class::TransientAtMost(3)),
    // XX, internal errors; XX001 and XX002 report corrupted data.
    (ANY, "XX000", This("tuple concurrently"), Class::Race),
    (ANY, "XX000", Anything, Class::TransientAtMost(3)),
];

/// The reaction to an error of a statement. A refused log-in is one of [`Statement::LogIn`], whatever statement was to run.
pub fn classify(error: &DatabaseError, statement: Statement) -> Class {
    match error {
        DatabaseError::Unreachable(..)
        | DatabaseError::Lost(..)
        | DatabaseError::Busy
        | DatabaseError::Exhausted(_) => Class::Transient,
        DatabaseError::NoSuchHost(_)
        | DatabaseError::Tls(..)
        | DatabaseError::Authentication(..)
        | DatabaseError::TooMuchReceived
        | DatabaseError::LocalAddress
        | DatabaseError::Unreadable(_)
        | DatabaseError::UntrustedLedger(_)
        | DatabaseError::ReservedDatabase(_)
        | DatabaseError::PublishedLedger(_)
        | DatabaseError::ConfigurationRows(_)
        | DatabaseError::NotRecreated(_)
        | DatabaseError::NotPackaged(_)
        | DatabaseError::OlderLedger(_) => Class::Permanent,
        DatabaseError::LedgerLocked(_) => Class::Transient,
        DatabaseError::LedgerAppeared => Class::Race,
        // During a deployment: a newer worker receives the message.
        DatabaseError::NewerLedger(_) => Class::Transient,
        DatabaseError::DatabaseLimit(_) => Class::ClosedDatabase,
        DatabaseError::RoleLimit(_) => Class::TransientAtMost(ROLE_LIMIT_RETRIES),
        DatabaseError::LogIn(error) => of_sql(error, LogIn),
        DatabaseError::Sql(error) | DatabaseError::LedgerNotMade(error) => of_sql(error, statement),
    }
}

fn of_sql(error: &SqlError, statement: Statement) -> Class {
    let sqlstate = match statement {
        LogIn => state_of_log_in(error),
        Statement::Own | CreateSchema | Create | Update | SetSchema | Drop => &error.sqlstate,
    };
    let holds =
        |part: &Option<String>, text: &str| part.as_deref().is_some_and(|part| part.contains(text));
    TABLE
        .iter()
        .find(|(statements, state, says, _)| {
            (statements.is_empty() || statements.contains(&statement))
                && sqlstate.starts_with(state)
                && match says {
                    Anything => true,
                    This(text) => {
                        error.message.contains(text)
                            || holds(&error.detail, text)
                            || holds(&error.hint, text)
                    }
                    First(text) => error.message.starts_with(text),
                    Constraint(text) => error
                        .constraint
                        .as_deref()
                        .is_some_and(|constraint| constraint.starts_with(text)),
                }
        })
        .map_or(Class::Permanent, |(_, _, _, class)| *class)
}

#[cfg(test)]
mod tests;
