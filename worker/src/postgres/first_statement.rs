//! Sessions that begin with a statement instead of a look at them.
//!
//! It is an update, where the library of the extension must not be loaded in the old version before, and loads itself at whatever
//! comes first: everything that other sessions set in their first transaction is in the start-up packet then. Or it is the
//! beginning of a transaction that reads.

use std::time::Duration;

use super::transaction::{PIN, SessionStart};

/// What a new session is to be given, made in another one of the same database.
#[derive(Debug, Clone)]
pub(crate) struct FirstStatement {
    /// For the start-up packet.
    pub(super) options: String,
    /// One message: the statement, and then an ordinary beginning of a transaction, which the statement becomes a part of.
    pub(super) message: String,
    /// What is known of the database's sessions.
    pub(super) start: SessionStart,
    /// How long the message may take.
    pub(super) timeout: Duration,
}

impl FirstStatement {
    /// A transaction in which PostgreSQL's own catalogs are read, and nothing is changed: of the session nothing is to be known for
    /// that. What the database or the role sets and the answers could differ by is set back.
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

/// `-c name=value` for each, as PostgreSQL's `pg_split_opts` takes them apart.
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
    // What is no name of a setting would be refused, and sets nothing.
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
