//! The result of one transaction, for the response and the log. Pure.

use std::collections::BTreeMap;

use super::transaction::Reconciliation;
use crate::extension::{Ensure, Observed};
use crate::plan::{DatabaseOutcome, Retained, Step, follow_ups};
use crate::response::reason;

/// The extensions before and after. The caller adds the changes.
pub(super) fn outcome(
    reconciliation: &Reconciliation<'_>,
    before: &Observed,
    after: &Observed,
) -> DatabaseOutcome {
    let declared = reconciliation
        .declarations()
        .iter()
        .filter(|declaration| declaration.ensure == Ensure::Present)
        .filter_map(|declaration| {
            let (_, installed) = after
                .installed
                .iter()
                .find(|(name, _)| declaration.name.means(name))?;
            Some((declaration.name.to_string(), installed.version.to_string()))
        })
        .collect();
    DatabaseOutcome {
        before: all_versions(before),
        after: all_versions(after),
        declared,
        changes: Vec::new(),
        notes: Vec::new(),
    }
}

/// The installed extensions with their versions.
pub(super) fn all_versions(observed: &Observed) -> BTreeMap<String, String> {
    observed
        .installed
        .iter()
        .map(|(name, installed)| (name.clone(), installed.version.to_string()))
        .collect()
}

/// Notes beside the changes.
pub(super) fn notes<'a>(
    retained: impl IntoIterator<Item = &'a Retained>,
    warnings: Vec<String>,
    changed: &[Step],
    observed: &Observed,
) -> Vec<String> {
    let retained = retained.into_iter().map(reason::of_retained);
    let follow_ups = follow_ups(changed, observed);
    let follow_ups = follow_ups.iter().map(reason::of_follow_up);
    retained.chain(warnings).chain(follow_ups).collect()
}

/// The installed extensions with their versions, for the log.
pub(super) fn versions(observed: &Observed) -> String {
    let all: Vec<String> = observed
        .installed
        .iter()
        .map(|(name, installed)| format!("{name} {}", installed.version))
        .collect();
    all.join(", ")
}
