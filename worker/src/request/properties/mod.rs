//! The properties of the custom resource, checked: a [`Properties`] that exists is valid.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::explain::explain;
use super::property_types::{DatabaseList, ExtensionObject, ResourceProperties};
use super::text::{is_key, is_name, secret_id};
use crate::extension::{Declaration, DeletionBehavior, ExtensionName, SchemaName, VersionRequest};
use crate::target::Host;

/// Why properties cannot be used: the property's path, what is wrong with it and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct PropertiesError {
    path: String,
    fault: String,
}

impl PropertiesError {
    /// Where it is wrong.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same, of what stands at a path.
    pub(crate) fn below(self, path: &str) -> Self {
        let path = match (path, self.path.as_str()) {
            ("", _) => self.path,
            (path, TOP) => path.to_owned(),
            (path, inner) => format!("{path}.{inner}"),
        };
        Self { path, ..self }
    }
}

/// How a fault of the properties as a whole is named.
pub(super) const TOP: &str = "ResourceProperties";

/// What a stack asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Name or ARN of the secret.
    pub db_secret: String,
    /// Overrides the secret's host.
    pub db_host: Option<Host>,
    /// Overrides the secret's port.
    pub db_port: Option<u16>,
    /// Overrides the secret's database.
    pub db_name: Option<String>,
    /// How the role proves that it is itself.
    pub authentication: Authentication,
    /// Which databases of the server.
    pub databases: Databases,
    /// The extensions, each name once.
    pub declarations: Vec<Declaration>,
    /// What becomes of extensions that are no longer declared.
    pub deletion_behavior: DeletionBehavior,
    /// How a Delete is answered when the server cannot be reached.
    pub on_unreachable_delete: OnUnreachableDelete,
    /// Whether nothing is changed.
    pub dry_run: bool,
}

/// Which databases of the server a resource manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// The one that `DBName` or the secret names.
    Default,
    /// These.
    Named(Vec<String>),
    /// Every one that accepts connections.
    All,
}

/// How the role proves that it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Authentication {
    /// With the secret's password.
    #[default]
    Password,
    /// With a token that the worker's own AWS role signs.
    #[serde(rename = "IAM")]
    Iam,
}

/// How a Delete is answered when the server cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum OnUnreachableDelete {
    /// A stack whose database is gone can be deleted.
    #[default]
    Succeed,
    /// The deletion fails.
    Fail,
}

impl Properties {
    /// Takes `ResourceProperties`.
    ///
    /// # Errors
    /// [`PropertiesError`] naming the first property that is wrong.
    pub fn parse(resource_properties: &Value) -> Result<Self, PropertiesError> {
        // serde would take a list for an object, element by element.
        if !resource_properties.is_object() {
            return Err(invalid(TOP, "must be an object"));
        }
        let properties: ResourceProperties =
            serde_path_to_error::deserialize(&without_nulls(resource_properties))
                .map_err(explain)?;
        let db_secret = secret("DBSecret", properties.db_secret.0)?;
        if properties.plugins_map.is_none() && properties.extensions.is_none() {
            return Err(invalid(
                "Extensions",
                "required (or PluginsMap): no extension is declared",
            ));
        }
        Ok(Self {
            db_secret,
            db_host: properties
                .db_host
                .given()
                .map(|host| Host::parse(host).map_err(|fault| invalid("DBHost", fault.to_string())))
                .transpose()?,
            db_port: properties.db_port.0,
            db_name: properties
                .db_name
                .given()
                .map(|name| database("DBName", name))
                .transpose()?,
            authentication: properties.authentication,
            databases: databases(properties.databases)?,
            declarations: declarations(
                properties
                    .plugins_map
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(name, version)| (name, version.0)),
                properties
                    .extensions
                    .unwrap_or_default()
                    .into_iter()
                    .map(|extension| extension.0),
            )?,
            deletion_behavior: properties.deletion_behavior,
            on_unreachable_delete: properties.on_unreachable_delete,
            dry_run: properties.dry_run.0,
        })
    }

    /// Databases of a server, for which nothing is declared here.
    pub fn of_server(
        db_secret: String,
        db_host: Option<Host>,
        db_port: Option<u16>,
        databases: Databases,
    ) -> Self {
        Self {
            db_secret,
            db_host,
            db_port,
            db_name: None,
            authentication: Authentication::default(),
            databases,
            declarations: Vec::new(),
            deletion_behavior: DeletionBehavior::default(),
            on_unreachable_delete: OnUnreachableDelete::default(),
            dry_run: false,
        }
    }

    /// Notes which versions the resource declared before this Update.
    pub fn set_previous(&mut self, old: &Self) {
        for declaration in &mut self.declarations {
            let name = declaration.name.as_str();
            let before = old
                .declarations
                .iter()
                .find(|before| before.name.means(name));
            if let Some(before) = before {
                declaration.before = before.version.clone();
            }
        }
    }

    /// Whether both name the same databases in the same words.
    pub fn has_same_target(&self, other: &Self) -> bool {
        self.db_secret == other.db_secret
            && self.db_host == other.db_host
            && self.db_port == other.db_port
            && self.db_name == other.db_name
            && self.databases == other.databases
    }
}

pub(crate) fn databases(DatabaseList(names): DatabaseList) -> Result<Databases, PropertiesError> {
    if names.is_empty() {
        return Ok(Databases::Default);
    }
    if names.iter().any(|name| name == "*") {
        return match names.len() {
            1 => Ok(Databases::All),
            _ => Err(invalid(
                "Databases",
                "\"*\" stands for all databases: give it alone, or names",
            )),
        };
    }
    for (index, name) in names.iter().enumerate() {
        database(&format!("Databases[{index}]"), name)?;
        if names.iter().take(index).any(|earlier| earlier == name) {
            return Err(invalid(
                format!("Databases[{index}]"),
                format!("\"{name}\" is listed twice"),
            ));
        }
    }
    Ok(Databases::Named(names))
}

/// What stands in the ledger's schema beside the ledger keeps it from being used.
const LEDGER_SCHEMA: &str = "extension_worker";

fn declarations(
    plugins_map: impl Iterator<Item = (String, String)>,
    extensions: impl Iterator<Item = ExtensionObject>,
) -> Result<Vec<Declaration>, PropertiesError> {
    let mut declared_at: BTreeMap<String, String> = BTreeMap::new();
    let mut declarations = Vec::new();
    let mut declare = |path: String, declaration: Declaration| {
        let folded = declaration.name.as_str().to_ascii_lowercase();
        if let Some(earlier) = declared_at.insert(folded, path.clone()) {
            return Err(invalid(
                path,
                format!(
                    "\"{}\" is declared twice, also at {earlier}",
                    declaration.name
                ),
            ));
        }
        declarations.push(declaration);
        Ok(())
    };
    for (name, version) in plugins_map {
        let path = match is_key(&name) {
            true => format!("PluginsMap.{name}"),
            false => "PluginsMap".to_owned(),
        };
        let declaration = Declaration {
            version: version_request(&path, &version)?,
            ..Declaration::named(extension_name(&path, &name)?)
        };
        declare(path, declaration)?;
    }
    for (index, extension) in extensions.enumerate() {
        let path = format!("Extensions[{index}]");
        let schema = extension
            .schema
            .given()
            .map(str::trim)
            .map(|schema| {
                let fault = |fault: String| invalid(format!("{path}.Schema"), fault);
                if !is_name(schema) {
                    return Err(fault("must be the name of a schema".to_owned()));
                }
                if schema == LEDGER_SCHEMA {
                    return Err(fault("is the worker's own: name another".to_owned()));
                }
                SchemaName::parse(schema).map_err(|error| fault(error.to_string()))
            })
            .transpose()?;
        if extension.create_schema.0 && schema.is_none() {
            return Err(invalid(
                format!("{path}.CreateSchema"),
                "needs Schema, the schema to create",
            ));
        }
        let declaration = Declaration {
            name: extension_name(&format!("{path}.Name"), &extension.name)?,
            version: version_request(&format!("{path}.Version"), &extension.version.0)?,
            schema,
            create_schema: extension.create_schema.0,
            cascade: extension.cascade.0,
            allow_downgrade: extension.allow_downgrade.0,
            ensure: extension.ensure.0,
            before: VersionRequest::Unset,
        };
        declare(path, declaration)?;
    }
    Ok(declarations)
}

fn extension_name(path: &str, text: &str) -> Result<ExtensionName, PropertiesError> {
    // A block of YAML ends with a line break.
    let text = text.trim();
    let name =
        ExtensionName::parse(text).map_err(|fault| invalid(path, format!("the name {fault}")))?;
    if !is_name(text) {
        return Err(invalid(path, "must be the name of an extension"));
    }
    if name.means("plpgsql") {
        return Err(invalid(
            path,
            "plpgsql belongs to the server and is not managed",
        ));
    }
    Ok(name)
}

fn version_request(path: &str, text: &str) -> Result<VersionRequest, PropertiesError> {
    let text = text.trim();
    if !text.is_empty() && !is_name(text) {
        return Err(invalid(path, "must be a version"));
    }
    VersionRequest::parse(text).map_err(|fault| invalid(path, format!("the version {fault}")))
}

fn database(path: &str, name: &str) -> Result<String, PropertiesError> {
    if is_name(name) {
        Ok(name.to_owned())
    } else {
        Err(invalid(path, "must be the name of a database"))
    }
}

/// The name or the ARN of a secret; nothing else that may stand there is quoted later.
pub(crate) fn secret(path: &str, text: String) -> Result<String, PropertiesError> {
    if text.is_empty() {
        return Err(invalid(path, "must not be empty"));
    }
    secret_id(&text).map_err(|fault| invalid(path, fault.to_string()))?;
    Ok(text)
}

/// The same without the fields that are null, which are absent; so are those of the elements of Extensions. In PluginsMap
/// null stands for a version, and the name counts.
pub(crate) fn without_nulls(object: &Value) -> Value {
    let Value::Object(fields) = object else {
        return object.clone();
    };
    let kept = fields.iter().filter(|(_, value)| !value.is_null());
    let kept = kept.map(|(name, value)| {
        let value = match value {
            Value::Array(elements) => elements.iter().map(without_nulls).collect(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => value.clone(),
        };
        (name.clone(), value)
    });
    Value::Object(kept.collect())
}

pub(crate) fn invalid(path: impl Into<String>, fault: impl Into<String>) -> PropertiesError {
    PropertiesError {
        path: path.into(),
        fault: fault.into(),
    }
}

#[cfg(test)]
mod tests;
