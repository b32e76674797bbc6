//! SQLSTATE → what to do: one table. A new row goes here and nowhere else.

use super::{DatabaseError, SqlError};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same again fails again: answer now.
    Permanent,
    /// Trying again on a new connection may help.
    Transient,
    /// Trying again may help, but no more often than so many times.
    TransientAtMost(u32),
    /// Somebody else was faster: look again.
    Race,
    /// Permanent until somebody does what the text says.
    Prerequisite(&'static str),
    /// The password is wrong: read the secret again, past the cache.
    Credentials,
    /// The database does not exist: done for a Delete, else permanent.
    NoDatabase,
}

const PRELOAD: &str = "add it to shared_preload_libraries in the DB parameter group and reboot the instance, then update the stack";
const CRON_DATABASE: &str =
    "set the parameter in the DB parameter group and reboot the instance, then update the stack";
const DISK: &str = "give the server more storage, then update the stack";

/// `(SQLSTATE or its class, text that the message or the constraint holds, what to do)`; the first row that fits counts.
const TABLE: &[(&str, &str, Class)] = &[
    ("23505", "pg_extension_name_index", Class::Race),
    ("23505", "pg_namespace_nspname_index", Class::Race),
    ("42710", "extension", Class::Race),
    // Two sessions that update the same extension at the same time.
    ("42710", "operator family", Class::Race),
    ("XX000", "tuple concurrently", Class::Race),
    (
        "XX000",
        "can only be loaded via shared_preload_libraries",
        Class::Prerequisite(PRELOAD),
    ),
    ("XX000", "", Class::TransientAtMost(3)),
    ("42704", "extension", Class::Race),
    (
        "42704",
        "unrecognized configuration parameter",
        Class::Prerequisite(CRON_DATABASE),
    ),
    (
        "0A000",
        "old version has already been loaded",
        Class::TransientAtMost(1),
    ),
    (
        "55000",
        "must be loaded via shared_preload_libraries",
        Class::Prerequisite(PRELOAD),
    ),
    (
        "55000",
        "not currently accepting connections",
        Class::Transient,
    ),
    ("25006", "", Class::TransientAtMost(3)),
    ("25P03", "", Class::Transient),
    ("55P03", "", Class::Transient),
    ("57014", "", Class::Transient),
    ("40001", "", Class::Transient),
    ("40P01", "", Class::Transient),
    ("57P04", "", Class::NoDatabase),
    ("57P", "", Class::Transient),
    ("08", "", Class::Transient),
    ("53100", "", Class::Prerequisite(DISK)),
    ("53", "", Class::Transient),
    ("28P01", "", Class::Credentials),
    ("28000", "", Class::Credentials),
    ("3D000", "", Class::NoDatabase),
];

/// What to do about an error.
pub fn classify(error: &DatabaseError) -> Class {
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
        | DatabaseError::OlderLedger(_) => Class::Permanent,
        DatabaseError::LedgerLocked(_) => Class::Transient,
        DatabaseError::LedgerAppeared => Class::Race,
        // While workers are replaced by newer ones: one of these takes it.
        DatabaseError::NewerLedger(_) => Class::Transient,
        DatabaseError::Sql(error) => of_sql(error),
    }
}

fn of_sql(error: &SqlError) -> Class {
    // "required extension … is not installed" bears the state of an extension that vanished, and is none.
    if error.sqlstate == "42704" && error.message.starts_with("required extension") {
        return Class::Permanent;
    }
    TABLE
        .iter()
        .find(|(state, text, _)| {
            error.sqlstate.starts_with(state)
                && (error.message.contains(text)
                    || error
                        .constraint
                        .as_ref()
                        .is_some_and(|constraint| constraint.contains(text)))
        })
        .map_or(Class::Permanent, |(_, _, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(sqlstate: &str, message: &str) -> Class {
        of_sql(&SqlError {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            detail: None,
            hint: None,
            constraint: None,
            context: None,
        })
    }

    #[test]
    fn the_text_decides_where_one_state_means_several_things() {
        assert_eq!(
            class("42710", "extension \"hstore\" already exists"),
            Class::Race
        );
        assert_eq!(
            class("42710", "type \"hstore\" already exists"),
            Class::Permanent
        );
        assert_eq!(
            class("42704", "extension \"hstore\" does not exist"),
            Class::Race
        );
        assert_eq!(
            class("42704", "required extension \"cube\" is not installed"),
            Class::Permanent
        );
        assert_eq!(
            class(
                "55000",
                "pg_cron must be loaded via shared_preload_libraries"
            ),
            Class::Prerequisite(PRELOAD)
        );
        assert_eq!(class("XX000", "tuple concurrently updated"), Class::Race);
        assert_eq!(
            class("XX000", "cache lookup failed"),
            Class::TransientAtMost(3)
        );
        assert_eq!(
            class("0A000", "extension \"x\" is not available"),
            Class::Permanent
        );
        assert_eq!(class("57P01", "terminating connection"), Class::Transient);
        assert_eq!(class("57P04", "database is gone"), Class::NoDatabase);
        assert_eq!(class("42501", "permission denied"), Class::Permanent);
        assert_eq!(class("P0001", "anything"), Class::Permanent);
    }
}
