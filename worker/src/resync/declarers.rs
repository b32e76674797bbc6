//! What is declared for one database, and whether it is plainly so. Pure.

use super::assessment::Findings;
use super::task::Baseline;
use crate::extension::{Declaration, Ensure, Observed, VersionRequest};
use crate::ledger::LiveResource;
use crate::plan::Declarer;
use crate::request::Properties;

/// What the ledger's resources declare, and the baseline in the place of an earlier one of its name.
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
                let reason = format!("{}: {fault}.", resource.key);
                findings.add_fault("", reason);
            }
        }
    }
    declarers.extend(baseline.map(|baseline| baseline.declarer.clone()));
    declarers
}

/// All that is declared.
pub(super) fn declarations(declarers: &[Declarer]) -> Vec<Declaration> {
    let all = declarers.iter().flat_map(|declarer| &declarer.declarations);
    all.cloned().collect()
}

/// Whether the first look shows that nothing is to be done for a declaration; otherwise more is read to plan by.
pub(super) fn is_met(declaration: &Declaration, observed: &Observed) -> bool {
    let installed = observed
        .installed
        .iter()
        .find(|(name, _)| declaration.name.means(name));
    let Some((_, installed)) = installed else {
        return declaration.ensure == Ensure::Absent;
    };
    let offer = observed.catalog.resolve(&declaration.name);
    let default = offer.and_then(|offer| offer.default_version.as_ref());
    let is_in_place = declaration
        .schema
        .as_ref()
        .is_none_or(|schema| *schema == installed.schema);
    is_in_place
        && match &declaration.version {
            VersionRequest::Unset => true,
            VersionRequest::Default => default == Some(&installed.version),
            VersionRequest::Exact(version) => *version == installed.version,
            VersionRequest::Matching(_) => false,
        }
}
