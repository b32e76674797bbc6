//! SQLSTATE → what to do: one table. A new row goes here and nowhere else.
//!
//! Read against `errcodes.txt` of PostgreSQL 13 to 18, class by class. A state that has no row is permanent: a quick
//! FAILED is better than an hour of silence; `tests/decisions.txt` has all of them. Classes 00 to 02 are no errors; 03, 09, 0B to 0P, 20 to 24, 26, 27, 2D to 39,
//! 42, 44, 54, F0, HV and P0 are about the statement or the server's configuration, and come again.
//!
//! Texts are those of `lc_messages` C or en, which RDS has. Where the statement decides, or a name that is never
//! translated, no text is asked for.

use super::pooler::state_of_log_in;
use super::{DatabaseError, SqlError, Statement};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same again fails again: answer now.
    Permanent,
    /// Trying again on a new connection may help.
    Transient,
    /// Trying again may help, but no more often than this.
    TransientAtMost(u32),
    /// Another session was faster: observe again.
    Race,
    /// Permanent until the text's advice is followed.
    Prerequisite(&'static str),
    /// The password is wrong: read the secret again, past the cache.
    Credentials,
    /// The database does not exist: done for a Delete, else permanent.
    NoDatabase,
    /// The database is there and takes no connections: for a Delete it is unreachable, else permanent.
    ClosedDatabase,
}

const PRELOAD: &str = "add it to shared_preload_libraries in the DB parameter group and reboot the instance, then update the stack";
const PARAMETER: &str = "add the extension's library to shared_preload_libraries in the DB parameter group, set the parameter \
                         there where it has no default, and reboot the instance, then update the stack";
const WAL_LEVEL: &str = "set rds.logical_replication to 1 in the DB parameter group (elsewhere wal_level to logical) and reboot \
                         the instance, then update the stack";
const DISK: &str = "give the server more storage, then update the stack";

/// A role's limit that is 0 looks like one that others have taken up, which they may give back: with full jitter from 200 ms
/// on, these take about 25 s.
const ROLE_LIMIT_RETRIES: u32 = 8;

/// What an error must say for a row to fit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Says {
    Anything,
    /// The message, the detail or the hint holds it.
    This(&'static str),
    /// The message begins so.
    First(&'static str),
    /// The constraint's name begins so.
    Constraint(&'static str),
}

use Says::{Anything, Constraint, First, This};
use Statement::{Create, CreateSchema, Drop, LogIn, SetSchema, Update};

const ANY: &[Statement] = &[];
/// An installed extension is what they are about.
const OF_INSTALLED: &[Statement] = &[SetSchema, Drop];

/// `(statements, or none for any; SQLSTATE or its class; what the error says; what to do)`; the first row that fits counts.
pub(super) const TABLE: &[(&[Statement], &str, Says, Class)] = &[
    // Whatever the state and the words are: the setting's name is never translated.
    (
        ANY,
        "",
        This("shared_preload_libraries"),
        Class::Prerequisite(PRELOAD),
    ),
    // 08, connection exceptions: PostgreSQL's own and a pooler's. What a pooler refuses at a log-in is looked up by
    // `state_of_log_in`; left are the protocol's own, which are for good, and what a pooler has no other state for.
    (ANY, "08P01", This("query_wait_timeout"), Class::Transient),
    (ANY, "08P01", This("server_login_retry"), Class::Transient),
    (ANY, "08P01", This("server login"), Class::Transient),
    (ANY, "08P01", This("server down"), Class::Transient),
    (ANY, "08P01", This("connect to server"), Class::Transient),
    (ANY, "08P01", This("server conn crashed"), Class::Transient),
    (ANY, "08P01", This("connection"), Class::TransientAtMost(3)),
    (ANY, "08P01", This("shut"), Class::Transient),
    (ANY, "08P01", Anything, Class::Permanent),
    // The server, or what is before it, rejected the connection.
    (ANY, "08004", Anything, Class::TransientAtMost(3)),
    // A script's own connection, by dblink.
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
    // A look reads every extension's files: what it trips over may be another's that is being replaced.
    (
        &[Statement::Own],
        "0A000",
        Anything,
        Class::TransientAtMost(3),
    ),
    // 23, integrity: catalogs have unique indexes, at which two sessions meet.
    (ANY, "23505", Constraint("pg_"), Class::Race),
    // 25, transaction state: a replica; the session's and, from 17, the transaction's own timeouts.
    (ANY, "25006", Anything, Class::TransientAtMost(3)),
    (ANY, "25P03", Anything, Class::Transient),
    (ANY, "25P04", Anything, Class::Transient),
    // 28, authorization, and 3D: of the log-in alone. A script's dblink says the same of another database.
    (&[LogIn], "28", Anything, Class::Credentials),
    (&[LogIn], "3D000", Anything, Class::NoDatabase),
    // 40, rollback.
    (ANY, "40000", Anything, Class::TransientAtMost(3)),
    (ANY, "40001", Anything, Class::Transient),
    (ANY, "40003", Anything, Class::Transient),
    (ANY, "40P01", Anything, Class::Transient),
    // 42, what is there and what is not.
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
    // A bound of the configuration's, such as temp_file_limit; others may be what fills it.
    (ANY, "53400", Anything, Class::TransientAtMost(3)),
    (ANY, "53", Anything, Class::Transient),
    // 55, prerequisites. At a log-in 55000 is ALLOW_CONNECTIONS false, template0, or what a DROP DATABASE left invalid.
    (&[LogIn], "55000", Anything, Class::ClosedDatabase),
    (
        ANY,
        "55000",
        This("wal_level"),
        Class::Prerequisite(WAL_LEVEL),
    ),
    // What this very transaction holds is held again.
    (ANY, "55006", This("pending trigger"), Class::Permanent),
    (ANY, "55006", This("in this session"), Class::Permanent),
    (ANY, "55006", Anything, Class::TransientAtMost(3)),
    (ANY, "55P03", Anything, Class::Transient),
    // 57, operator intervention. A standby that takes no connections at all says 57P03 for as long as it is one.
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
    // 58, system errors: a disk that stumbles; a file that is missing stays so.
    (ANY, "58000", Anything, Class::TransientAtMost(3)),
    (ANY, "58030", Anything, Class::TransientAtMost(3)),
    // 72, up to 16.
    (ANY, "72000", Anything, Class::Transient),
    // HV, foreign data: its one state of a connection.
    (ANY, "HV00N", Anything, Class::TransientAtMost(3)),
    // XX, internal errors; XX001 and XX002 are damage.
    (ANY, "XX000", This("tuple concurrently"), Class::Race),
    (ANY, "XX000", Anything, Class::TransientAtMost(3)),
];

/// What to do about an error of a statement. A refused log-in is one of [`Statement::LogIn`] whatever was to be run.
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
        // While workers are replaced by newer ones: one of these takes it.
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
