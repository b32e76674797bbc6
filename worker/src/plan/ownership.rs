//! Ownership of extensions after a transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::{Intent, Step, order};
use crate::extension::{DeletionBehavior, Ensure, Observed};
use crate::ledger::{Ledger, Managed, Origin, Owner, Role};

/// Computes the owners of every extension after a transaction that applied `steps` and left `after`.
pub fn update_ownership(
    intent: &Intent<'_>,
    steps: &[Step],
    before: &Observed,
    after: &Observed,
    ledger: &Ledger,
) -> BTreeMap<String, Managed> {
    let is_new = |name: &str| !before.installed.contains_key(name);
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
    // Extensions that a step created, with those of CASCADE; not those that another session created meanwhile.
    let stepped: BTreeSet<&str> = steps
        .iter()
        .filter(|step| matches!(step, Step::Create { .. } | Step::Recreate { .. }))
        .map(Step::extension)
        .collect();
    let created: BTreeSet<&str> = order::needed_by(&stepped, after)
        .into_iter()
        .filter(|name| is_new(name))
        .collect();

    let mut managed = ledger.managed.clone();
    for entry in managed.values_mut() {
        entry
            .owners
            .retain(|owner| owner.resource != *intent.resource);
    }
    for name in after.installed.keys().map(String::as_str) {
        let role = if declared.contains(name) {
            Role::Declared
        } else if created.contains(name) || needed.contains(name) && managed.contains_key(name) {
            Role::Dependency
        } else {
            continue;
        };
        let entry = managed.entry(name.to_owned()).or_insert(Managed {
            origin: Origin::Adopted,
            owners: Vec::new(),
        });
        if created.contains(name) {
            entry.origin = Origin::Created;
        }
        entry.owners.push(Owner {
            resource: intent.resource.clone(),
            role,
        });
        entry.owners.sort();
    }
    let was_ours: BTreeSet<&str> = ledger
        .owned_by(intent.resource)
        .map(|(name, _)| name)
        .collect();
    managed.retain(|name, entry| {
        // An extension without an owner is recorded only while a later request may drop it.
        let retained = was_ours.contains(name.as_str())
            && intent.deletion_behavior == DeletionBehavior::Retain;
        !entry.owners.is_empty()
            || entry.origin == Origin::Created && after.installed.contains_key(name) && !retained
    });
    managed
}
