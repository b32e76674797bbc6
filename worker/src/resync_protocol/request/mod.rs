//! The message that starts a re-sync, checked: a [`ResyncMessage`] that exists is valid.

mod instance_id;
#[cfg(test)]
mod tests;
mod upgrade;

pub use upgrade::{MajorVersion, OfferSource, UpgradeRequest};

pub use self::instance_id::{InstanceId, InstanceKind};

use serde::Deserialize;
use serde_json::{Value, json};

use super::event::Mode;
use crate::extension::Declaration;
use crate::request::RESYNC;
use crate::request::explain::explain;
use crate::request::properties::{
    Databases, Properties, PropertiesError, databases, invalid, secret as secret_id, without_nulls,
};
use crate::request::property_values::{DatabaseList, Port, Text};
use crate::request::text::is_name;
use crate::target::Host;

/// Under which name the ledger remembers who declared the baseline, where the message says none.
pub const DEFAULT_BASELINE: &str = "baseline";

/// The ledger's bound of an owner's name.
const MAX_BASELINE_BYTES: usize = 255;
const MAX_ID_BYTES: usize = 64;
/// Targets of one message: each may become a message of its own.
const MAX_TARGETS: usize = 500;

/// Have databases compared with what is declared for them, or made so.
#[derive(Debug, Clone, PartialEq)]
pub struct ResyncMessage {
    /// Which re-sync.
    pub id: String,
    /// What it does.
    pub mode: Mode,
    /// Which databases; one at least.
    pub targets: Vec<ResyncTarget>,
    /// The baseline: extensions that each of these databases shall have, beside what stacks declare.
    pub declarations: Vec<Declaration>,
    /// The baseline as it is written.
    pub extensions: Option<Value>,
    /// The name of the baseline's owner.
    pub baseline: String,
    /// Where the upgrade goes to that is checked for; set just where the mode is that.
    pub upgrade: Option<UpgradeRequest>,
}

/// Servers, and which of their databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResyncTarget {
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
struct Written {
    r#type: String,
    resync_id: String,
    mode: Mode,
    targets: Vec<Value>,
    #[serde(default)]
    extensions: Option<Value>,
    #[serde(default)]
    baseline: Text,
    #[serde(default)]
    upgrade: Option<Value>,
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

impl ResyncMessage {
    /// Takes the message.
    ///
    /// # Errors
    /// [`PropertiesError`] naming the first field that is wrong.
    pub fn parse(message: &Value) -> Result<Self, PropertiesError> {
        let written: Written = read("", message)?;
        if written.r#type != RESYNC {
            return Err(invalid("Type", format!("must be \"{RESYNC}\"")));
        }
        let upgrade = written
            .upgrade
            .as_ref()
            .map(UpgradeRequest::parse)
            .transpose()?;
        let is_check = written.mode == Mode::UpgradeCheck;
        if is_check && upgrade.is_none() {
            return Err(invalid(
                "Upgrade",
                "goes with Mode UpgradeCheck, and must say To",
            ));
        }
        for (field, is_given) in [
            ("Upgrade", !is_check && upgrade.is_some()),
            ("Extensions", is_check && written.extensions.is_some()),
            ("Baseline", is_check && written.baseline.given().is_some()),
        ] {
            if is_given {
                let fault = format!("does not go with Mode {}", written.mode.as_str());
                return Err(invalid(field, fault));
            }
        }
        Ok(Self {
            id: resync_id(&written.resync_id).map_err(|fault| invalid("ResyncId", fault))?,
            mode: written.mode,
            targets: targets(&written.targets)?,
            declarations: written
                .extensions
                .as_ref()
                .map(declarations)
                .transpose()?
                .unwrap_or_default(),
            extensions: written.extensions,
            upgrade,
            baseline: baseline(written.baseline.given().unwrap_or(DEFAULT_BASELINE))
                .map_err(|fault| invalid("Baseline", fault))?,
        })
    }
}

/// Takes the name of a re-sync.
///
/// # Errors
/// What would be right.
pub fn resync_id(text: &str) -> Result<String, String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    match text.len() {
        1..=MAX_ID_BYTES if text.bytes().all(is_known) => Ok(text.to_owned()),
        _ => Err(format!(
            "must be 1 to {MAX_ID_BYTES} of A-Z a-z 0-9 . _ : -"
        )),
    }
}

/// Takes the name of a baseline's owner.
///
/// # Errors
/// What would be right.
pub fn baseline(text: &str) -> Result<String, String> {
    match text.len() {
        1..=MAX_BASELINE_BYTES if is_name(text) => Ok(text.to_owned()),
        _ => Err(format!(
            "must be a name of up to {MAX_BASELINE_BYTES} bytes"
        )),
    }
}

/// Takes `Targets`.
///
/// # Errors
/// [`PropertiesError`] naming the first field that is wrong.
pub fn targets(written: &[Value]) -> Result<Vec<ResyncTarget>, PropertiesError> {
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

/// The property `Extensions` is what the baseline is: it is read as that, of a resource that has nothing else.
fn declarations(extensions: &Value) -> Result<Vec<Declaration>, PropertiesError> {
    let resource = json!({"DBSecret": "-", "Extensions": extensions});
    if extensions.is_null() {
        return Ok(Vec::new());
    }
    Ok(Properties::parse(&resource)?.declarations)
}

/// An object, and no list: serde would take one element by element.
fn read<T: serde::de::DeserializeOwned>(path: &str, written: &Value) -> Result<T, PropertiesError> {
    if !written.is_object() {
        let path = if path.is_empty() { "Message" } else { path };
        return Err(invalid(path, "must be an object"));
    }
    serde_path_to_error::deserialize(&without_nulls(written))
        .map_err(|error| explain(error).below(path))
}
