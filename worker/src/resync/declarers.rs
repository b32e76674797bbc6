//! The declarations for one database, and whether the database is obviously as declared. Pure.

use super::assessment::Findings;
use super::task::Baseline;
use crate::extension::Declaration;
use crate::ledger::LiveResource;
use crate::plan::Declarer;
use crate::request::Properties;
use crate::response::reason;

/// The declarations of the ledger's resources, and the baseline, which replaces an earlier one of its name.
pub(super) fn declarers(
    resources: &[LiveResource],
    baseline: Option<&Baseline>,
    findings: &mut Findings,
) -> Vec<Declarer> {
    let mut declarers = Vec::new();
    for resource in resources {
        if baseline.is_some_and(|baseline| baseline.declarer.key == resource.key) {
            continue;
        }
        match Properties::parse(&resource.declared) {
            Ok(properties) => declarers.push(Declarer {
                key: resource.key.clone(),
                declarations: properties.declarations,
            }),
            Err(fault) => {
                let reason = reason::resync::of_unreadable_declaration(&resource.key, &fault);
                findings.add_fault("", reason);
            }
        }
    }
    declarers.extend(baseline.map(|baseline| baseline.declarer.clone()));
    declarers
}

/// All declarations.
pub(super) fn declarations(declarers: &[Declarer]) -> Vec<Declaration> {
    let all = declarers.iter().flat_map(|declarer| &declarer.declarations);
    all.cloned().collect()
}
