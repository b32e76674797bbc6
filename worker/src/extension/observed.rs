//! The state of a database, in the form of the queries of [`crate::postgres`], and the offer of its server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ExtensionName, SchemaName, Version};

/// The observation of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// `server_version`, without the packager's addition: `15.18`.
    pub(crate) server_version: String,
    /// The role that the worker is connected as.
    pub(crate) role: String,
    /// Whether the server is a replica, which is read-only.
    pub(crate) in_recovery: bool,
    /// The server's offer.
    pub(crate) catalog: Catalog,
    /// The installed extensions, by name.
    pub(crate) installed: BTreeMap<String, InstalledExtension>,
    /// Schemas of the database that a declaration names.
    pub(crate) schemas: Vec<SchemaName>,
    /// `rds.allowed_extensions`, if the server has this setting.
    pub(crate) allowed_extensions: Option<String>,
    /// `shared_preload_libraries`, if the role may read it.
    pub(crate) preloaded: Option<String>,
    /// `cron.database_name`, if the server has this setting.
    pub(crate) cron_database: Option<String>,
    /// The database.
    pub(crate) database: String,
    /// The version of the ledger, if there is one; 0 if its schema is empty.
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

/// The extensions that a server can install.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Catalog {
    /// `pg_available_extensions`, of the extensions that a declaration names; all of them where one of these is not
    /// installed.
    pub(crate) extensions: Vec<AvailableExtension>,
    /// `pg_available_extension_versions`, of the extensions that a declaration names and those that they require; read
    /// only where one that is declared is not installed.
    pub(crate) versions: Vec<AvailableVersion>,
    /// Whether `versions` was not read: each declared version is presumed to exist, to have no missing requirements, and to
    /// allow any schema. PostgreSQL refuses to create the extension if this is wrong.
    #[serde(default)]
    pub(crate) presumes_versions: bool,
    /// `pg_extension_update_paths`, of the extensions that a declaration names: pairs with a path; read only if one of them
    /// does not have its declared version.
    pub(crate) paths: Vec<UpdatePath>,
}

/// `pg_available_extensions`, one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AvailableExtension {
    /// The name of the control file.
    pub(crate) name: ExtensionName,
    /// The version in the control file, which may name none.
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
    /// The extensions that it requires.
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
    /// The extension of a name: the one with exactly this name, otherwise the one that differs only in letter case.
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

    /// The versions to which an update from this one leads.
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
