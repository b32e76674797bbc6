//! Errors of a pooler at a log-in: PgBouncer before 1.20 reports 08P01 for every refusal, its own and the server's, with
//! the original message.

use super::SqlError;

/// `(beginning of the message, or none; part of the message; PostgreSQL's SQLSTATE for it)`.
const STATES: &[(&str, &str, &str)] = &[
    ("", "authentication failed", "28P01"),
    ("", "no such user", "28P01"),
    ("", "no pg_hba.conf entry", "28000"),
    ("role \"", "does not exist", "28000"),
    ("role \"", "is not permitted to log in", "28000"),
    ("database \"", "does not exist", "3D000"),
    ("permission denied for database", "", "42501"),
    // The pooler does not serve the database, which may exist.
    ("no such database", "", NOT_LED_TO),
    ("database \"", "is disabled", NOT_LED_TO),
    ("", "is not currently accepting connections", NOT_LED_TO),
    ("", "cannot connect to invalid database", NOT_LED_TO),
    ("", "too many clients", "53300"),
    ("", "too many connections", "53300"),
    ("", "connection slots are reserved", "53300"),
    ("no more connections allowed", "", "53300"),
    ("", "the database system is", "57P03"),
];

/// The pooler does not allow a log-in to the database.
const NOT_LED_TO: &str = "55000";

/// The SQLSTATE that PostgreSQL itself would have reported for a refused log-in.
pub(super) fn state_of_log_in(error: &SqlError) -> &str {
    if error.sqlstate != "08P01" {
        return &error.sqlstate;
    }
    STATES
        .iter()
        .find(|(first, held, _)| error.message.starts_with(first) && error.message.contains(held))
        .map_or(&error.sqlstate, |(_, _, state)| state)
}
