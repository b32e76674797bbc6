//! The version to which an extension is created or updated. Versions are ordered by the update paths between them, never
//! only by their text.

use std::cmp::Ordering;

use super::PlanError;
use crate::extension::{
    AvailableExtension, Catalog, Declaration, OnNoUpdatePath, Version, VersionRequest,
};

/// The version for `CREATE EXTENSION`.
pub(super) fn to_create(
    declaration: &Declaration,
    offer: &AvailableExtension,
    catalog: &Catalog,
) -> Result<Version, PlanError> {
    let installable: Vec<&Version> = catalog
        .versions_of(offer.name.as_str())
        .map(|row| &row.version)
        .collect();
    let found = match &declaration.version {
        VersionRequest::Unset | VersionRequest::Default => offer.default_version.as_ref(),
        VersionRequest::Exact(version) => Some(version),
        VersionRequest::Matching(pattern) => {
            let matching = installable
                .iter()
                .copied()
                .filter(|version| pattern.matches(version));
            highest(matching, offer, catalog)
        }
    };
    match found {
        Some(version) if catalog.presumes_versions || installable.contains(&version) => {
            Ok(version.clone())
        }
        _ => Err(no_such_version(declaration, offer, None, catalog)),
    }
}

/// How an installed extension gets to another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// By an update path.
    Update(Version),
    /// Without one: it is dropped, and created in this version.
    Recreate(Version),
}

/// The version for an installed extension, and how it gets there; `None` if it stays.
pub(super) fn to_go_to(
    declaration: &Declaration,
    offer: &AvailableExtension,
    installed: &Version,
    catalog: &Catalog,
) -> Result<Option<Way>, PlanError> {
    let plan_error = match to_update_to(declaration, offer, installed, catalog) {
        Ok(target) => return Ok(target.map(Way::Update)),
        Err(plan_error) => plan_error,
    };
    let is_without_path = matches!(
        plan_error,
        PlanError::NoPath { .. } | PlanError::NoSuchVersion { .. }
    );
    if declaration.on_no_update_path == OnNoUpdatePath::Fail || !is_without_path {
        return Err(plan_error);
    }
    let Ok(target) = to_create(declaration, offer, catalog) else {
        return Err(plan_error);
    };
    let may_go_down = declaration.allow_downgrade || was_declared(declaration, offer, installed);
    if !may_go_down && compare_naturally(target.as_str(), installed.as_str()) == Ordering::Less {
        return Err(PlanError::Downgrade {
            name: declaration.name.clone(),
            installed: installed.clone(),
            asked: target,
        });
    }
    Ok(Some(Way::Recreate(target)))
}

/// The version to which an installed extension is updated; `None` if it stays.
fn to_update_to(
    declaration: &Declaration,
    offer: &AvailableExtension,
    installed: &Version,
    catalog: &Catalog,
) -> Result<Option<Version>, PlanError> {
    let name = offer.name.as_str();
    let target = match &declaration.version {
        VersionRequest::Unset => return Ok(None),
        VersionRequest::Default => match &offer.default_version {
            Some(default) => default,
            None => return Ok(None),
        },
        VersionRequest::Exact(version) => version,
        VersionRequest::Matching(pattern) => {
            let reachable = catalog
                .targets(name, installed)
                .chain(std::iter::once(installed))
                .filter(|version| pattern.matches(version));
            highest(reachable, offer, catalog)
                .ok_or_else(|| no_such_version(declaration, offer, Some(installed), catalog))?
        }
    };
    if target == installed {
        return Ok(None);
    }
    // Without an exact version the installed one is accepted: it is not reverted because an older package's control file
    // names a lower one, or because the only update path leads down.
    let fits = match &declaration.version {
        VersionRequest::Unset | VersionRequest::Default => true,
        VersionRequest::Exact(_) => false,
        VersionRequest::Matching(pattern) => pattern.matches(installed),
    };
    let is_lower = is_downgrade(installed, target, name, catalog)
        || compare_naturally(target.as_str(), installed.as_str()) == Ordering::Less;
    if fits && is_lower && !declaration.allow_downgrade {
        return Ok(None);
    }
    if !catalog.has_path(name, installed, target) {
        return Err(unreachable(declaration, offer, installed, target, catalog));
    }
    let may_go_down = declaration.allow_downgrade || was_declared(declaration, offer, installed);
    if !may_go_down && is_downgrade(installed, target, name, catalog) {
        return Err(PlanError::Downgrade {
            name: declaration.name.clone(),
            installed: installed.clone(),
            asked: target.clone(),
        });
    }
    Ok(Some(target.clone()))
}

/// Whether the installed version is the one that the resource declared before this Update, so that the way back is
/// requested. A version to which another session updated is not reverted unless declared.
fn was_declared(
    declaration: &Declaration,
    offer: &AvailableExtension,
    installed: &Version,
) -> bool {
    match &declaration.before {
        VersionRequest::Unset => false,
        VersionRequest::Default => offer.default_version.as_ref() == Some(installed),
        VersionRequest::Exact(before) => before == installed,
        VersionRequest::Matching(pattern) => pattern.matches(installed),
    }
}

/// No path leads to the version, which may exist nevertheless.
fn unreachable(
    declaration: &Declaration,
    offer: &AvailableExtension,
    installed: &Version,
    target: &Version,
    catalog: &Catalog,
) -> PlanError {
    let name = offer.name.as_str();
    let is_known = catalog.versions_of(name).any(|row| row.version == *target)
        || catalog
            .paths
            .iter()
            .any(|path| path.name == name && path.target == *target);
    if !is_known {
        return no_such_version(declaration, offer, Some(installed), catalog);
    }
    PlanError::NoPath {
        name: declaration.name.clone(),
        installed: installed.clone(),
        asked: target.clone(),
        reachable: catalog.targets(name, installed).cloned().collect(),
        can_create: catalog.versions_of(name).any(|row| row.version == *target)
            && compare_naturally(target.as_str(), installed.as_str()) == Ordering::Greater,
    }
}

/// The versions that can be reached: for an installed extension by a path, for a new one by a script.
fn no_such_version(
    declaration: &Declaration,
    offer: &AvailableExtension,
    installed: Option<&Version>,
    catalog: &Catalog,
) -> PlanError {
    let name = offer.name.as_str();
    let mut available: Vec<Version> = match installed {
        Some(installed) => std::iter::once(installed)
            .chain(catalog.targets(name, installed))
            .cloned()
            .collect(),
        None => catalog
            .versions_of(name)
            .map(|row| row.version.clone())
            .collect(),
    };
    available.sort_by(|left, right| compare_naturally(left.as_str(), right.as_str()));
    PlanError::NoSuchVersion {
        name: declaration.name.clone(),
        asked: declaration.version.clone(),
        default: offer.default_version.clone(),
        available,
    }
}

/// The highest version: one from which no path leads up to another. Of several, the server's default, so that a pattern
/// does not select a development version (`3.3.2next`) instead of the release.
fn highest<'a>(
    versions: impl Iterator<Item = &'a Version>,
    offer: &AvailableExtension,
    catalog: &Catalog,
) -> Option<&'a Version> {
    let name = offer.name.as_str();
    let versions: Vec<&Version> = versions.collect();
    let is_below = |version: &Version| {
        versions
            .iter()
            .any(|other| by_paths(version, other, name, catalog) == Some(Ordering::Less))
    };
    let is_default = |version: &Version| offer.default_version.as_ref() == Some(version);
    versions
        .iter()
        .copied()
        .filter(|version| !is_below(version))
        .max_by(|left, right| {
            let defaults = is_default(left).cmp(&is_default(right));
            defaults.then_with(|| compare_naturally(left.as_str(), right.as_str()))
        })
}

fn is_downgrade(installed: &Version, target: &Version, name: &str, catalog: &Catalog) -> bool {
    compare(target, installed, name, catalog) == Ordering::Less
}

/// The update paths decide; without one, the numbers in the versions, for lack of better information.
fn compare(left: &Version, right: &Version, name: &str, catalog: &Catalog) -> Ordering {
    by_paths(left, right, name, catalog)
        .unwrap_or_else(|| compare_naturally(left.as_str(), right.as_str()))
}

/// A version is below another if there is a path up and none down.
fn by_paths(left: &Version, right: &Version, name: &str, catalog: &Catalog) -> Option<Ordering> {
    match (
        catalog.has_path(name, left, right),
        catalog.has_path(name, right, left),
    ) {
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (true, true) | (false, false) => None,
    }
}

/// Compares runs of digits as numbers and everything else as text: `1.9` is below `1.10`.
pub(crate) fn compare_naturally(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (segments(left), segments(right));
    loop {
        return match (left.next(), right.next()) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => {
                let ordering = match (one.parse::<u64>(), other.parse::<u64>()) {
                    (Ok(one), Ok(other)) => one.cmp(&other),
                    _ => one.cmp(other),
                };
                if ordering.is_eq() {
                    continue;
                }
                ordering
            }
        };
    }
}

/// Splits a text between digits and other characters.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first_is_digit = rest.chars().next()?.is_ascii_digit();
        let end = rest
            .find(|c: char| c.is_ascii_digit() != first_is_digit)
            .unwrap_or(rest.len());
        let (segment, behind) = rest.split_at(end);
        rest = behind;
        Some(segment)
    })
}
