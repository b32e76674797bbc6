//! What workers publish of a re-sync on the results topic, and the command reads. Values only; what is absent is left out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Basis, Finding};

/// What a re-sync does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// It reports the state, and changes nothing.
    Report,
    /// It makes databases be as declared.
    Repair,
    /// It says what an upgrade to another major version would meet, and changes nothing.
    UpgradeCheck,
}

impl Mode {
    /// As the message has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Report => "Report",
            Self::Repair => "Repair",
            Self::UpgradeCheck => "UpgradeCheck",
        }
    }
}

/// How it stands with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum State {
    /// It is as declared.
    InSync,
    /// It was not, and now is.
    Repaired,
    /// It is not as declared.
    Drifted,
    /// It could not be looked at, or not be made as declared.
    Failed,
    /// Nothing is declared for it.
    Unmanaged,
    /// Nothing has to be done before the upgrade.
    Ready,
    /// Something has to be done before the upgrade.
    NeedsSteps,
    /// The upgrade fails.
    Blocked,
}

impl State {
    /// As an event has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "InSync",
            Self::Repaired => "Repaired",
            Self::Drifted => "Drifted",
            Self::Failed => "Failed",
            Self::Unmanaged => "Unmanaged",
            Self::Ready => "Ready",
            Self::NeedsSteps => "NeedsSteps",
            Self::Blocked => "Blocked",
        }
    }
}

/// How it stands with an extension of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum ExtensionState {
    /// It is as declared.
    InSync,
    /// It was not, and now is.
    Repaired,
    /// It is not as declared.
    Drifted,
    /// It is as declared, and the server has a later default version.
    Outdated,
    /// It could not be made as declared.
    Failed,
    /// It is not there, as declared.
    Absent,
    /// It is installed, and not declared.
    Unmanaged,
    /// An upgrade leaves it as it is.
    Ready,
    /// Something has to be done with it before an upgrade.
    NeedsSteps,
    /// An upgrade fails for it.
    Blocked,
}

impl ExtensionState {
    /// As an event has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "InSync",
            Self::Repaired => "Repaired",
            Self::Drifted => "Drifted",
            Self::Outdated => "Outdated",
            Self::Failed => "Failed",
            Self::Absent => "Absent",
            Self::Unmanaged => "Unmanaged",
            Self::Ready => "Ready",
            Self::NeedsSteps => "NeedsSteps",
            Self::Blocked => "Blocked",
        }
    }
}

/// One message of the results topic.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all events are results, and few exist at a time"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Type")]
pub enum Event {
    /// Which servers the targets are.
    ResyncTargets(TargetsPage),
    /// How it stands with a database.
    ResyncResult(DatabaseResult),
    /// A server is finished.
    ResyncServer(ServerEnd),
}

impl Event {
    /// The re-sync that it belongs to.
    pub(crate) fn resync_id(&self) -> &str {
        match self {
            Self::ResyncTargets(page) => &page.resync_id,
            Self::ResyncResult(result) => &result.resync_id,
            Self::ResyncServer(end) => &end.resync_id,
        }
    }
}

/// The field by which a follower has SNS filter.
pub(crate) const RESYNC_ID: &str = "ResyncId";

/// Some of the servers of a re-sync. A second expansion of the same targets publishes the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetsPage {
    /// The re-sync.
    pub(crate) resync_id: String,
    /// What it does.
    pub(crate) mode: Mode,
    /// From 0 on.
    pub(crate) page: u32,
    /// Whether it is the last one.
    pub(crate) last: bool,
    /// The keys of the servers.
    pub(crate) servers: Vec<String>,
}

/// How it stands with one database; or with a server or target that could not be worked on, which has no `Database`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DatabaseResult {
    /// The re-sync.
    pub(crate) resync_id: String,
    /// What it does.
    pub(crate) mode: Mode,
    /// The server's key.
    pub(crate) key: String,
    /// How it stands.
    pub(crate) state: State,
    /// The secret or instance, as it was given.
    pub(crate) target: String,
    /// Host and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<String>,
    /// PostgreSQL's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_version: Option<String>,
    /// PostgreSQL's when a worker last wrote in the database, where that was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_version_before: Option<String>,
    /// Its extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extensions: Vec<ExtensionResult>,
    /// The statements that were carried out, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<String>,
    /// What an upgrade would meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<Finding>,
    /// What the findings about extensions stand on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) basis: Option<Basis>,
    /// Why it is not as declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// When it was found so.
    pub(crate) at: DateTime<Utc>,
    /// How long that took.
    pub(crate) milliseconds: u64,
}

/// How it stands with an extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExtensionResult {
    /// Its name.
    pub(crate) name: String,
    /// How it stands.
    pub(crate) state: ExtensionState,
    /// The installed version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) installed: Option<String>,
    /// The version that the server would install.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    /// The declared version, in the words of the declaration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) declared: Option<String>,
    /// Where its objects are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
    /// Who declares it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) owners: Vec<String>,
    /// Whether PostgreSQL's next major version cannot be gone to with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) blocks_major_upgrade: bool,
    /// What was done to it, or would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<String>,
}

/// A server is finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServerEnd {
    /// The re-sync.
    pub(crate) resync_id: String,
    /// What it does.
    pub(crate) mode: Mode,
    /// The server's key.
    pub(crate) key: String,
    /// How many distinct results it has.
    pub(crate) results: usize,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_as_it_is_written() {
        for written in [
            json!({"Type": "ResyncTargets", "ResyncId": "r", "Mode": "Report", "Page": 0, "Last": true, "Servers": ["k"]}),
            json!({"Type": "ResyncServer", "ResyncId": "r", "Mode": "Repair", "Key": "k", "Results": 2}),
            json!({
                "Type": "ResyncResult", "ResyncId": "r", "Mode": "Repair", "Key": "k", "State": "Repaired",
                "Target": "prod/orders", "Server": "h:5432", "Database": "orders", "ServerVersion": "15.4",
                "ServerVersionBefore": "14.9",
                "Extensions": [{
                    "Name": "postgis", "State": "Repaired", "Installed": "3.4.0", "Default": "3.4.0",
                    "Declared": "3.4.*", "Schema": "public", "Owners": ["stack/a"], "BlocksMajorUpgrade": true,
                    "Change": "update 3.3.2 -> 3.4.0",
                }],
                "Changes": ["ALTER EXTENSION postgis UPDATE"], "Reason": "why",
                "At": "2026-11-22T10:00:03Z", "Milliseconds": 41,
            }),
        ] {
            let event: Event = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(&event).unwrap(), written);
        }
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let written = json!({
            "Type": "ResyncResult", "ResyncId": "r", "Mode": "Report", "Key": "k", "State": "Failed", "Target": "t",
            "At": "2026-11-22T10:00:03Z", "Milliseconds": 0,
        });
        let event: Event = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), written);
    }
}
