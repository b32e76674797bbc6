//! The properties of the custom resource as a template writes them. CloudFormation sends every scalar as a string.
//!
//! The doc comments are the descriptions in `docs/properties.md` and in the JSON Schema: see `reference.rs`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::property_values::{DatabaseList, EnsureText, Flag, Port, Text};
use super::{Authentication, OnUnreachableDelete};
use crate::extension::{DeletionBehavior, OnNoUpdatePath};

/// Properties of a resource of the type Custom::PostgresExtensions or Custom::ExecuteSQL.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ResourceProperties {
    /// ARN of the worker's topic in the region of the stack.
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "CloudFormation sends it, and no part of the worker reads it"
    )]
    pub(crate) service_token: Text,
    /// Seconds that CloudFormation waits for the response, 1 to 3600; the worker responds before this time is over.
    /// CloudFormation's default is 3600.
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "CloudFormation sends it, and no part of the worker reads it"
    )]
    pub(crate) service_timeout: Option<Value>,
    /// Name or ARN of a Secrets Manager secret: JSON with `username` and `password`, and with `host`, `port` and
    /// `dbname` unless DBHost, DBPort and DBName give them.
    #[serde(rename = "DBSecret")]
    pub(crate) db_secret: Text,
    /// Host name of the server; overrides the secret's.
    #[serde(rename = "DBHost", default)]
    pub(crate) db_host: Text,
    /// Port of the server; overrides the secret's. 5432 if neither gives one.
    #[serde(rename = "DBPort", default)]
    pub(crate) db_port: Port,
    /// Name of the database; overrides the secret's.
    #[serde(rename = "DBName", default)]
    pub(crate) db_name: Text,
    /// `Password`: the password in the secret. `IAM`: a token that the worker's task role signs for the secret's
    /// `username`; on RDS only.
    #[serde(default)]
    pub(crate) authentication: Authentication,
    /// Databases of the server that get the declared extensions, or `*` for all that accept connections except
    /// `template1`. Unset: the database of DBName or the secret.
    #[serde(default)]
    pub(crate) databases: DatabaseList,
    /// Extensions in the short form, `{name: version}`. PluginsMap or Extensions is required; both may be given.
    #[serde(default)]
    pub(crate) plugins_map: Option<BTreeMap<String, Text>>,
    /// Extensions, each a name or an object.
    #[serde(default)]
    pub(crate) extensions: Option<Vec<ExtensionProperties>>,
    /// What happens to an extension that is no longer declared, if this worker created it and no other resource
    /// declares it. `DropUnused` drops it unless something depends on it; `Drop` fails in that case; `DropCascade`
    /// drops the dependent objects too; `Retain` keeps it.
    #[serde(default)]
    pub(crate) deletion_behavior: DeletionBehavior,
    /// Result of a Delete when the server does not answer for five minutes or until the ServiceTimeout, or when the
    /// database accepts no connections: `Succeed` or `Fail`.
    #[serde(default)]
    pub(crate) on_unreachable_delete: OnUnreachableDelete,
    /// Return the statements in Changes, and change nothing. Cannot be combined with a change of DBSecret, DBHost,
    /// DBPort, DBName or Databases.
    #[serde(default)]
    pub(crate) dry_run: Flag<false>,
    /// Any value; the worker does not use it. CloudFormation sends an Update only if a property changed: with `Trigger:
    /// !Ref EngineVersion` it sends one after an upgrade of the engine, and extensions of version `default` are updated.
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "CloudFormation sends it, and no part of the worker reads it"
    )]
    pub(crate) trigger: Option<Value>,
}

/// One element of Extensions.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ExtensionObject {
    /// Name of the extension, in any letter case: `PostGIS` is `postgis`.
    pub(crate) name: String,
    /// Unset: the server's default version when the extension is created; later requests keep it. `default`: the
    /// server's default version, on every request. `3.3.2`: this version. `3.3.*`: the highest version that matches
    /// and can be reached.
    #[serde(default)]
    pub(crate) version: Text,
    /// Schema of its objects. Unset: an installed extension stays where it is; a new one is created in the schema of
    /// its control file, else in `public`.
    #[serde(default)]
    pub(crate) schema: Text,
    /// Create the schema if it does not exist.
    #[serde(default)]
    pub(crate) create_schema: Flag<false>,
    /// Create the extensions that this one requires, and drop them with it. `false`: the request fails if one is missing.
    #[serde(default)]
    pub(crate) cascade: Flag<true>,
    /// Allow a version below the installed one, if an update path leads there. A return from a version that the
    /// resource itself declared is always allowed.
    #[serde(default)]
    pub(crate) allow_downgrade: Flag<false>,
    /// What happens if no update path leads from the installed version to the declared one: `Fail`, or `Recreate`: drop
    /// the extension and create it again in the same transaction. `Recreate` is refused if anything depends on the extension,
    /// if its tables have rows, or if an owner, a right, a comment or the schema would change.
    #[serde(default)]
    pub(crate) on_no_update_path: OnNoUpdatePath,
    /// `present`, or `absent`: the extension must not be installed.
    #[serde(default)]
    pub(crate) ensure: EnsureText,
}

/// One element of `Extensions`: a bare name is an object with nothing else.
#[derive(Debug)]
pub(crate) struct ExtensionProperties(pub(crate) ExtensionObject);

impl<'de> Deserialize<'de> for ExtensionProperties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrObject).map(Self)
    }
}

struct NameOrObject;

impl<'de> Visitor<'de> for NameOrObject {
    type Value = ExtensionObject;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an extension's name or an object with Name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ExtensionObject, E> {
        Ok(ExtensionObject {
            name: name.to_owned(),
            version: Text::default(),
            schema: Text::default(),
            create_schema: Flag::default(),
            cascade: Flag::default(),
            allow_downgrade: Flag::default(),
            on_no_update_path: OnNoUpdatePath::default(),
            ensure: EnsureText::default(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExtensionObject, A::Error> {
        ExtensionObject::deserialize(MapAccessDeserializer::new(map))
    }
}
