//! What the ledger of one database says, and what it says after a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Progress;
use crate::request::RequestHeader;

/// In the place of a stack's ARN.
const BASELINE: &str = "baseline";
/// Stands where a stack's ARN and a logical id stand, for re-syncs.
pub(super) const RESYNC: &str = "resync";

/// A resource of a stack, or a baseline. All its requests are worked off one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The stack's ARN.
    pub(crate) stack_id: String,
    /// The resource's name in the template.
    pub(crate) logical_resource_id: String,
}

impl ResourceKey {
    /// The baseline of a name.
    pub(crate) fn baseline(name: &str) -> Self {
        Self {
            stack_id: BASELINE.to_owned(),
            logical_resource_id: name.to_owned(),
        }
    }

    /// Under which the ledger has re-syncs.
    pub(crate) fn resync() -> Self {
        Self {
            stack_id: RESYNC.to_owned(),
            logical_resource_id: RESYNC.to_owned(),
        }
    }

    /// The resource that a request is for.
    pub fn of(header: &RequestHeader) -> Self {
        Self {
            stack_id: header.stack_id.arn.clone(),
            logical_resource_id: header.logical_resource_id.clone(),
        }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stack_id == BASELINE {
            return write!(formatter, "baseline {}", self.logical_resource_id);
        }
        let stack = self.stack_id.split('/').nth(1).unwrap_or(&self.stack_id);
        write!(formatter, "{} of stack {stack}", self.logical_resource_id)
    }
}

/// A request for a resource, as each of its databases records it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceRequest<'a> {
    /// The resource.
    pub(crate) resource: &'a ResourceKey,
    /// The properties as the stack wrote them.
    pub(crate) declared: &'a serde_json::Value,
    /// `Create`, `Update` or `Delete`.
    pub(crate) request_type: &'a str,
    /// CloudFormation's id of the request.
    pub(crate) request_id: &'a str,
    /// When it was published: what is older never overrules what is newer.
    pub(crate) published_at: chrono::DateTime<chrono::Utc>,
}

/// The ledger of one database, as one request sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// The resource that the request is for, if it was here before.
    pub(crate) resource: Option<ResourceRecord>,
    /// This very request, if it was decided before.
    pub(crate) request: Option<RequestRecord>,
    /// Every extension that a resource owns or that this worker created, by name.
    pub(crate) managed: BTreeMap<String, Managed>,
}

/// The ledger of one database as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct WholeLedger {
    /// The resources that are there.
    pub(crate) resources: Vec<LiveResource>,
    /// Every extension that a resource owns or that this worker created, by name, with all its owners.
    pub(crate) managed: BTreeMap<String, Managed>,
    /// What the re-sync that asks came to in this database, if it was here before and changed something.
    pub(crate) resync: Option<serde_json::Value>,
    /// PostgreSQL's version when the ledger was last written, where that is kept.
    #[serde(default)]
    pub(crate) server_version: Option<String>,
    /// What it committed before its last transaction, where it is not over.
    #[serde(default)]
    pub(crate) progress: Option<Progress>,
}

/// A resource that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveResource {
    /// The resource.
    #[serde(flatten)]
    pub(crate) key: ResourceKey,
    /// Its properties as the stack wrote them.
    pub(crate) declared: serde_json::Value,
}

/// What the ledger knows of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    /// What it came to in this database; none where it was not carried out.
    pub(crate) outcome: Option<serde_json::Value>,
    /// The answer to it, in the one database that keeps it.
    pub(crate) response: Option<String>,
    /// What was committed before the last transaction, where that is still to come.
    #[serde(default)]
    pub(crate) progress: Option<Progress>,
}

/// What the ledger knows of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceRecord {
    /// The id that its last answer gave.
    pub(crate) physical_resource_id: String,
    /// Whether it is there.
    pub(crate) state: ResourceState,
    /// `Create`, `Update` or `Delete`: the last request that was carried out.
    pub(crate) request_type: String,
    /// When that request was published.
    pub(crate) requested_at: chrono::DateTime<chrono::Utc>,
}

/// Whether a resource is there. A deleted one is remembered, so that a Create that comes late changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResourceState {
    /// It is there.
    Live,
    /// It was deleted.
    Deleted,
}

/// An extension that resources own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// How it came to be.
    pub(crate) origin: Origin,
    /// The resources that own it, of those beside the request's own one at the most; none where the last one left it
    /// behind.
    pub(crate) owners: Vec<Owner>,
}

/// How an extension came to be in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// This worker created it: it may drop it.
    Created,
    /// It was there: it is never dropped.
    Adopted,
}

/// A resource that owns an extension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The resource.
    pub(crate) resource: ResourceKey,
    /// Why it owns it.
    pub(crate) role: Role,
}

/// Why a resource owns an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// It declares it.
    Declared,
    /// `CASCADE` brought it along with one that it declares.
    Dependency,
}

impl Ledger {
    /// The extensions that a resource owns.
    pub(crate) fn owned_by<'a>(
        &'a self,
        resource: &'a ResourceKey,
    ) -> impl Iterator<Item = (&'a str, &'a Managed)> {
        self.managed
            .iter()
            .filter(|(_, managed)| {
                managed
                    .owners
                    .iter()
                    .any(|owner| owner.resource == *resource)
            })
            .map(|(name, managed)| (name.as_str(), managed))
    }

    /// The extensions that resources beside this one own.
    pub(crate) fn owned_by_others(&self, resource: &ResourceKey) -> BTreeSet<&str> {
        self.managed
            .iter()
            .filter(|(_, managed)| {
                managed
                    .owners
                    .iter()
                    .any(|owner| owner.resource != *resource)
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// A resource beside this one that owns the extension.
    pub(crate) fn other_owner(
        &self,
        extension: &str,
        resource: &ResourceKey,
    ) -> Option<&ResourceKey> {
        self.managed
            .get(extension)?
            .owners
            .iter()
            .map(|owner| &owner.resource)
            .find(|owner| *owner != resource)
    }
}
