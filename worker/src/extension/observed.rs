//! What one database has, as the queries of [`crate::postgres`] return it, and what its server offers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ExtensionName, SchemaName, Version};

/// One look at one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// `server_version`, without the packager's addition: `15.18`.
    pub(crate) server_version: String,
    /// The role that the worker is connected as.
    pub(crate) role: String,
    /// Whether the server is a replica and takes no changes.
    pub(crate) in_recovery: bool,
    /// What the server offers.
    pub(crate) catalog: Catalog,
    /// What is installed, by name.
    pub(crate) installed: BTreeMap<String, InstalledExtension>,
    /// Schemas of the database, those alone that a declaration names.
    pub(crate) schemas: Vec<SchemaName>,
    /// `rds.allowed_extensions`, where the server has that setting.
    pub(crate) allowed_extensions: Option<String>,
    /// `shared_preload_libraries`, where the role may read it.
    pub(crate) preloaded: Option<String>,
    /// `cron.database_name`, where the server has that setting.
    pub(crate) cron_database: Option<String>,
    /// The database.
    pub(crate) database: String,
    /// The version of the ledger, where there is one; 0 where its schema is empty.
    pub(crate) ledger_version: Option<u32>,
}

/// `pg_extension`, one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstalledExtension {
    /// The installed version.
    pub(crate) version: Version,
    /// The schema of its objects.
    pub(crate) schema: SchemaName,
    /// Whether `SET SCHEMA` can move it.
    pub(crate) relocatable: bool,
    /// The installed extensions that it requires.
    pub(crate) requires: Vec<String>,
}

/// What a server can install.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Catalog {
    /// `pg_available_extensions`, of the extensions that a declaration names; all of them where one of these is not
    /// installed.
    pub(crate) extensions: Vec<AvailableExtension>,
    /// `pg_available_extension_versions`, of the extensions that a declaration names and those that they require; read
    /// only where one that is declared is not installed.
    pub(crate) versions: Vec<AvailableVersion>,
    /// Whether `versions` was not read: each version that is asked for is presumed to exist, to require nothing that is
    /// missing, and to leave the schema open. PostgreSQL refuses to create it where that is wrong.
    #[serde(default)]
    pub(crate) presumes_versions: bool,
    /// `pg_extension_update_paths`, of the extensions that a declaration names: pairs that have a path; read only where
    /// one is not in the version that it should be in.
    pub(crate) paths: Vec<UpdatePath>,
}

/// `pg_available_extensions`, one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AvailableExtension {
    /// The name of the control file.
    pub(crate) name: ExtensionName,
    /// The version that the control file names; a control file may name none.
    pub(crate) default_version: Option<Version>,
}

/// `pg_available_extension_versions`, one row: a version that `CREATE EXTENSION` can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AvailableVersion {
    /// The extension.
    pub(crate) name: String,
    /// The version.
    pub(crate) version: Version,
    /// The schema that the control file fixes.
    pub(crate) schema: Option<SchemaName>,
    /// What it requires.
    #[serde(default)]
    pub(crate) requires: Option<Vec<String>>,
}

/// An update that `ALTER EXTENSION … UPDATE TO` can make, in one step or more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpdatePath {
    /// The extension.
    pub(crate) name: String,
    /// From this version.
    pub(crate) source: Version,
    /// To this one.
    pub(crate) target: Version,
}

impl Catalog {
    /// The extension that a name means: the one written just so, else the one that differs in letter case alone.
    pub(crate) fn resolve(&self, name: &ExtensionName) -> Option<&AvailableExtension> {
        self.extensions
            .iter()
            .find(|extension| extension.name == *name)
            .or_else(|| {
                self.extensions
                    .iter()
                    .find(|extension| name.means(extension.name.as_str()))
            })
    }

    /// The versions of an extension that `CREATE EXTENSION` can reach.
    pub(crate) fn versions_of<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a AvailableVersion> {
        self.versions
            .iter()
            .filter(move |version| version.name == name)
    }

    /// Whether an update from one version to the other exists.
    pub(crate) fn has_path(&self, name: &str, source: &Version, target: &Version) -> bool {
        self.paths
            .iter()
            .any(|path| path.name == name && path.source == *source && path.target == *target)
    }

    /// The versions that an update from this one can go to.
    pub(crate) fn targets<'a>(
        &'a self,
        name: &'a str,
        source: &'a Version,
    ) -> impl Iterator<Item = &'a Version> {
        self.paths
            .iter()
            .filter(move |path| path.name == name && path.source == *source)
            .map(|path| &path.target)
    }
}
