//! The operator's limits for stacks and re-syncs: the extensions that they may create, and whether they may drop with
//! `CASCADE`. Values only; the planner applies them.

use std::fmt;
use std::str::FromStr;

use super::order::needed_by;
use crate::extension::Observed;

/// The limits for requests. The commands `plan` and `apply` have none: see [`Policy::unrestricted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The extensions that may be created, including those that `CASCADE` creates (`WORKER_EXTENSIONS`).
    pub extensions: Vec<ExtensionPattern>,
    /// Whether `DeletionBehavior: DropCascade` is carried out (`WORKER_ALLOW_DROP_CASCADE`).
    pub allow_drop_cascade: bool,
}

impl Policy {
    /// Allows everything that PostgreSQL allows.
    pub fn unrestricted() -> Self {
        Self {
            extensions: vec![ExtensionPattern("*".to_owned())],
            allow_drop_cascade: true,
        }
    }

    /// Whether every extension may be created.
    pub(crate) fn allows_all(&self) -> bool {
        self.extensions.iter().any(|pattern| pattern.0 == "*")
    }

    /// Whether an extension of this name may be created.
    pub(crate) fn allows(&self, extension: &str) -> bool {
        self.extensions
            .iter()
            .any(|pattern| pattern.matches(extension))
    }

    /// The first extension that may not be created, among this one and all that `CASCADE` would create with it in any
    /// version.
    pub(super) fn forbidden_by<'a>(
        &self,
        extension: &'a str,
        with_cascade: bool,
        observed: &'a Observed,
    ) -> Option<&'a str> {
        if !self.allows(extension) {
            return Some(extension);
        }
        if !with_cascade {
            return None;
        }
        needed_by(&[extension].into(), observed)
            .into_iter()
            .find(|name| !observed.installed.contains_key(*name) && !self.allows(name))
    }

    /// The patterns of the setting.
    pub(crate) fn patterns(&self) -> String {
        let patterns: Vec<&str> = self.extensions.iter().map(|pattern| &*pattern.0).collect();
        patterns.join(",")
    }
}

/// A name in which each `*` matches any text. Letter case is not significant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionPattern(String);

impl ExtensionPattern {
    /// Whether the pattern matches this name.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl FromStr for ExtensionPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_known = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
        if text.is_empty() || text.len() > 63 || !text.chars().all(is_known) {
            return Err(
                "must be names of extensions, in which * stands for any text, separated by commas: postgis*,pgcrypto"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for ExtensionPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "postgis", true),
            ("postgis", "PostGIS", true),
            ("postgis", "postgis_topology", false),
            ("postgis*", "postgis", true),
            ("postgis*", "postgis_topology", true),
            ("*_topology", "postgis_topology", true),
            ("*_topology", "postgis_topology2", false),
            ("p*_t*y", "postgis_topology", true),
            ("p*x*y", "postgis_topology", false),
            ("aa*aa", "aaa", false),
            ("aa*aa", "aaaa", true),
            ("uuid-ossp", "uuid-ossp", true),
        ] {
            let parsed: ExtensionPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", " ", "a;b", "é", "a b"] {
            assert!(wrong.parse::<ExtensionPattern>().is_err(), "{wrong}");
        }
    }
}
