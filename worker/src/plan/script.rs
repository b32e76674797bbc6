//! The schemas whose objects an extension's script will see.

use std::collections::BTreeSet;

use clap::ValueEnum;

use super::Step;
use crate::extension::{Observed, SchemaName};

/// What happens to a step whose script would see objects of less privileged roles under names that PostgreSQL or the
/// extension uses, `WORKER_SCHEMA_CHECK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SchemaCheck {
    /// The request fails, and the Reason names the objects.
    #[default]
    Refuse,
    /// The step runs, and `Changes` names the objects.
    Warn,
}

/// The schemas that PostgreSQL puts on the `search_path` of a step's scripts: the extension's own, those of the extensions
/// that it requires, and of those that CASCADE creates. Empty if no script runs and nothing is moved.
///
/// If the versions are presumed, the schemas of all installed extensions stand for those of the required ones.
pub(crate) fn script_schemas(step: &Step, observed: &Observed) -> BTreeSet<SchemaName> {
    let mut schemas = BTreeSet::new();
    match step {
        Step::Create { name, schema, .. } | Step::Recreate { name, schema, .. } => {
            add(name.as_str(), schema.as_ref(), observed, &mut schemas);
        }
        Step::Update { name, .. } | Step::Package { name, .. } => {
            add(name.as_str(), None, observed, &mut schemas)
        }
        Step::SetSchema { name, to, .. } => {
            schemas.insert(to.clone());
            add(name.as_str(), None, observed, &mut schemas);
        }
        Step::CreateSchema(_) | Step::Drop { .. } => {}
    }
    schemas
}

/// `asked` is the schema of the statement, which CASCADE passes on.
fn add(
    name: &str,
    asked: Option<&SchemaName>,
    observed: &Observed,
    schemas: &mut BTreeSet<SchemaName>,
) {
    let mut seen = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if let Some(installed) = observed.installed.get(&name) {
            schemas.insert(installed.schema.clone());
            open.extend(installed.requires.iter().cloned());
        }
        let mut fixed = false;
        for row in observed.catalog.versions_of(&name) {
            open.extend(row.requires.iter().flatten().cloned());
            fixed |= row.schema.is_some();
            schemas.extend(row.schema.clone());
        }
        if !fixed && !observed.installed.contains_key(&name) {
            schemas.extend(asked.cloned());
            // Its requirements are unknown; they are installed if PostgreSQL creates it.
            if observed.catalog.presumes_versions {
                let installed = observed.installed.values();
                let schemas_of_all = installed.map(|installed| &installed.schema);
                // Every script sees pg_catalog, which belongs to PostgreSQL.
                let others = schemas_of_all.filter(|schema| schema.as_str() != "pg_catalog");
                schemas.extend(others.cloned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::{AvailableVersion, Catalog, ExtensionName, InstalledExtension, Version};

    fn schema(name: &str) -> SchemaName {
        SchemaName::parse(name).unwrap()
    }

    fn offer(name: &str, fixed: Option<&str>, requires: &[&str]) -> AvailableVersion {
        AvailableVersion {
            name: name.to_owned(),
            version: Version::parse("1").unwrap(),
            schema: fixed.map(schema),
            requires: Some(requires.iter().map(|&name| name.to_owned()).collect()),
        }
    }

    fn observed(versions: Vec<AvailableVersion>, installed: &[(&str, &str, &[&str])]) -> Observed {
        Observed {
            catalog: Catalog {
                versions,
                ..Catalog::default()
            },
            installed: installed
                .iter()
                .map(|(name, place, requires)| {
                    let installed = InstalledExtension {
                        version: Version::parse("1").unwrap(),
                        schema: schema(place),
                        relocatable: true,
                        requires: requires.iter().map(|&name| name.to_owned()).collect(),
                    };
                    ((*name).to_owned(), installed)
                })
                .collect(),
            ..super::super::tests::server("")
        }
    }

    fn seen(step: &Step, observed: &Observed) -> String {
        let schemas = script_schemas(step, observed);
        let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
        names.join(" ")
    }

    #[test]
    fn a_script_sees_its_own_schema_and_those_of_what_it_requires() {
        let create = |name: &str, to: Option<&str>, cascade| Step::Create {
            name: ExtensionName::parse(name).unwrap(),
            version: Some(Version::parse("1").unwrap()),
            schema: to.map(schema),
            cascade,
        };
        let offers = vec![
            offer("topology", Some("topology"), &["postgis"]),
            offer("postgis", None, &["plain"]),
        ];
        let nothing = observed(offers.clone(), &[]);
        assert_eq!(
            seen(&create("topology", Some("geo"), true), &nothing),
            "geo topology"
        );
        let with = observed(
            offers,
            &[("postgis", "gis", &["plain"]), ("plain", "deep", &[])],
        );
        assert_eq!(
            seen(&create("topology", None, false), &with),
            "deep gis topology"
        );
        let update = Step::Update {
            name: ExtensionName::parse("postgis").unwrap(),
            from: Version::parse("1").unwrap(),
            to: Version::parse("2").unwrap(),
        };
        assert_eq!(seen(&update, &with), "deep gis");
        let moved = Step::SetSchema {
            name: ExtensionName::parse("plain").unwrap(),
            from: schema("deep"),
            to: schema("other"),
        };
        assert_eq!(seen(&moved, &with), "deep other");
    }
}
