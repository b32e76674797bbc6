//! What the ledger of one database says, and what it says after a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Intent, order};
use crate::extension::{DeletionBehavior, Ensure, Observed};

/// A resource of a stack. All its requests are worked off one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The stack's ARN.
    pub stack_id: String,
    /// The resource's name in the template.
    pub logical_resource_id: String,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = self.stack_id.split('/').nth(1).unwrap_or(&self.stack_id);
        write!(formatter, "{} of stack {stack}", self.logical_resource_id)
    }
}

/// The ledger of one database, as one request sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The resource that the request is for, if it was here before.
    pub resource: Option<ResourceRecord>,
    /// The outcome of this very request, if it was carried out before.
    pub outcome: Option<serde_json::Value>,
    /// Every extension that a resource owns or that this worker created, by name.
    pub managed: BTreeMap<String, Managed>,
}

/// What the ledger knows of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRecord {
    /// The id that its last answer gave.
    pub physical_resource_id: String,
    /// Whether it is there.
    pub state: ResourceState,
    /// `Create`, `Update` or `Delete`: the last request that was carried out.
    pub request_type: String,
    /// When that request was published.
    pub requested_at: chrono::DateTime<chrono::Utc>,
}

/// Whether a resource is there. A deleted one is remembered, so that a Create that comes late changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceState {
    /// It is there.
    Live,
    /// It was deleted.
    Deleted,
}

/// An extension that resources own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// How it came to be.
    pub origin: Origin,
    /// The resources that own it; none where the last one left it behind.
    pub owners: Vec<Owner>,
}

/// How an extension came to be in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// This worker created it: it may drop it.
    Created,
    /// It was there: it is never dropped.
    Adopted,
}

/// A resource that owns an extension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The resource.
    pub resource: ResourceKey,
    /// Why it owns it.
    pub role: Role,
}

/// Why a resource owns an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It declares it.
    Declared,
    /// `CASCADE` brought it along with one that it declares.
    Dependency,
}

impl Ledger {
    /// The extensions that a resource owns.
    pub fn owned_by<'a>(
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

    /// A resource beside this one that owns the extension.
    pub fn other_owner(&self, extension: &str, resource: &ResourceKey) -> Option<&ResourceKey> {
        self.managed
            .get(extension)?
            .owners
            .iter()
            .map(|owner| &owner.resource)
            .find(|owner| *owner != resource)
    }
}

/// Who owns what after a pass that found `before` and left `after`.
pub fn settle(
    intent: &Intent<'_>,
    before: &Observed,
    after: &Observed,
    ledger: &Ledger,
) -> BTreeMap<String, Managed> {
    let declared: BTreeSet<&str> = intent
        .declarations
        .iter()
        .filter(|declaration| declaration.ensure == Ensure::Present)
        .filter_map(|declaration| {
            after
                .installed
                .keys()
                .find(|name| declaration.name.means(name))
        })
        .map(String::as_str)
        .collect();
    let needed = order::needed_by(&declared, after);
    let mut managed = ledger.managed.clone();

    for (name, entry) in &mut managed {
        let role = entry
            .owners
            .iter()
            .find(|owner| owner.resource == *intent.resource)
            .map(|owner| owner.role);
        let stays_dependency = role == Some(Role::Dependency) && needed.contains(name.as_str());
        if !stays_dependency {
            entry
                .owners
                .retain(|owner| owner.resource != *intent.resource);
        }
    }
    for name in after.installed.keys() {
        let is_new = !before.installed.contains_key(name);
        let is_declared = declared.contains(name.as_str());
        if !is_declared && !is_new {
            continue;
        }
        let entry = managed.entry(name.clone()).or_insert(Managed {
            origin: Origin::Adopted,
            owners: Vec::new(),
        });
        if is_new {
            entry.origin = Origin::Created;
        }
        let role = if is_declared {
            Role::Declared
        } else {
            Role::Dependency
        };
        entry
            .owners
            .retain(|owner| owner.resource != *intent.resource);
        entry.owners.push(Owner {
            resource: intent.resource.clone(),
            role,
        });
        entry.owners.sort();
    }
    managed.retain(|name, entry| {
        let was_ours = ledger.managed.get(name).is_some_and(|entry| {
            entry
                .owners
                .iter()
                .any(|owner| owner.resource == *intent.resource)
        });
        let is_left = entry.owners.is_empty();
        // What nobody owns is remembered only as long as somebody might have to drop it later.
        let retained = was_ours && intent.deletion_behavior == DeletionBehavior::Retain;
        let forgotten = is_left
            && (retained || entry.origin == Origin::Adopted || !after.installed.contains_key(name));
        !forgotten
    });
    managed
}
