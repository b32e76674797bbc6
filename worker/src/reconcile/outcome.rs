//! What one transaction came to, as the response and the log say it. Pure.

use super::transaction::Reconciliation;
use crate::extension::{Ensure, Observed};
use crate::plan::{DatabaseOutcome, Retained};
use crate::response::reason;

/// What was there before and is there now. The caller adds what was done.
pub(super) fn outcome(
    reconciliation: &Reconciliation<'_>,
    before: &Observed,
    after: &Observed,
) -> DatabaseOutcome {
    let all = |observed: &Observed| {
        observed
            .installed
            .iter()
            .map(|(name, installed)| (name.clone(), installed.version.to_string()))
            .collect()
    };
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
        before: all(before),
        after: all(after),
        declared,
        changes: Vec::new(),
        notes: Vec::new(),
    }
}

/// What is to be known beside the changes.
pub(super) fn notes<'a>(
    retained: impl IntoIterator<Item = &'a Retained>,
    warnings: Vec<String>,
) -> Vec<String> {
    let retained = retained.into_iter().map(reason::of_retained);
    retained.chain(warnings).collect()
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
