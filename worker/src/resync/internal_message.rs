//! Messages between workers, through the queue: one server of a re-sync, or the position of an expansion. Values only.

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

/// A message between workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "Type")]
pub(super) enum InternalMessage {
    /// The next page of the targets.
    ResyncPage(Box<Page>),
    /// The databases of one server.
    ResyncWork(Box<Server>),
}

/// The position of an expansion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    /// The message of the re-sync, with the remaining targets.
    pub(super) message: Value,
    /// The number of the page, from 0.
    pub(super) page: u32,
    /// Where the listing of the first target continues; `None` at its beginning.
    #[serde(default)]
    pub(super) from: Option<Cursor>,
    /// Whether an earlier page of that listing had a server: if no page has one, a result says so.
    #[serde(default)]
    pub(super) has_found: bool,
    /// Hashes of the servers and roles all of whose databases earlier pages have sent.
    #[serde(default)]
    pub(super) sent: BTreeSet<u64>,
    /// How often it was sent again, because its instance was not available.
    #[serde(default)]
    pub(super) waits: u32,
}

/// Where a listing continues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Cursor {
    /// A listing of secrets.
    Secrets(String),
    /// A listing of instances.
    Instances(Marker),
}

/// One server, and the work on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Server {
    pub(super) resync_id: String,
    pub(super) mode: Mode,
    pub(super) key: String,
    /// The target, as the message names it.
    pub(super) target: String,
    pub(super) secret: String,
    #[serde(default)]
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) port: Option<u16>,
    /// The databases; all, if none are named.
    #[serde(default)]
    pub(super) databases: Vec<String>,
    #[serde(default)]
    pub(super) extensions: Option<Value>,
    #[serde(default)]
    pub(super) baseline: String,
    /// The target of the upgrade, in the form of the re-sync's message.
    #[serde(default)]
    pub(super) upgrade: Option<Value>,
    /// How often it was sent again, because no worker had a free permit for it.
    #[serde(default)]
    pub(super) hops: u32,
}

impl Server {
    /// Checks that each field has a value that an expansion can produce: parses it as the message of the re-sync, from
    /// which it comes.
    pub(super) fn check(&self) -> Result<ResyncMessage, PropertiesError> {
        // Null means that the field is absent.
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

    /// The fields of all its results.
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
    /// Parses a message with the `Type` of one.
    pub(super) fn read(message: &Map<String, Value>) -> Option<Result<Self, serde_json::Error>> {
        is_internal_message(message).then(|| serde_json::from_value(Value::Object(message.clone())))
    }
}
