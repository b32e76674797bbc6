//! The contents of the ledger of one database, and its contents after a reconciliation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Progress;
use crate::request::RequestHeader;

/// Replaces the ARN of a stack for a baseline.
const BASELINE: &str = "baseline";
/// Replaces the ARN of a stack and the logical id for re-syncs.
pub(super) const RESYNC: &str = "resync";

/// A resource of a stack, or a baseline. Its requests are carried out one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The stack's ARN.
    pub(crate) stack_id: String,
    /// The logical id: the resource's name in the template.
    pub(crate) logical_resource_id: String,
}

impl ResourceKey {
    /// The baseline of this name.
    pub(crate) fn baseline(name: &str) -> Self {
        Self {
            stack_id: BASELINE.to_owned(),
            logical_resource_id: name.to_owned(),
        }
    }

    /// The key of the rows of re-syncs.
    pub(crate) fn resync() -> Self {
        Self {
            stack_id: RESYNC.to_owned(),
            logical_resource_id: RESYNC.to_owned(),
        }
    }

    /// The resource of a request.
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
    /// When it was published: an older request never overrides a newer one.
    pub(crate) published_at: chrono::DateTime<chrono::Utc>,
}

/// The rows of a database's ledger that concern one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// The resource of the request, if the ledger has it.
    pub(crate) resource: Option<ResourceRecord>,
    /// This request, if it has a result.
    pub(crate) request: Option<RequestRecord>,
    /// Every extension that a resource owns or that this worker created, by name.
    pub(crate) managed: BTreeMap<String, Managed>,
}

/// The whole ledger of one database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct WholeLedger {
    /// The resources that exist.
    pub(crate) resources: Vec<LiveResource>,
    /// Every extension that a resource owns or that this worker created, by name, with all its owners.
    pub(crate) managed: BTreeMap<String, Managed>,
    /// The earlier result of this re-sync in this database, if it changed something.
    pub(crate) resync: Option<serde_json::Value>,
    /// PostgreSQL's version when the ledger was last written, if it is recorded.
    #[serde(default)]
    pub(crate) server_version: Option<String>,
    /// The stages that this re-sync committed before its last transaction, if that has not run yet.
    #[serde(default)]
    pub(crate) progress: Option<Progress>,
}

/// A resource that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveResource {
    /// The resource.
    #[serde(flatten)]
    pub(crate) key: ResourceKey,
    /// Its properties as the stack wrote them.
    pub(crate) declared: serde_json::Value,
}

/// The ledger's rows about a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    /// The result of the request in this database; `None` if it was not carried out here.
    pub(crate) outcome: Option<serde_json::Value>,
    /// The response, in the one database that records it.
    pub(crate) response: Option<String>,
    /// The stages that were committed before the last transaction, if that has not run yet.
    #[serde(default)]
    pub(crate) progress: Option<Progress>,
}

/// The ledger's row about a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceRecord {
    /// The physical id in the last response.
    pub(crate) physical_resource_id: String,
    /// Whether the resource exists.
    pub(crate) state: ResourceState,
    /// `Create`, `Update` or `Delete`: the type of the last request that was carried out.
    pub(crate) request_type: String,
    /// When that request was published.
    pub(crate) requested_at: chrono::DateTime<chrono::Utc>,
}

/// Whether a resource exists. A deleted one is remembered, so that a Create that arrives after the Delete changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResourceState {
    /// It exists.
    Live,
    /// It was deleted.
    Deleted,
}

/// An extension that resources own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// Whether the worker created it.
    pub(crate) origin: Origin,
    /// The resources that own it: the request's own, and at most one other; none if the last owner left it in place.
    pub(crate) owners: Vec<Owner>,
}

/// How an extension came into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Created by this worker, which may drop it.
    Created,
    /// Adopted: it was installed before, and is never dropped.
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
    /// The resource declares it.
    Declared,
    /// `CASCADE` created it with an extension that the resource declares.
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

    /// The extensions that other resources own.
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

    /// Another resource that owns the extension.
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
