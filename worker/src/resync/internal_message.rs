//! What workers send each other through the queue: one server of a re-sync, and where the expansion goes on. Values only.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::is_internal_message;
use super::task::ServerOfResync;
use crate::aws::rds::Marker;
use crate::request::PropertiesError;
use crate::resync_protocol::event::Mode;
use crate::resync_protocol::{RESYNC, ResyncMessage};
use crate::target::Host;

/// A message of a worker to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "Type")]
pub(super) enum InternalMessage {
    /// The next page of the targets.
    ResyncPage(Box<Page>),
    /// The databases of one server.
    ResyncWork(Box<Server>),
}

/// Where an expansion is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    /// The re-sync's message, with the targets that are left.
    pub(super) message: Value,
    /// From 0 on.
    pub(super) page: u32,
    /// Where the listing of the first of them goes on; none at its beginning.
    #[serde(default)]
    pub(super) from: Option<Cursor>,
    /// Whether that listing had any before: where no page has any, a result says so.
    #[serde(default)]
    pub(super) has_found: bool,
    /// The roles at servers, hashed, all databases of which were sent for by earlier pages.
    #[serde(default)]
    pub(super) sent: BTreeSet<u64>,
    /// How often it was sent anew, as its instance was not available.
    #[serde(default)]
    pub(super) waits: u32,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Cursor {
    /// Of secrets.
    Secrets(String),
    /// Of instances.
    Instances(Marker),
}

/// One server, and what is to be done there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Server {
    pub(super) resync_id: String,
    pub(super) mode: Mode,
    pub(super) key: String,
    /// As it was given.
    pub(super) target: String,
    pub(super) secret: String,
    #[serde(default)]
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) port: Option<u16>,
    /// All, where none are named.
    #[serde(default)]
    pub(super) databases: Vec<String>,
    #[serde(default)]
    pub(super) extensions: Option<Value>,
    #[serde(default)]
    pub(super) baseline: String,
    /// Where the upgrade goes to, as the re-sync's message has it.
    #[serde(default)]
    pub(super) upgrade: Option<Value>,
    /// How often it was sent again, as no worker had room for it.
    #[serde(default)]
    pub(super) hops: u32,
}

impl Server {
    /// Whether each field is what an expansion may have put there: read as the re-sync's own message is, which it answers with.
    pub(super) fn check(&self) -> Result<ResyncMessage, PropertiesError> {
        // Null is absent.
        let target = json!({
            "Secret": self.secret, "Databases": self.databases, "Host": self.host, "Port": self.port,
        });
        let baseline = (self.mode != Mode::UpgradeCheck).then_some(&self.baseline);
        let message = json!({
            "Type": RESYNC, "ResyncId": self.resync_id, "Mode": self.mode, "Targets": [target],
            "Extensions": self.extensions, "Baseline": baseline, "Upgrade": self.upgrade,
        });
        ResyncMessage::parse(&message)
    }

    /// What every result of it says.
    pub(super) fn of_resync(&self) -> ServerOfResync<'_> {
        ServerOfResync {
            resync_id: &self.resync_id,
            mode: self.mode,
            key: &self.key,
            target: &self.target,
        }
    }

    /// The host that replaces the secret's.
    pub(super) fn host(&self) -> Option<Host> {
        Host::parse(self.host.as_deref()?).ok()
    }
}

impl InternalMessage {
    /// Reads a message that has the `Type` of one.
    pub(super) fn read(message: &Map<String, Value>) -> Option<Result<Self, serde_json::Error>> {
        is_internal_message(message).then(|| serde_json::from_value(Value::Object(message.clone())))
    }
}
