//! Which servers and databases a re-sync is for. Pure.

use serde::Deserialize;
use serde_json::Value;

use super::{InstanceId, read};
use crate::request::properties::{
    Databases, PropertiesError, databases, invalid, secret as secret_id,
};
use crate::request::property_values::{DatabaseList, Port, Text};
use crate::request::text::is_name;
use crate::target::Host;

/// Targets of one message: each may become a message of its own.
const MAX_TARGETS: usize = 500;

/// Servers, and which of their databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResyncTarget {
    /// The server of a secret.
    Secret {
        /// Name or ARN.
        id: String,
        /// Which databases of it.
        databases: Databases,
        /// Overrides the secret's host.
        host: Option<Host>,
        /// Overrides the secret's port.
        port: Option<u16>,
    },
    /// The servers of all secrets whose names begin so.
    SecretPrefix(String),
    /// The servers of all secrets with a tag.
    SecretTag {
        /// The tag's key.
        key: String,
        /// Unset: any value.
        value: Option<String>,
    },
    /// Instances and clusters of RDS.
    Instances {
        /// Those with this tag, of any value where none is said; unset: all.
        tag: Option<(String, Option<String>)>,
    },
    /// One instance or cluster of RDS.
    Instance(InstanceId),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenTarget {
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    databases: DatabaseList,
    #[serde(default)]
    host: Text,
    #[serde(default)]
    port: Port,
    #[serde(default)]
    secret_prefix: Option<String>,
    #[serde(default)]
    secret_tag: Option<Value>,
    #[serde(default)]
    instances: Option<Value>,
    #[serde(default)]
    instance: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenTag {
    key: String,
    #[serde(default)]
    value: Option<String>,
}

/// Takes `Targets`.
///
/// # Errors
/// [`PropertiesError`] naming the first field that is wrong.
pub(crate) fn targets(written: &[Value]) -> Result<Vec<ResyncTarget>, PropertiesError> {
    if written.is_empty() {
        return Err(invalid(
            "Targets",
            "must name one at least: Secret, SecretPrefix, SecretTag, Instances or Instance",
        ));
    }
    if written.len() > MAX_TARGETS {
        return Err(invalid(
            "Targets",
            format!(
                "must be {MAX_TARGETS} at most: publish several re-syncs, or name targets by SecretPrefix, SecretTag or \
                 Instances"
            ),
        ));
    }
    written
        .iter()
        .enumerate()
        .map(|(index, written)| target(&format!("Targets[{index}]"), written))
        .collect()
}

fn target(path: &str, written: &Value) -> Result<ResyncTarget, PropertiesError> {
    let target: WrittenTarget = read(path, written)?;
    let kinds = [
        target.secret.is_some(),
        target.secret_prefix.is_some(),
        target.secret_tag.is_some(),
        target.instances.is_some(),
        target.instance.is_some(),
    ];
    if kinds.iter().filter(|is_given| **is_given).count() != 1 {
        return Err(invalid(
            path,
            "must have one of Secret, SecretPrefix, SecretTag, Instances, Instance",
        ));
    }
    if let Some(id) = target.secret {
        return Ok(ResyncTarget::Secret {
            id: secret_id(&format!("{path}.Secret"), id)?,
            databases: databases(target.databases).map_err(|fault| fault.below(path))?,
            host: target
                .host
                .given()
                .map(Host::parse)
                .transpose()
                .map_err(|fault| invalid(format!("{path}.Host"), fault.to_string()))?,
            port: target.port.0,
        });
    }
    for (field, is_given) in [
        ("Databases", !target.databases.0.is_empty()),
        ("Host", target.host.given().is_some()),
        ("Port", target.port.0.is_some()),
    ] {
        if is_given {
            return Err(invalid(format!("{path}.{field}"), "goes with Secret alone"));
        }
    }
    if let Some(prefix) = target.secret_prefix {
        let prefix = secret_id(&format!("{path}.SecretPrefix"), prefix)?;
        return Ok(ResyncTarget::SecretPrefix(prefix));
    }
    if let Some(written) = target.secret_tag {
        let (key, value) = tag(&format!("{path}.SecretTag"), &written)?;
        return Ok(ResyncTarget::SecretTag { key, value });
    }
    if let Some(written) = target.instance {
        return InstanceId::parse(&written)
            .map(ResyncTarget::Instance)
            .map_err(|fault| invalid(format!("{path}.Instance"), fault));
    }
    let path = format!("{path}.Instances");
    match target.instances {
        Some(Value::String(all)) if all == "*" => Ok(ResyncTarget::Instances { tag: None }),
        Some(written @ Value::Object(_)) => Ok(ResyncTarget::Instances {
            tag: Some(tag(&path, &written)?),
        }),
        _ => Err(invalid(
            path,
            "must be \"*\" for all, or a tag as {\"Key\": …, \"Value\": …}",
        )),
    }
}

fn tag(path: &str, written: &Value) -> Result<(String, Option<String>), PropertiesError> {
    let tag: WrittenTag = read(path, written)?;
    let is_value = |value: &String| value.is_empty() || is_name(value);
    if !tag.value.as_ref().is_none_or(is_value) {
        return Err(invalid(
            format!("{path}.Value"),
            "must be the value of a tag",
        ));
    }
    Ok((tag_key(format!("{path}.Key"), tag.key)?, tag.value))
}

fn tag_key(path: String, text: String) -> Result<String, PropertiesError> {
    if text.is_empty() {
        return Err(invalid(path, "must not be empty"));
    }
    if !is_name(&text) {
        return Err(invalid(path, "must be the key of a tag"));
    }
    Ok(text)
}
