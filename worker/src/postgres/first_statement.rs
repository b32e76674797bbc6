//! Sessions whose first statement is an update: the library of some extensions must not be loaded in the old version before, and
//! loads itself at whatever comes first. Everything that other sessions set in their first transaction is in the start-up
//! packet here.

use std::time::Duration;

use super::transaction::SessionStart;

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
