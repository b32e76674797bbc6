//! The properties of the custom resource, checked: a [`Properties`] that exists is valid.

mod checks;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::checks::{database, declarations};
use super::explain::explain;
use super::property_types::ResourceProperties;
use crate::extension::{Declaration, DeletionBehavior};
use crate::target::Host;

pub(crate) use self::checks::{databases, invalid, secret, without_nulls};

/// Why properties are not valid: the path of the property, what is wrong, and which values are valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct PropertiesError {
    path: String,
    fault: String,
}

impl PropertiesError {
    /// The path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The same error at a path below another.
    pub(crate) fn below(self, path: &str) -> Self {
        let path = match (path, self.path.as_str()) {
            ("", _) => self.path,
            (path, TOP) => path.to_owned(),
            (path, inner) => format!("{path}.{inner}"),
        };
        Self { path, ..self }
    }
}

/// The path of an error in the properties as a whole.
pub(super) const TOP: &str = "ResourceProperties";

/// The properties of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Name or ARN of the secret.
    pub(crate) db_secret: String,
    /// Overrides the secret's host.
    pub(crate) db_host: Option<Host>,
    /// Overrides the secret's port.
    pub(crate) db_port: Option<u16>,
    /// Overrides the secret's database.
    pub(crate) db_name: Option<String>,
    /// How the role authenticates.
    pub(crate) authentication: Authentication,
    /// The databases of the server.
    pub(crate) databases: Databases,
    /// The extensions, each name once.
    pub declarations: Vec<Declaration>,
    /// What happens to extensions that are no longer declared.
    pub deletion_behavior: DeletionBehavior,
    /// The result of a Delete when the server cannot be reached.
    pub(crate) on_unreachable_delete: OnUnreachableDelete,
    /// Whether nothing is changed.
    pub(crate) dry_run: bool,
}

/// The databases of the server that a resource manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Databases {
    /// The one that `DBName` or the secret names.
    Default,
    /// These.
    Named(Vec<String>),
    /// Every one that accepts connections.
    All,
}

/// How the role authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum Authentication {
    /// With the secret's password.
    #[default]
    Password,
    /// With a token that the worker's own AWS role signs.
    #[serde(rename = "IAM")]
    Iam,
}

/// The result of a Delete when the server cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum OnUnreachableDelete {
    /// The Delete succeeds, so that a stack can be deleted after its database.
    #[default]
    Succeed,
    /// The Delete fails.
    Fail,
}

impl Properties {
    /// Parses `ResourceProperties`.
    ///
    /// # Errors
    /// [`PropertiesError`] about the first property that is not valid.
    pub(crate) fn parse(resource_properties: &Value) -> Result<Self, PropertiesError> {
        // serde would accept a list for an object, element by element.
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

    /// The databases of a server, without declarations.
    pub(crate) fn of_server(
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

    /// Records the versions that the resource declared before this Update.
    pub(crate) fn set_previous(&mut self, old: &Self) {
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

    /// Whether both name the same databases with the same texts.
    pub(crate) fn has_same_target(&self, other: &Self) -> bool {
        self.db_secret == other.db_secret
            && self.db_host == other.db_host
            && self.db_port == other.db_port
            && self.db_name == other.db_name
            && self.databases == other.databases
    }
}

#[cfg(test)]
mod tests;
