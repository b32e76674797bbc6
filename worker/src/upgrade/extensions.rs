//! Findings about the extensions of a database.

use std::cmp::Ordering;

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::facts::{DatabaseFacts, ExtensionFacts, OldUpdates};
use super::known::{self, Known};
use super::stranded::{NO_PATH, stranded};
use super::{Upgrade, finding};
use crate::plan::compare_naturally;
use crate::resync_protocol::Severity::{Blocks, Note, StepAfter, StepBefore};
use crate::resync_protocol::{Finding, OfferedExtension};

/// PostGIS and the extensions of its family, which must have the same version.
/// Source: "Managing spatial data with the PostGIS extension" of the RDS User Guide, and `postgis_extensions_upgrade()`.
const POSTGIS: [&str; 7] = [
    "postgis",
    "postgis_raster",
    "postgis_sfcgal",
    "postgis_tiger_geocoder",
    "postgis_topology",
    "address_standardizer",
    "address_standardizer_data_us",
];

/// The extensions for which the versions have to be read to which the old server can update them: the target offers them,
/// and no update path leads from the installed version to an offered one.
pub(crate) fn wants_updates<'a>(facts: &'a DatabaseFacts, upgrade: &Upgrade) -> Vec<&'a str> {
    let extensions = facts.extensions.iter();
    let stranded = extensions.filter(|extension| is_stranded(extension, upgrade));
    stranded.map(|extension| extension.name.as_str()).collect()
}

/// Whether the target offers the extension, but no update path leads there from the installed version.
pub(super) fn is_stranded(extension: &ExtensionFacts, upgrade: &Upgrade) -> bool {
    let offer = upgrade.offer.as_ref().filter(|_| upgrade.is_one());
    let offered = offer.and_then(|offer| offer.extensions.get(&extension.name));
    offered.is_some_and(|offered| !leads_on(offered, &extension.version))
}

/// Whether the declarations of the database's resources have to be read: no update path leads to the target from an
/// extension's version, nor from another version of the old server.
pub(crate) fn wants_declarations(
    facts: &DatabaseFacts,
    upgrade: &Upgrade,
    updates: &OldUpdates,
) -> bool {
    let found = findings(facts, upgrade, updates);
    found.iter().any(|one| one.code == NO_PATH)
}

/// Whether the target does not offer the extension.
pub(super) fn is_not_offered(extension: &ExtensionFacts, upgrade: &Upgrade) -> bool {
    let name = &extension.name;
    match &upgrade.offer {
        Some(offer) => !offer.extensions.contains_key(name),
        None => known::of(name, upgrade).is_some_and(|row| row.default.is_none()),
    }
}

pub(super) fn findings(
    facts: &DatabaseFacts,
    upgrade: &Upgrade,
    updates: &OldUpdates,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for extension in &facts.extensions {
        if let Some(rule) = known::must_be_dropped(&extension.name, upgrade) {
            findings.push(to_be_dropped(extension, &rule));
            continue;
        }
        let of = match &upgrade.offer {
            None => by_table(extension, upgrade),
            Some(offer) => match offer.extensions.get(&extension.name) {
                Some(offered) => offered_there(extension, offered, upgrade, (facts, updates)),
                None => Some(not_offered(extension, upgrade, &upgrade.source)),
            },
        };
        findings.extend(of);
    }
    findings.extend(postgis(facts, upgrade));
    findings
}

/// Whether the target has this version, or can update it.
pub(super) fn leads_on(offered: &OfferedExtension, version: &str) -> bool {
    offered.versions.contains(version) || offered.updates.contains_key(version)
}

fn offered_there(
    extension: &ExtensionFacts,
    offered: &OfferedExtension,
    upgrade: &Upgrade,
    known: (&DatabaseFacts, &OldUpdates),
) -> Option<Finding> {
    let ExtensionFacts { name, version, .. } = extension;
    let default = offered.default.as_deref();
    if !leads_on(offered, version) {
        return Some(stranded(extension, offered, upgrade, known));
    }
    if default == Some(version) {
        return None;
    }
    let target = offered.updates.get(version)?;
    Some(update_after(name, version, target, default == Some(target)))
}

fn update_after(name: &str, version: &str, target: &str, is_default: bool) -> Finding {
    let reason = format!(
        "the upgrade leaves the extension at {version}: the target updates it to {target}."
    );
    let mut remedy = format!("ALTER EXTENSION {} UPDATE", escape_identifier(name));
    if !is_default {
        remedy.push_str(&format!(" TO {}", escape_literal(target)));
    }
    finding(StepAfter, "UpdateAfter", name, reason, Some(remedy))
}

fn not_offered(extension: &ExtensionFacts, upgrade: &Upgrade, source: &str) -> Finding {
    let remedy = format!("DROP EXTENSION {}", escape_identifier(&extension.name));
    let (severity, reason) = if !extension.libraries.is_empty() {
        let reason = format!(
            "version {} of PostgreSQL does not offer it ({source}): the upgrade fails where its library is missing.",
            upgrade.to
        );
        (Blocks, reason)
    } else {
        let reason = format!(
            "version {} of PostgreSQL does not offer it ({source}): its objects come along, and cannot be updated or restored.",
            upgrade.to
        );
        (StepBefore, reason)
    };
    finding(
        severity,
        "NotOffered",
        &extension.name,
        reason,
        Some(remedy),
    )
}

fn to_be_dropped(extension: &ExtensionFacts, rule: &Known) -> Finding {
    let reason = format!(
        "it must be dropped before the upgrade, and can be created again afterwards where the target offers it ({}).",
        rule.source
    );
    let remedy = format!("DROP EXTENSION {}", escape_identifier(&extension.name));
    finding(Blocks, "DropBefore", &extension.name, reason, Some(remedy))
}

/// Findings without the target's own offer.
fn by_table(extension: &ExtensionFacts, upgrade: &Upgrade) -> Option<Finding> {
    let ExtensionFacts { name, version, .. } = extension;
    let Some(row) = known::of(name, upgrade) else {
        let reason = format!(
            "whether version {} of PostgreSQL offers it is not known: name a server that has that version (--like).",
            upgrade.to
        );
        return Some(finding(Note, "NotKnown", name, reason, None));
    };
    let Some(default) = &row.default else {
        return Some(not_offered(extension, upgrade, &row.source));
    };
    match compare_naturally(version, default) {
        Ordering::Equal => None,
        Ordering::Less => Some(update_after(name, version, default, true)),
        Ordering::Greater => {
            let reason = format!(
                "version {version} is newer than {default}, which the target installs ({}): whether there is a path is not \
                 known. Name a server that has that version (--like).",
                row.source
            );
            Some(finding(StepBefore, "NewerThanTarget", name, reason, None))
        }
    }
}

/// The extensions of PostGIS must have the same version, and RDS does not upgrade a server while they are older than its
/// own version of them.
fn postgis(facts: &DatabaseFacts, upgrade: &Upgrade) -> Vec<Finding> {
    let of_family = |extension: &&ExtensionFacts| POSTGIS.contains(&extension.name.as_str());
    let family: Vec<&ExtensionFacts> = facts.extensions.iter().filter(of_family).collect();
    let main = family.iter().find(|extension| extension.name == "postgis");
    let mut findings = Vec::new();
    for extension in &family {
        let ExtensionFacts { name, version, .. } = extension;
        let default = upgrade
            .defaults
            .as_ref()
            .and_then(|defaults| defaults.get(name));
        let is_older =
            default.is_some_and(|default| compare_naturally(version, default) == Ordering::Less);
        let is_mixed = main.is_some_and(|main| main.version != *version);
        let (code, reason) = match (default, main) {
            (Some(default), _) if is_older => (
                "PostgisTooOld",
                format!(
                    "version {version} is older than {default}, which version {} of PostgreSQL offers: PostGIS and its \
                     extensions are updated before the upgrade.",
                    upgrade.from
                ),
            ),
            (_, Some(main)) if is_mixed => (
                "PostgisMixed",
                format!(
                    "it has version {version}, and postgis has {}: PostGIS and its extensions must have one version.",
                    main.version
                ),
            ),
            _ => continue,
        };
        let severity = if upgrade.is_rds { Blocks } else { StepBefore };
        let mut remedy = format!("ALTER EXTENSION {} UPDATE", escape_identifier(name));
        if let Some(main) = main.filter(|_| !is_older) {
            remedy.push_str(&format!(" TO {}", escape_literal(&main.version)));
        }
        findings.push(finding(severity, code, name, reason, Some(remedy)));
    }
    findings
}
