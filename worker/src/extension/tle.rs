//! The extensions of pg_tle, which are functions in its schema instead of files, and which PostgreSQL's own lists leave
//! out.
//!
//! `x.control()` returns a control file, and `x--1.0.sql()` and `x--1.0--1.1.sql()` scripts. Their source is read as text
//! from the catalog, and they are never called: a role that may register an extension with pg_tle may replace them.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    AvailableExtension, AvailableVersion, Catalog, ExtensionName, SchemaName, UpdatePath, Version,
};

/// A function in pg_tle's schema.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct TleFunction {
    /// The function's name.
    pub(crate) name: String,
    /// Its source, if it returns a control file.
    #[serde(default)]
    pub(crate) body: Option<String>,
}

impl Catalog {
    /// Adds pg_tle's extensions, unless the server offers one of the same name.
    pub(crate) fn add_tle(&mut self, functions: &[TleFunction]) {
        for function in functions {
            let name = function.name.strip_suffix(".control");
            let Some(name) = name.and_then(|name| ExtensionName::parse(name).ok()) else {
                continue;
            };
            if self.extensions.iter().any(|offer| offer.name == name) {
                continue;
            }
            let body = function.body.as_deref().unwrap_or_default();
            self.add_one(name, body, functions);
        }
    }

    fn add_one(&mut self, name: ExtensionName, control: &str, functions: &[TleFunction]) {
        let scripts: Vec<&str> = functions
            .iter()
            .filter_map(|function| function.name.strip_suffix(".sql"))
            .filter_map(|script| script.strip_prefix(name.as_str())?.strip_prefix("--"))
            .collect();
        let updates: BTreeSet<(Version, Version)> = scripts
            .iter()
            .filter_map(|script| script.split_once("--"))
            .filter_map(|(source, target)| {
                Some((Version::parse(source).ok()?, Version::parse(target).ok()?))
            })
            .collect();
        let paths = closure(&updates);
        let scripted: BTreeSet<Version> = scripts
            .iter()
            .filter_map(|script| Version::parse(script).ok())
            .collect();
        let reached = paths
            .iter()
            .filter(|(source, _)| scripted.contains(source))
            .map(|(_, target)| target.clone());
        let versions: BTreeSet<Version> = scripted.iter().cloned().chain(reached).collect();
        let schema = setting(control, "schema").and_then(|schema| SchemaName::parse(&schema).ok());
        let requires = setting(control, "requires").map(|list| {
            let names = list.split(',').map(|name| name.trim().to_owned());
            names.filter(|name| !name.is_empty()).collect()
        });
        self.versions.retain(|row| row.name != name.as_str());
        self.versions
            .extend(versions.into_iter().map(|version| AvailableVersion {
                name: name.as_str().to_owned(),
                version,
                schema: schema.clone(),
                requires: requires.clone(),
            }));
        self.paths
            .extend(paths.into_iter().map(|(source, target)| UpdatePath {
                name: name.as_str().to_owned(),
                source,
                target,
            }));
        self.extensions.push(AvailableExtension {
            name,
            default_version: setting(control, "default_version")
                .and_then(|version| Version::parse(&version).ok()),
        });
    }
}

/// All pairs of versions with an update path.
fn closure(updates: &BTreeSet<(Version, Version)>) -> BTreeSet<(Version, Version)> {
    let mut paths = updates.clone();
    loop {
        let longer: Vec<(Version, Version)> = paths
            .iter()
            .flat_map(|(source, through)| {
                updates
                    .iter()
                    .filter(move |(from, to)| from == through && to != source)
                    .map(move |(_, to)| (source.clone(), to.clone()))
            })
            .filter(|path| !paths.contains(path))
            .collect();
        if longer.is_empty() {
            return paths;
        }
        paths.extend(longer);
    }
}

/// A setting of a control file in a function's source, in which its quotes may be doubled.
fn setting(control: &str, name: &str) -> Option<String> {
    control.match_indices(name).find_map(|(at, _)| {
        let (before, rest) = control.split_at(at);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if before.ends_with(is_word) {
            return None;
        }
        let rest = rest.strip_prefix(name)?.trim_start().strip_prefix('=')?;
        let value = rest.trim_start().trim_start_matches('\'');
        let end = value.find(['\'', '\n', '$'])?;
        value.get(..end).map(|value| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, body: &str) -> TleFunction {
        TleFunction {
            name: name.to_owned(),
            body: (!body.is_empty()).then(|| body.to_owned()),
        }
    }

    #[test]
    fn functions_of_pg_tle_are_extensions_versions_and_paths() {
        let mut catalog = Catalog::default();
        catalog.add_tle(&[
            function(
                "shop.control",
                "SELECT $_pgtle_i_$default_version = '1.1'\ncomment = 'a version of a shop'\nrelocatable = false\n\
                 requires = 'hstore, cube'\n$_pgtle_i_$",
            ),
            function("shop--1.0.sql", ""),
            function("shop--1.0--1.1.sql", ""),
            function("shop--1.1--2.sql", ""),
            function("shop2--9.sql", ""),
            function("odd.control", "SELECT 'default_version = ''0.1'' '"),
            function("odd--0.1.sql", ""),
            function("available_extensions", ""),
        ]);
        let of = |name: &str| -> Vec<String> {
            let versions = catalog.versions_of(name);
            versions.map(|row| row.version.to_string()).collect()
        };
        assert_eq!(of("shop"), ["1.0", "1.1", "2"]);
        assert_eq!(of("odd"), ["0.1"]);
        let defaults: Vec<String> = catalog
            .extensions
            .iter()
            .map(|offer| format!("{} {}", offer.name, offer.default_version.as_ref().unwrap()))
            .collect();
        assert_eq!(defaults, ["shop 1.1", "odd 0.1"]);
        let version = |text| Version::parse(text).unwrap();
        assert!(catalog.has_path("shop", &version("1.0"), &version("2")));
        assert!(!catalog.has_path("shop", &version("2"), &version("1.0")));
        let requires = catalog.versions_of("shop").next().unwrap().requires.clone();
        assert_eq!(requires.unwrap(), ["hstore", "cube"]);
    }

    #[test]
    fn what_the_server_offers_itself_stays() {
        let mut catalog = Catalog {
            extensions: vec![AvailableExtension {
                name: ExtensionName::parse("shop").unwrap(),
                default_version: None,
            }],
            ..Catalog::default()
        };
        let before = catalog.clone();
        catalog.add_tle(&[function("shop.control", "default_version = '1'")]);
        assert_eq!(catalog, before);
    }
}
