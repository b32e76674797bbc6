//! The schemas whose objects an extension's script will see, and the extensions whose objects it will use.

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

/// The schemas and extensions whose objects the scripts of some steps see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ScriptScope {
    /// The schemas that PostgreSQL puts on the `search_path`: the extension's own, those of the extensions that it requires,
    /// and of those that CASCADE creates. Empty if no script runs and nothing is moved.
    pub(crate) schemas: BTreeSet<SchemaName>,
    /// The extensions whose names the scripts use: their own, and those that they require.
    pub(crate) extensions: BTreeSet<String>,
    /// The installed ones among these, whose present objects the scripts use.
    pub(crate) used: BTreeSet<String>,
}

impl ScriptScope {
    /// Adds the schemas and extensions of a step.
    ///
    /// If the versions are presumed, all installed extensions stand for the required ones.
    pub(crate) fn add(&mut self, step: &Step, observed: &Observed) {
        let name = step.extension();
        match step {
            Step::Create { schema, .. } | Step::Recreate { schema, .. } => {
                let mut extensions = self.walk(name, schema.as_ref(), observed);
                self.extensions.extend(extensions.iter().cloned());
                // The session's role owns the objects that it creates.
                extensions.remove(name);
                self.use_installed(extensions, observed);
            }
            Step::Update { .. } | Step::Package { .. } => {
                let extensions = self.walk(name, None, observed);
                self.extensions.extend(extensions.iter().cloned());
                self.use_installed(extensions, observed);
            }
            Step::SetSchema { to, .. } => {
                self.schemas.insert(to.clone());
                self.walk(name, None, observed);
                self.extensions.insert(name.to_owned());
            }
            Step::CreateSchema(_) | Step::Drop { .. } => {}
        }
    }

    /// Every script sees pg_catalog, in which a less privileged role cannot create objects.
    fn use_installed(&mut self, extensions: BTreeSet<String>, observed: &Observed) {
        let used = extensions.into_iter().filter(|name| {
            let installed = observed.installed.get(name);
            installed.is_some_and(|installed| installed.schema.as_str() != PG_CATALOG)
        });
        self.used.extend(used);
    }

    /// Adds the schemas, and returns the extensions. `asked` is the schema of the statement, which CASCADE passes on.
    fn walk(
        &mut self,
        name: &str,
        asked: Option<&SchemaName>,
        observed: &Observed,
    ) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(installed) = observed.installed.get(&name) {
                self.schemas.insert(installed.schema.clone());
                open.extend(installed.requires.iter().cloned());
            }
            let mut fixed = false;
            for row in observed.catalog.versions_of(&name) {
                open.extend(row.requires.iter().flatten().cloned());
                fixed |= row.schema.is_some();
                self.schemas.extend(row.schema.clone());
            }
            if !fixed && !observed.installed.contains_key(&name) {
                self.schemas.extend(asked.cloned());
                // Its requirements are unknown; they are installed if PostgreSQL creates it.
                if observed.catalog.presumes_versions {
                    let others = observed.installed.iter();
                    let others = others.filter(|(_, other)| other.schema.as_str() != PG_CATALOG);
                    open.extend(others.map(|(name, _)| name.clone()));
                }
            }
        }
        seen
    }
}

const PG_CATALOG: &str = "pg_catalog";

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

    fn scope(step: &Step, observed: &Observed) -> ScriptScope {
        let mut scope = ScriptScope::default();
        scope.add(step, observed);
        scope
    }

    fn seen(step: &Step, observed: &Observed) -> String {
        let schemas = scope(step, observed).schemas;
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

        let used = |step: &Step| {
            let scope = scope(step, &with);
            [scope.extensions, scope.used].map(|names| Vec::from_iter(names).join(" "))
        };
        let of_topology = used(&create("topology", None, false));
        assert_eq!(of_topology, ["plain postgis topology", "plain postgis"]);
        assert_eq!(used(&update), ["plain postgis", "plain postgis"]);
        assert_eq!(used(&moved), ["plain", ""]);
    }
}
