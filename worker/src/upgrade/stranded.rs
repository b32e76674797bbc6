//! Findings about extensions without an update path from the installed version to one that the target offers.

use std::cmp::Ordering;

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::extensions::leads_on;
use super::facts::{DatabaseFacts, ExtensionFacts, OldUpdates};
use super::{Upgrade, finding};
use crate::extension::{Declaration, Ensure, OnNoUpdatePath, Version, VersionRequest};
use crate::plan::compare_naturally;
use crate::resync_protocol::Severity::{Blocks, StepAfter, StepBefore};
use crate::resync_protocol::{Finding, OfferedExtension};

/// The code of an extension without an update path.
pub(super) const NO_PATH: &str = "NoUpdatePath";

/// The finding for an installed version from which no update path leads to the target; from another version of the old
/// server one may.
pub(super) fn stranded(
    extension: &ExtensionFacts,
    offered: &OfferedExtension,
    upgrade: &Upgrade,
    (facts, updates): (&DatabaseFacts, &OldUpdates),
) -> Finding {
    let ExtensionFacts { name, version, .. } = extension;
    let identifier = escape_identifier(name);
    let candidates = updates.get(name).into_iter().flatten();
    let best = candidates
        .filter(|target| leads_on(offered, target))
        .max_by(|one, other| compare_naturally(one, other));
    let versions: Vec<&str> = offered.versions.iter().map(String::as_str).collect();
    let offers = match versions.as_slice() {
        [] => "no version of it".to_owned(),
        [.., _] => format!("version {}", versions.join(", ")),
    };
    match best {
        Some(target) => {
            let reason = format!(
                "no update path leads from version {version} to one that the target offers ({offers}); from version {target} there is one."
            );
            let remedy = format!(
                "ALTER EXTENSION {identifier} UPDATE TO {}",
                escape_literal(target)
            );
            finding(StepBefore, "UpdateBefore", name, reason, Some(remedy))
        }
        None => without_path(extension, offered, upgrade, (&facts.declared, &offers)),
    }
}

/// The finding if no update path leads to the target, neither before the upgrade nor after it.
fn without_path(
    extension: &ExtensionFacts,
    offered: &OfferedExtension,
    upgrade: &Upgrade,
    (declared, offers): (&[Declaration], &str),
) -> Finding {
    let ExtensionFacts {
        name,
        version,
        libraries,
    } = extension;
    let from = upgrade.from;
    let stays = format!(
        "no update path leads from version {version} to one that the target offers ({offers}), nor from any other version that \
         PostgreSQL {from} updates it to"
    );
    let drop = Some(format!("DROP EXTENSION {}", escape_identifier(name)));
    if let Some(library) = libraries
        .iter()
        .find(|name| is_of_old_version(name, offered))
    {
        let reason = format!(
            "{stays}; its library, {library}, is named after a version that the target does not offer, and the upgrade fails \
             where a library is missing: drop it before the upgrade, and create it again afterwards."
        );
        return finding(Blocks, NO_PATH, name, reason, drop);
    }
    // The functions are looked up in the target's library when the schema is restored, which is after `pg_upgrade --check`.
    let may_fail = if libraries.is_empty() {
        ""
    } else {
        " The upgrade fails where the target's library lacks one of its functions."
    };
    if is_recreated(extension, offered, declared) {
        let reason = format!(
            "{stays}: after the upgrade the worker drops it and creates it again, with the next request or a re-sync in the mode \
             Repair, as its declarations have OnNoUpdatePath: Recreate; it refuses where anything depends on it, or rows or \
             rights would be lost.{may_fail}"
        );
        return finding(StepAfter, "RecreateAfter", name, reason, None);
    }
    let (severity, reason) = if libraries.is_empty() {
        let reason = format!(
            "{stays}: its objects come along as they are, and cannot be updated. Drop it, and create it again afterwards, or \
             declare OnNoUpdatePath: Recreate."
        );
        (StepAfter, reason)
    } else {
        let reason = format!(
            "{stays}: functions of the old version would call the target's library. Drop it before the upgrade, and create it \
             again afterwards, or declare OnNoUpdatePath: Recreate.{may_fail}"
        );
        (StepBefore, reason)
    };
    finding(severity, NO_PATH, name, reason, drop)
}

/// Whether the file's name ends with a version, as in `timescaledb-2.9.1` and `postgis-2.5`, that the target does not
/// offer.
fn is_of_old_version(library: &str, offered: &OfferedExtension) -> bool {
    let file = library.rsplit('/').next().unwrap_or(library);
    let file = file.strip_suffix(".so").unwrap_or(file);
    let Some((_, end)) = file.rsplit_once('-') else {
        return false;
    };
    let is_version = end.starts_with(|first: char| first.is_ascii_digit());
    let is_of = |version: &String| {
        let rest = version.strip_prefix(end);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
    };
    is_version && !offered.versions.iter().any(is_of)
}

/// Whether each resource that declares the extension recreates it at the target.
fn is_recreated(
    extension: &ExtensionFacts,
    offered: &OfferedExtension,
    declared: &[Declaration],
) -> bool {
    let mut of = declared
        .iter()
        .filter(|declaration| declaration.name.means(&extension.name))
        .peekable();
    let installed = extension.version.as_str();
    of.peek().is_some()
        && of.all(|declaration| {
            let target = recreated_as(declaration, offered, installed);
            let is_allowed = |target: &str| {
                declaration.allow_downgrade
                    || compare_naturally(target, installed) != Ordering::Less
            };
            declaration.ensure == Ensure::Present
                && declaration.on_no_update_path == OnNoUpdatePath::Recreate
                && target.is_some_and(is_allowed)
        })
}

/// The version of the target that the declaration selects; `None` if it keeps the installed version.
fn recreated_as<'a>(
    declaration: &Declaration,
    offered: &'a OfferedExtension,
    installed: &str,
) -> Option<&'a str> {
    let matches = |version: &str| match &declaration.version {
        VersionRequest::Unset => false,
        VersionRequest::Default => offered.default.as_deref() == Some(version),
        VersionRequest::Exact(exact) => exact.as_str() == version,
        VersionRequest::Matching(pattern) => {
            Version::parse(version).is_ok_and(|version| pattern.matches(&version))
        }
    };
    if matches(installed) {
        return None;
    }
    let versions = offered.versions.iter().map(String::as_str);
    let of = versions.filter(|version| matches(version));
    of.max_by(|one, other| compare_naturally(one, other))
}
