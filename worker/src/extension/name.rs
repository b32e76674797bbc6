//! Names of extensions and schemas, valid by construction and escaped where they meet SQL.

use std::fmt;

use postgres_protocol::escape::escape_identifier;
use serde::{Deserialize, Serialize};

/// The longest identifier that PostgreSQL keeps (`NAMEDATALEN - 1`), in bytes. It silently truncates longer ones.
const MAX_IDENTIFIER_BYTES: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than PostgreSQL keeps.
    #[error("is {0} bytes long; a PostgreSQL name has at most 63")]
    TooLong(usize),
    /// The text contains characters that PostgreSQL refuses in an extension's name.
    #[error(
        "must not contain \"--\", \"/\", \"\\\" or control characters, nor begin or end with \"-\""
    )]
    Forbidden,
}

/// The name of an extension as it was written, one that PostgreSQL's `check_valid_extension_name` accepts.
///
/// [`super::Catalog::resolve`] decides which extension of a server it names: letter case is not significant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExtensionName(String);

impl ExtensionName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`NameError`] where PostgreSQL would refuse or cut the name.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        check_length(text)?;
        let forbidden = text.contains("--")
            || text.contains(['/', '\\'])
            || text.contains(char::is_control)
            || text.starts_with('-')
            || text.ends_with('-');
        if forbidden {
            return Err(NameError::Forbidden);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text, not escaped.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an SQL identifier, always quoted.
    pub(crate) fn identifier(&self) -> String {
        escape_identifier(&self.0)
    }

    /// Whether both mean the same extension: letter case is not significant.
    pub(crate) fn means(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl fmt::Display for ExtensionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ExtensionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<ExtensionName> for String {
    fn from(name: ExtensionName) -> Self {
        name.0
    }
}

/// The name of a schema. Letter case is significant, as in a quoted identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaName(String);

impl SchemaName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`NameError`] where PostgreSQL would refuse or cut the name.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        check_length(text)?;
        if text.contains(char::is_control) {
            return Err(NameError::Forbidden);
        }
        Ok(Self(text.to_owned()))
    }

    /// The schema of extensions for which neither the stack nor the control file names one.
    pub(crate) fn public() -> Self {
        Self("public".to_owned())
    }

    /// The name as text, not escaped.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an SQL identifier, always quoted.
    pub(crate) fn identifier(&self) -> String {
        escape_identifier(&self.0)
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for SchemaName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<SchemaName> for String {
    fn from(name: SchemaName) -> Self {
        name.0
    }
}

fn check_length(text: &str) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        1..=MAX_IDENTIFIER_BYTES => Ok(()),
        longer => Err(NameError::TooLong(longer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_postgresql_refuses_or_cuts_are_refused() {
        for hostile in [
            "",
            "x\"; DROP TABLE y; --",
            "../postgis",
            "a\\b",
            "-postgis",
            "postgis-",
            "a\0b",
            &"n".repeat(64),
        ] {
            assert!(ExtensionName::parse(hostile).is_err(), "{hostile:?}");
        }
        for good in ["postgis", "PostGIS", "uuid-ossp", &"n".repeat(63)] {
            assert!(ExtensionName::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_identifier_is_quoted_and_its_quotes_are_doubled() {
        let name = ExtensionName::parse("x\"; DROP TABLE y; ").unwrap();
        assert_eq!(name.identifier(), "\"x\"\"; DROP TABLE y; \"");
    }
}
