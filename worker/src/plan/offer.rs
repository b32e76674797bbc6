//! The parts of a server's offer that a plan needs: none if everything is as declared.

use std::collections::BTreeSet;

use super::{Plan, Step};
use crate::extension::{Declaration, Ensure, Observed, OnNoUpdatePath, VersionRequest};

/// Parts of what a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OfferParts {
    /// The extensions, each with its default version.
    pub(crate) extensions: bool,
    /// The versions that can be created.
    pub(crate) versions: bool,
    /// The update paths of these extensions.
    pub(crate) paths: BTreeSet<String>,
}

impl OfferParts {
    /// Whether there are no parts.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All parts about the declarations.
    pub(crate) fn all_of(declarations: &[Declaration], observed: &Observed) -> Self {
        let is_declared = |name: &&String| {
            declarations
                .iter()
                .any(|declaration| declaration.name.means(name))
        };
        Self {
            extensions: true,
            versions: true,
            paths: observed
                .installed
                .keys()
                .filter(is_declared)
                .cloned()
                .chain(new_by_pattern(declarations, observed))
                .collect(),
        }
    }

    /// The parts that are not in `known`.
    #[must_use]
    pub(crate) fn beyond(self, known: &Self) -> Self {
        Self {
            extensions: self.extensions && !known.extensions,
            versions: self.versions && !known.versions,
            paths: &self.paths - &known.paths,
        }
    }

    /// Adds other parts.
    pub(crate) fn add(&mut self, others: &Self) {
        self.extensions |= others.extensions;
        self.versions |= others.versions;
        self.paths.extend(others.paths.iter().cloned());
    }
}

/// The parts that a plan of the declarations needs. Once the extensions are known there may be more.
///
/// `presumes` is whether the version of an extension that is to be created is presumed to exist
/// (`Catalog::presumes_versions`), unless it is declared as a pattern.
pub(crate) fn offer_parts(
    declarations: &[Declaration],
    observed: &Observed,
    presumes: bool,
) -> OfferParts {
    let mut parts = OfferParts::default();
    for declaration in declarations {
        if declaration.ensure == Ensure::Absent {
            continue;
        }
        let exact = observed.installed.get_key_value(declaration.name.as_str());
        let similar = || {
            let mut installed = observed.installed.iter();
            installed.find(|(name, _)| declaration.name.means(name))
        };
        // The server may offer an extension with exactly this name.
        parts.extensions |= exact.is_none();
        let Some((name, installed)) = exact.or_else(similar) else {
            parts.versions |=
                !presumes || matches!(declaration.version, VersionRequest::Matching(_));
            continue;
        };
        let goes_elsewhere = match &declaration.version {
            VersionRequest::Unset => false,
            VersionRequest::Exact(version) => *version != installed.version,
            VersionRequest::Default => {
                parts.extensions = true;
                let offer = observed.catalog.resolve(&declaration.name);
                let default = offer.and_then(|offer| offer.default_version.as_ref());
                default.is_some_and(|default| *default != installed.version)
            }
            VersionRequest::Matching(_) => {
                parts.extensions = true;
                parts.paths.insert(name.clone());
                parts.versions |= declaration.on_no_update_path == OnNoUpdatePath::Recreate;
                false
            }
        };
        if goes_elsewhere {
            parts.extensions = true;
            parts.versions = true;
            parts.paths.insert(name.clone());
        }
    }
    parts.paths.extend(new_by_pattern(declarations, observed));
    parts
}

/// The names, as the server has them, of offered extensions that are not installed and whose version is chosen by a pattern:
/// the update paths decide which of two versions is the higher one.
fn new_by_pattern(
    declarations: &[Declaration],
    observed: &Observed,
) -> impl Iterator<Item = String> {
    let chosen = declarations.iter().filter(|declaration| {
        declaration.ensure == Ensure::Present
            && matches!(declaration.version, VersionRequest::Matching(_))
    });
    chosen
        .filter_map(|declaration| observed.catalog.resolve(&declaration.name))
        .map(|offer| offer.name.as_str())
        .filter(|name| !observed.installed.contains_key(*name))
        .map(str::to_owned)
}

/// The parts that the updates of a plan need: the versions have the requirements of their scripts.
pub(crate) fn offer_parts_of(plan: &Plan) -> OfferParts {
    OfferParts {
        versions: plan
            .steps
            .iter()
            .any(|step| matches!(step, Step::Update { .. } | Step::Recreate { .. })),
        ..OfferParts::default()
    }
}

/// The parts that are needed whatever is installed, so that they can be read together with the rest.
pub(crate) fn offer_parts_of_newest(declarations: &[Declaration]) -> OfferParts {
    let chosen = declarations.iter().filter(|declaration| {
        declaration.ensure == Ensure::Present
            && matches!(declaration.version, VersionRequest::Matching(_))
    });
    OfferParts {
        extensions: asks_for_newest(declarations),
        versions: false,
        paths: chosen
            .map(|declaration| declaration.name.as_str().to_owned())
            .collect(),
    }
}

/// Whether a declaration needs the newest version that the server offers at the time of the request.
pub(crate) fn asks_for_newest(declarations: &[Declaration]) -> bool {
    declarations.iter().any(|declaration| {
        declaration.ensure == Ensure::Present
            && matches!(
                declaration.version,
                VersionRequest::Default | VersionRequest::Matching(_)
            )
    })
}
