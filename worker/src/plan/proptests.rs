//! Laws of the planner, over random servers, ledgers and declarations; a small model of PostgreSQL applies the steps.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::extension::{
    AvailableVersion, Catalog, ExtensionName, InstalledExtension, OnNoUpdatePath, UpdatePath,
    Version, VersionRequest,
};
use crate::ledger::Origin;

/// Each may require those before it: there is no cycle.
const NAMES: [&str; 4] = ["e0", "e1", "e2", "e3"];
const SCHEMAS: [&str; 2] = ["public", "other"];

fn version(number: usize) -> Version {
    Version::parse(&format!("1.{number}")).unwrap()
}

fn resource(number: usize) -> ResourceKey {
    ResourceKey {
        stack_id: format!("stack/s{number}/1"),
        logical_resource_id: "Extensions".to_owned(),
    }
}

/// Of one extension: its default version, up to which it can be installed; which updates exist; what it requires.
type Offer = (usize, [bool; 6], [bool; 3]);

fn catalog(offers: &[Offer]) -> Catalog {
    let mut catalog = Catalog::default();
    for (index, (name, (default, updates, required))) in NAMES.into_iter().zip(offers).enumerate() {
        catalog.extensions.push(AvailableExtension {
            name: ExtensionName::parse(name).unwrap(),
            default_version: Some(version(*default)),
        });
        let requires: Vec<String> = NAMES
            .into_iter()
            .zip(required)
            .take(index)
            .filter(|(_, required)| **required)
            .map(|(name, _)| name.to_owned())
            .collect();
        let pairs = [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)];
        let mut there = [[false; 3]; 3];
        for ((source, target), _) in pairs.into_iter().zip(updates).filter(|(_, there)| **there) {
            there[source][target] = true;
        }
        for (source, target) in pairs {
            // PostgreSQL goes through others.
            let through = 3 - source - target;
            if there[source][target] || there[source][through] && there[through][target] {
                catalog.paths.push(UpdatePath {
                    name: name.to_owned(),
                    source: version(source),
                    target: version(target),
                });
            }
        }
        for number in 0..3 {
            // There is a script up to the default version; to others an update from one of these may lead.
            let updated = (0..=*default)
                .any(|source| catalog.has_path(name, &version(source), &version(number)));
            if number <= *default || updated {
                catalog.versions.push(AvailableVersion {
                    name: name.to_owned(),
                    version: version(number),
                    schema: None,
                    requires: Some(requires.clone()),
                });
            }
        }
    }
    catalog
}

fn requires(observed: &Observed, name: &str) -> Vec<String> {
    observed
        .catalog
        .versions_of(name)
        .next()
        .and_then(|row| row.requires.clone())
        .unwrap_or_default()
}

fn install(observed: &mut Observed, name: &str, at: Version, schema: SchemaName) {
    let required = requires(observed, name);
    for other in &required {
        if !observed.installed.contains_key(other) {
            let offer = observed
                .catalog
                .extensions
                .iter()
                .find(|offer| offer.name.as_str() == other);
            let default = offer
                .and_then(|offer| offer.default_version.clone())
                .unwrap();
            install(observed, other, default, schema.clone());
        }
    }
    let installed = InstalledExtension {
        version: at,
        schema,
        relocatable: true,
        requires: required,
    };
    observed.installed.insert(name.to_owned(), installed);
}

/// What PostgreSQL would make of the steps; none where it refuses.
fn apply(steps: &[Step], observed: &Observed) -> Option<Observed> {
    let mut after = observed.clone();
    for step in steps {
        match step {
            Step::CreateSchema(schema) => after.schemas.push(schema.clone()),
            Step::Create {
                name,
                version,
                schema,
                ..
            } => {
                assert!(
                    !after.installed.contains_key(name.as_str()),
                    "{name} is created twice"
                );
                install(
                    &mut after,
                    name.as_str(),
                    version.clone().unwrap(),
                    schema.clone().unwrap(),
                );
            }
            Step::Update { name, from, to } => {
                assert!(
                    after.catalog.has_path(name.as_str(), from, to),
                    "{name} has no path from {from} to {to}"
                );
                after.installed.get_mut(name.as_str()).unwrap().version = to.clone();
            }
            Step::Recreate {
                name,
                from,
                to,
                schema,
                ..
            } => {
                assert!(
                    !after.catalog.has_path(name.as_str(), from, to),
                    "{name} has a path from {from} to {to}"
                );
                let mut others = after.installed.values();
                if others.any(|other| other.requires.iter().any(|required| name.means(required))) {
                    return None;
                }
                after.installed.remove(name.as_str());
                install(
                    &mut after,
                    name.as_str(),
                    to.clone(),
                    schema.clone().unwrap(),
                );
            }
            Step::Package { .. } => unreachable!("no plan has it"),
            Step::SetSchema { name, to, .. } => {
                after.installed.get_mut(name.as_str()).unwrap().schema = to.clone()
            }
            Step::Drop { name, mode, .. } => {
                let in_use = after
                    .installed
                    .values()
                    .any(|other| other.requires.contains(name));
                match mode {
                    DropMode::IfUnused if in_use => {}
                    DropMode::Restrict if in_use => return None,
                    DropMode::IfUnused | DropMode::Restrict | DropMode::Cascade => {
                        let mut gone = vec![name.clone()];
                        while let Some(name) = gone.pop() {
                            after.installed.remove(&name);
                            gone.extend(
                                after
                                    .installed
                                    .iter()
                                    .filter(|(_, other)| other.requires.contains(&name))
                                    .map(|(name, _)| name.clone()),
                            );
                        }
                    }
                }
            }
        }
    }
    Some(after)
}

fn declarations() -> impl Strategy<Value = Vec<Declaration>> {
    let asked = prop_oneof![
        Just(VersionRequest::Unset),
        Just(VersionRequest::Default),
        (0..3_usize).prop_map(|number| VersionRequest::Exact(version(number))),
        Just(VersionRequest::parse("1.*").unwrap()),
    ];
    let one = (asked, proptest::option::of(0..2_usize), any::<[bool; 4]>());
    vec(proptest::option::of(one), NAMES.len()).prop_map(|declared| {
        let some = NAMES
            .into_iter()
            .zip(declared)
            .filter_map(|(name, declared)| Some((name, declared?)));
        some.map(
            |(name, (version, schema, [create_schema, cascade, allow_downgrade, absent]))| {
                Declaration {
                    name: ExtensionName::parse(&name.to_uppercase()).unwrap(),
                    version,
                    schema: schema.map(|index| SchemaName::parse(SCHEMAS[index]).unwrap()),
                    create_schema,
                    cascade,
                    allow_downgrade,
                    on_no_update_path: if allow_downgrade == create_schema {
                        OnNoUpdatePath::Recreate
                    } else {
                        OnNoUpdatePath::Fail
                    },
                    before: if cascade {
                        VersionRequest::Unset
                    } else {
                        VersionRequest::Default
                    },
                    ensure: if absent && create_schema {
                        Ensure::Absent
                    } else {
                        Ensure::Present
                    },
                }
            },
        )
        .collect()
    })
}

fn behaviour() -> impl Strategy<Value = DeletionBehavior> {
    prop_oneof![
        Just(DeletionBehavior::DropUnused),
        Just(DeletionBehavior::Retain),
        Just(DeletionBehavior::Drop),
        Just(DeletionBehavior::DropCascade),
    ]
}

prop_compose! {
    fn observed()(
        offers in vec((0..3_usize, any::<[bool; 6]>(), any::<[bool; 3]>()), NAMES.len()),
        installed in vec(proptest::option::of(0..3_usize), NAMES.len()),
    ) -> Observed {
        let mut observed = Observed {
            server_version: "15.18".to_owned(),
            role: "app".to_owned(),
            in_recovery: false,
            catalog: catalog(&offers),
            installed: BTreeMap::new(),
            schemas: vec![SchemaName::public()],
            allowed_extensions: None,
            preloaded: None,
            cron_database: None,
            database: "app".to_owned(),
            ledger_version: Some(1),
        };
        for (name, number) in NAMES.into_iter().zip(installed) {
            if let Some(number) = number {
                install(&mut observed, name, version(number), SchemaName::public());
            }
        }
        observed
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// One resource after the other asks for something, on one database with one ledger.
    #[test]
    fn a_plan_converges_in_one_step_and_takes_nothing_that_is_not_its_own(
        start in observed(),
        requests in vec((0..3_usize, declarations(), behaviour()), 1..6),
    ) {
        let mut observed = start.clone();
        let mut ledger = Ledger::default();
        let policy = Policy::unrestricted();
        for (number, declarations, deletion_behavior) in requests {
            let key = resource(number);
            let intent = Intent { resource: &key, declarations: &declarations, deletion_behavior, policy: &policy };
            let Ok(plan) = plan(&intent, &observed, &ledger) else { continue };
            let Some(after) = apply(&plan.steps, &observed) else { continue };
            let managed = update_ownership(&intent, &plan.steps, &observed, &after, &ledger);

            let absent = |name: &str| {
                declarations.iter().any(|declaration| declaration.name.means(name) && declaration.ensure == Ensure::Absent)
            };
            for step in &plan.steps {
                if let Step::Drop { name, .. } = step
                    && !absent(name)
                {
                    let entry = ledger.managed.get(name).expect("what is dropped is managed");
                    prop_assert_eq!(entry.origin, Origin::Created, "{} was there before", name);
                    prop_assert!(entry.owners.iter().all(|owner| owner.resource == key), "{} has other owners", name);
                }
                if let Step::Recreate { name, from, to, .. } = step {
                    let declaration = declarations.iter().find(|declaration| declaration.name.means(name.as_str())).unwrap();
                    prop_assert_eq!(declaration.on_no_update_path, OnNoUpdatePath::Recreate);
                    let back = declaration.before == VersionRequest::Default;
                    prop_assert!(to.as_str() > from.as_str() || declaration.allow_downgrade || back);
                }
                if let Step::Update { name, from, to } = step {
                    let declaration = declarations.iter().find(|declaration| declaration.name.means(name.as_str())).unwrap();
                    let down = to.as_str() < from.as_str() && observed.catalog.has_path(name.as_str(), to, from);
                    let offer = observed.catalog.resolve(&declaration.name).unwrap();
                    let back = declaration.before == VersionRequest::Default && offer.default_version.as_ref() == Some(from);
                    prop_assert!(!down || declaration.allow_downgrade || back, "{} goes from {} to {} unasked", name, from, to);
                }
            }
            // What others own is never taken, not even with CASCADE.
            for name in ledger.owned_by_others(&key) {
                let is_there = after.installed.contains_key(name);
                prop_assert!(is_there || !observed.installed.contains_key(name), "{} is another's", name);
            }

            ledger.managed = managed;
            observed = after;
            let again = super::plan(&intent, &observed, &ledger).expect("what was met can be met again");
            prop_assert_eq!(&again.steps, &Vec::<Step>::new());
        }
    }
}
