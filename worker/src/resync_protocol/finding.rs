//! What a check before an upgrade finds.

use serde::{Deserialize, Serialize};

/// What a finding means for the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Severity {
    /// The upgrade fails.
    Blocks,
    /// Something has to be done before the upgrade, or is lost or broken by it.
    StepBefore,
    /// Something has to be done after the upgrade.
    StepAfter,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// Every severity, the worst first.
    pub(crate) const ALL: [Self; 4] = [Self::Blocks, Self::StepBefore, Self::StepAfter, Self::Note];

    /// As an event has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Blocks => "Blocks",
            Self::StepBefore => "StepBefore",
            Self::StepAfter => "StepAfter",
            Self::Note => "Note",
        }
    }
}

/// One thing that an upgrade would meet in a database, or in its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Finding {
    /// What it means for the upgrade.
    pub(crate) severity: Severity,
    /// Which check found it, as docs/upgrades.md lists them.
    pub(crate) code: String,
    /// What it is about: an extension, a column, a slot.
    pub(crate) object: String,
    /// Why.
    pub(crate) reason: String,
    /// The statement or the parameter that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// What the findings about extensions stand on: what a server offers, or what is known of it beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Basis {
    /// The major version that the upgrade goes to.
    pub(crate) to: u16,
    /// Whether it was read from a server, and is not the table that the worker has.
    pub(crate) is_read: bool,
    /// From where, in words.
    pub(crate) source: String,
}
