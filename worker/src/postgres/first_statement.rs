//! Sessions that begin with a statement instead of the query for the facts of the session.
//!
//! The statement is an update of an extension whose library must not be loaded in the old version before, and which any
//! earlier statement would load: the settings that other sessions make in their first transaction are then in the start-up
//! packet. Or it is the beginning of a read-only transaction.

use std::time::Duration;

use super::transaction::{PIN, SessionStart};

/// Parameters of a new session, made in another session of the same database.
#[derive(Debug, Clone)]
pub(crate) struct FirstStatement {
    /// Options of the start-up packet.
    pub(super) options: String,
    /// One message: the statement, and then the usual beginning of a transaction, in which the statement is included.
    pub(super) message: String,
    /// What is known of the database's sessions.
    pub(super) start: SessionStart,
    /// Timeout of the message.
    pub(super) timeout: Duration,
}

impl FirstStatement {
    /// A read-only transaction that reads PostgreSQL's own catalogs. It needs no facts of the session. Settings of the
    /// database or the role that could change a result are reset.
    pub(crate) fn for_reading(timeout: Duration) -> Self {
        let message = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = 10000; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE NONE; \
             {PIN}; SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off",
            timeout.as_millis()
        );
        Self {
            options: String::new(),
            message,
            start: SessionStart::unknown(),
            timeout,
        }
    }
}

/// `-c name=value` for each setting, in the form that PostgreSQL's `pg_split_opts` parses.
pub(super) fn options(settings: impl IntoIterator<Item = (String, String)>) -> String {
    let escaped = |text: &str| {
        let mut escaped = String::new();
        for character in text.chars() {
            if character == '\\' || character.is_ascii_whitespace() {
                escaped.push('\\');
            }
            escaped.push(character);
        }
        escaped
    };
    // A name that PostgreSQL would refuse sets nothing, and is left out.
    let is_name = |name: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        !name.is_empty() && name.chars().all(is_part)
    };
    let settings: Vec<String> = settings
        .into_iter()
        .filter(|(name, _)| is_name(name))
        .map(|(name, value)| format!("-c {name}={}", escaped(&value)))
        .collect();
    settings.join(" ")
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn spaces_and_backslashes_of_values_are_escaped() {
        let settings = [
            ("search_path", "\"$user\", public"),
            ("a.b", "back\\slash"),
            ("no name", "x"),
            ("empty", ""),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            options(settings),
            r#"-c search_path="$user",\ public -c a.b=back\\slash -c empty="#
        );
    }
}
