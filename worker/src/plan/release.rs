//! Extensions that are dropped, and extensions that stay although they are no longer declared.

use std::collections::{BTreeMap, BTreeSet};

use super::{DropMode, Intent, PlanError, Warning, order};
use crate::extension::{AvailableExtension, Declaration, DeletionBehavior, Observed};
use crate::ledger::{Ledger, Origin, ResourceKey, ResourceState};

/// An extension that stays although the resource no longer declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The extension.
    pub(crate) name: String,
    /// Why it stays.
    pub(crate) because: RetainedBecause,
}

/// Why an extension stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RetainedBecause {
    /// It was installed before a resource declared it.
    Adopted,
    /// Another resource owns it too.
    OwnedBy(ResourceKey),
    /// `DeletionBehavior: Retain`.
    Retained,
    /// An extension of another resource requires it.
    RequiredElsewhere,
    /// An object depends on it: PostgreSQL's DETAIL.
    InUse(String),
}

/// `DropCascade` without the operator's permission is refused for a new resource. An existing resource may have it since
/// before the setting, and its rollbacks must not fail: it gets a warning, until an extension would be dropped
/// ([`check_drops`]).
pub(super) fn check_behavior(
    intent: &Intent<'_>,
    ledger: &Ledger,
) -> Result<Option<Warning>, PlanError> {
    let is_forbidden = intent.deletion_behavior == DeletionBehavior::DropCascade
        && !intent.policy.allow_drop_cascade
        && !intent.declarations.is_empty();
    if !is_forbidden {
        return Ok(None);
    }
    let is_known = ledger
        .resource
        .as_ref()
        .is_some_and(|resource| resource.state == ResourceState::Live);
    if is_known {
        Ok(Some(Warning::NoDropCascade))
    } else {
        Err(PlanError::NoDropCascade { extension: None })
    }
}

/// Nothing is dropped with `CASCADE` if the operator does not allow it.
pub(super) fn check_drops(
    intent: &Intent<'_>,
    drops: &BTreeMap<String, DropMode>,
) -> Result<(), PlanError> {
    let cascading = drops.iter().find(|(_, mode)| **mode == DropMode::Cascade);
    match cascading {
        Some((name, _)) if !intent.policy.allow_drop_cascade => Err(PlanError::NoDropCascade {
            extension: Some(name.clone()),
        }),
        Some(_) | None => Ok(()),
    }
}

/// `Ensure: absent`: the extension is dropped even if it was installed before, unless another resource owns it, or an
/// extension that requires it.
pub(super) fn removals(
    intent: &Intent<'_>,
    absent: &[&Declaration],
    present: &[(&Declaration, AvailableExtension)],
    observed: &Observed,
    ledger: &Ledger,
) -> Result<BTreeMap<String, DropMode>, PlanError> {
    let mode = match intent.deletion_behavior {
        DeletionBehavior::DropCascade => DropMode::Cascade,
        DeletionBehavior::DropUnused | DeletionBehavior::Drop | DeletionBehavior::Retain => {
            DropMode::Restrict
        }
    };
    let mut drops = BTreeMap::new();
    for declaration in absent {
        // CASCADE would create it again.
        let needs_it = |(_, offer): &&(&Declaration, AvailableExtension)| {
            let wanted = BTreeSet::from([offer.name.as_str()]);
            order::needed_by(&wanted, observed)
                .into_iter()
                .any(|needed| declaration.name.means(needed))
        };
        if let Some((by, _)) = present.iter().find(needs_it) {
            return Err(PlanError::AbsentButRequired {
                name: declaration.name.clone(),
                by: by.name.clone(),
            });
        }
        let Some(name) = observed
            .installed
            .keys()
            .find(|name| declaration.name.means(name))
        else {
            continue;
        };
        let requires = |other: &str| {
            order::needed_by(&BTreeSet::from([other]), observed).contains(name.as_str())
        };
        let required_elsewhere = ledger
            .owned_by_others(intent.resource)
            .into_iter()
            .find(|other| requires(other));
        let owner = required_elsewhere.and_then(|other| ledger.other_owner(other, intent.resource));
        if let Some(owner) = owner {
            return Err(PlanError::OwnedByAnother {
                name: name.clone(),
                owner: owner.clone(),
            });
        }
        drops.insert(name.clone(), mode);
    }
    Ok(drops)
}

/// The extensions that the resource owns, and that its declarations neither name nor require.
pub(super) fn release(
    intent: &Intent<'_>,
    present: &[(&Declaration, AvailableExtension)],
    observed: &Observed,
    ledger: &Ledger,
    drops: &mut BTreeMap<String, DropMode>,
    retained: &mut Vec<Retained>,
) {
    let wanted: BTreeSet<&str> = present
        .iter()
        .map(|(_, offer)| offer.name.as_str())
        .collect();
    let needed = order::needed_by(&wanted, observed);
    // CASCADE would also drop extensions of another resource that require it.
    let needed_elsewhere = order::needed_by(&ledger.owned_by_others(intent.resource), observed);
    for (name, managed) in ledger.owned_by(intent.resource) {
        if needed.contains(name)
            || drops.contains_key(name)
            || !observed.installed.contains_key(name)
        {
            continue;
        }
        let mode = match intent.deletion_behavior {
            DeletionBehavior::DropUnused => Ok(DropMode::IfUnused),
            DeletionBehavior::Drop => Ok(DropMode::Restrict),
            DeletionBehavior::DropCascade => Ok(DropMode::Cascade),
            DeletionBehavior::Retain => Err(RetainedBecause::Retained),
        };
        let mode = if let Some(other) = ledger.other_owner(name, intent.resource) {
            Err(RetainedBecause::OwnedBy(other.clone()))
        } else if managed.origin == Origin::Adopted {
            Err(RetainedBecause::Adopted)
        } else if needed_elsewhere.contains(name) {
            Err(RetainedBecause::RequiredElsewhere)
        } else {
            mode
        };
        match mode {
            Ok(mode) => {
                drops.insert(name.to_owned(), mode);
            }
            Err(because) => retained.push(Retained {
                name: name.to_owned(),
                because,
            }),
        }
    }
}
