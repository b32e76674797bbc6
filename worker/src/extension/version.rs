//! Versions of extensions: opaque texts, ordered only by the update paths between them.

use std::fmt;

use postgres_protocol::escape::escape_literal;
use serde::{Deserialize, Serialize};

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must not contain \"--\", \"/\", \"\\\" or control characters, nor begin or end with \"-\""
)]
pub struct VersionError;

/// The version of an extension, one that PostgreSQL's `check_valid_version_name` accepts.
///
/// `0`, `unpackaged` and `3-1.foo` are valid versions: two versions can only be compared for equality.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

impl Version {
    /// Parses a version.
    ///
    /// # Errors
    /// [`VersionError`] where PostgreSQL would refuse it.
    pub(crate) fn parse(text: &str) -> Result<Self, VersionError> {
        let forbidden = text.is_empty()
            || text.contains("--")
            || text.contains(['/', '\\'])
            || text.contains(char::is_control)
            || text.starts_with('-')
            || text.ends_with('-');
        if forbidden {
            return Err(VersionError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The version as text, not escaped.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The version as an SQL string literal.
    pub(crate) fn literal(&self) -> String {
        escape_literal(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        Self::parse(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

/// A version with `*` for any run of characters: `3.3.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPattern(Version);

impl VersionPattern {
    /// Whether the version matches the pattern.
    pub(crate) fn matches(&self, version: &Version) -> bool {
        let mut rest = version.as_str();
        let mut parts = self.0.as_str().split('*');
        // The text before the first asterisk has to be at the beginning, the text after the last at the end.
        let Some(stripped) = parts.next().and_then(|first| rest.strip_prefix(first)) else {
            return false;
        };
        rest = stripped;
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            let Some((_, behind)) = rest.split_once(part) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for VersionPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The version of a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VersionRequest {
    /// The server's default version when the extension is created; afterwards the installed one.
    #[default]
    Unset,
    /// The server's default version, on every request.
    Default,
    /// Exactly this version.
    Exact(Version),
    /// The highest version that matches and can be reached.
    Matching(VersionPattern),
}

impl VersionRequest {
    /// Parses the property of a stack. An empty text means no version, because a template parameter cannot be absent.
    ///
    /// # Errors
    /// [`VersionError`] where PostgreSQL would refuse it.
    pub(crate) fn parse(text: &str) -> Result<Self, VersionError> {
        Ok(match text {
            "" => Self::Unset,
            // As for the values of other properties, letter case is not significant.
            text if text.eq_ignore_ascii_case("default") => Self::Default,
            text if text.contains('*') => Self::Matching(VersionPattern(Version::parse(text)?)),
            text => Self::Exact(Version::parse(text)?),
        })
    }

    /// The text of the property.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Unset => "",
            Self::Default => "default",
            Self::Exact(version) => version.as_str(),
            Self::Matching(pattern) => pattern.0.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, version: &str) -> bool {
        let VersionRequest::Matching(pattern) = VersionRequest::parse(pattern).unwrap() else {
            panic!("{pattern} is no pattern");
        };
        pattern.matches(&Version::parse(version).unwrap())
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        assert!(matches("3.3.*", "3.3.2"));
        assert!(matches("3.3.*", "3.3.2next"));
        assert!(!matches("3.3.*", "3.4.0"));
        assert!(!matches("3.3.*", "13.3.2"));
        assert!(matches("*", "unpackaged"));
        assert!(matches("*.2", "3.3.2"));
        assert!(matches("1*2*3", "1.2.3"));
        assert!(!matches("1*2*3", "1.3"));
        assert!(!matches("1.*.1", "1.1"));
    }

    #[test]
    fn versions_are_opaque() {
        for odd in ["0", "unpackaged", "3-1.foo", "1.0 beta"] {
            assert!(Version::parse(odd).is_ok(), "{odd}");
        }
        for hostile in ["1--2", "../1", "1'; DROP TABLE y; --", "-1", "1-"] {
            assert!(Version::parse(hostile).is_err(), "{hostile}");
        }
        assert_eq!(Version::parse("1'2").unwrap().literal(), "'1''2'");
    }

    #[test]
    fn no_version_and_an_empty_one_are_the_same() {
        assert_eq!(VersionRequest::parse(""), Ok(VersionRequest::Unset));
        assert_eq!(
            VersionRequest::parse("Default"),
            Ok(VersionRequest::Default)
        );
    }
}
