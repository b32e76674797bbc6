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

/// Why properties cannot be used: the property's path, what is wrong with it and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct PropertiesError {
    path: String,
    fault: String,
}

impl PropertiesError {
    /// Where it is wrong.
    pub(crate) fn path(&self) -> &str {
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
    pub(crate) db_secret: String,
    /// Overrides the secret's host.
    pub(crate) db_host: Option<Host>,
    /// Overrides the secret's port.
    pub(crate) db_port: Option<u16>,
    /// Overrides the secret's database.
    pub(crate) db_name: Option<String>,
    /// How the role proves that it is itself.
    pub(crate) authentication: Authentication,
    /// Which databases of the server.
    pub(crate) databases: Databases,
    /// The extensions, each name once.
    pub declarations: Vec<Declaration>,
    /// What becomes of extensions that are no longer declared.
    pub deletion_behavior: DeletionBehavior,
    /// How a Delete is answered when the server cannot be reached.
    pub(crate) on_unreachable_delete: OnUnreachableDelete,
    /// Whether nothing is changed.
    pub(crate) dry_run: bool,
}

/// Which databases of the server a resource manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Databases {
    /// The one that `DBName` or the secret names.
    Default,
    /// These.
    Named(Vec<String>),
    /// Every one that accepts connections.
    All,
}

/// How the role proves that it is itself.
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

/// How a Delete is answered when the server cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum OnUnreachableDelete {
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
    pub(crate) fn parse(resource_properties: &Value) -> Result<Self, PropertiesError> {
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

    /// Notes which versions the resource declared before this Update.
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

    /// Whether both name the same databases in the same words.
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
