//! The order of extensions by their requirements, for creations, updates and drops.

use std::collections::BTreeSet;

use crate::extension::{AvailableExtension, Declaration, Observed, Version};

/// Sorts declared extensions so that each comes after those that it requires; otherwise they keep their order.
pub(super) fn by_requirements(
    present: &mut Vec<(&Declaration, AvailableExtension)>,
    observed: &Observed,
) {
    let mut waiting = std::mem::take(present);
    while !waiting.is_empty() {
        let next = waiting
            .iter()
            .position(|(_, candidate)| {
                let required = needed_by(&BTreeSet::from([candidate.name.as_str()]), observed);
                !waiting.iter().any(|(_, other)| {
                    other.name != candidate.name && required.contains(other.name.as_str())
                })
            })
            // A cycle: PostgreSQL reports it when the first of it is created.
            .unwrap_or(0);
        present.push(waiting.remove(next));
    }
}

/// The extensions, and all that they require directly or indirectly.
pub(super) fn needed_by<'a>(
    wanted: &BTreeSet<&'a str>,
    observed: &'a Observed,
) -> BTreeSet<&'a str> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<&str> = wanted.iter().copied().collect();
    while let Some(name) = open.pop() {
        if needed.insert(name) {
            open.extend(requirements(name, observed));
        }
    }
    needed
}

/// Installed extensions with their versions, each before those that it requires.
pub(super) fn dependents_first(
    names: &BTreeSet<&str>,
    observed: &Observed,
) -> Vec<(String, Version)> {
    let mut waiting: Vec<&str> = names.iter().copied().collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let next = waiting
            .iter()
            .position(|candidate| {
                !waiting.iter().any(|other| {
                    other != candidate && requirements(other, observed).contains(candidate)
                })
            })
            .unwrap_or(0);
        let name = waiting.remove(next);
        if let Some(installed) = observed.installed.get(name) {
            ordered.push((name.to_owned(), installed.version.clone()));
        }
    }
    ordered
}

/// The requirements of an extension: of the installed one, otherwise in any version that the server offers.
fn requirements<'a>(name: &'a str, observed: &'a Observed) -> BTreeSet<&'a str> {
    match observed.installed.get(name) {
        Some(installed) => installed.requires.iter().map(String::as_str).collect(),
        None => observed
            .catalog
            .versions_of(name)
            .filter_map(|row| row.requires.as_ref())
            .flatten()
            .map(String::as_str)
            .collect(),
    }
}
