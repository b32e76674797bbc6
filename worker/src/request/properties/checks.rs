//! The valid values of each property.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Databases, PropertiesError};
use crate::extension::{Declaration, ExtensionName, SchemaName, VersionRequest};
use crate::request::property_types::ExtensionObject;
use crate::request::property_values::DatabaseList;
use crate::request::text::{is_key, is_name, secret_id};

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

/// The ledger cannot be used if its schema contains another object.
const LEDGER_SCHEMA: &str = "extension_worker";

pub(super) fn declarations(
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
            on_no_update_path: extension.on_no_update_path,
            ensure: extension.ensure.0,
            before: VersionRequest::Unset,
        };
        declare(path, declaration)?;
    }
    Ok(declarations)
}

pub(super) fn extension_name(path: &str, text: &str) -> Result<ExtensionName, PropertiesError> {
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

pub(super) fn version_request(path: &str, text: &str) -> Result<VersionRequest, PropertiesError> {
    let text = text.trim();
    if !text.is_empty() && !is_name(text) {
        return Err(invalid(path, "must be a version"));
    }
    VersionRequest::parse(text).map_err(|fault| invalid(path, format!("the version {fault}")))
}

pub(super) fn database(path: &str, name: &str) -> Result<String, PropertiesError> {
    if is_name(name) {
        Ok(name.to_owned())
    } else {
        Err(invalid(path, "must be the name of a database"))
    }
}

/// The name or ARN of a secret; any other text is never quoted.
pub(crate) fn secret(path: &str, text: String) -> Result<String, PropertiesError> {
    if text.is_empty() {
        return Err(invalid(path, "must not be empty"));
    }
    secret_id(&text).map_err(|fault| invalid(path, fault.to_string()))?;
    Ok(text)
}

/// The same without fields that are null, which count as unset; also in the elements of Extensions. In PluginsMap null is a
/// version that is not set, and the name counts.
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
