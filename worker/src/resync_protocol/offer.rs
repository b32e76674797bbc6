//! What a server offers to install, as far as an upgrade to its version depends on it. A file of it stands for the server.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The offer of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct TargetOffer {
    /// PostgreSQL's, as `17.5`.
    pub(crate) server_version: String,
    /// `shared_preload_libraries`, where the role may read it.
    #[serde(default)]
    pub(crate) preloaded: Option<String>,
    /// By name.
    pub(crate) extensions: BTreeMap<String, OfferedExtension>,
}

/// An extension that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct OfferedExtension {
    /// The version that it installs where none is named.
    #[serde(default)]
    pub(crate) default: Option<String>,
    /// The versions that it can install.
    #[serde(default)]
    pub(crate) versions: BTreeSet<String>,
    /// Versions from which it can update, and to which it does: to the default where that is possible.
    #[serde(default)]
    pub(crate) updates: BTreeMap<String, String>,
}

impl TargetOffer {
    /// The major version; none where the text has none.
    pub(crate) fn major(&self) -> Option<u16> {
        major(&self.server_version)
    }
}

/// The number in front: `17` of `17.5`.
pub(crate) fn major(version: &str) -> Option<u16> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
