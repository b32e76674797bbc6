//! The message that starts a re-sync, checked: a [`ResyncMessage`] that exists is valid.

mod instance_id;
mod target;
#[cfg(test)]
mod tests;
mod upgrade;

pub(crate) use self::instance_id::{InstanceId, InstanceKind};
pub(crate) use self::target::{ResyncTarget, targets};
pub(crate) use self::upgrade::{MajorVersion, OfferSource, UpgradeRequest};

use serde::Deserialize;
use serde_json::{Value, json};

use super::event::Mode;
use crate::extension::Declaration;
use crate::request::RESYNC;
use crate::request::explain::explain;
use crate::request::properties::{
    Properties, PropertiesError, invalid, secret as secret_id, without_nulls,
};
use crate::request::property_values::Text;
use crate::request::text::is_name;

/// Under which name the ledger remembers who declared the baseline, where the message says none.
pub(crate) const DEFAULT_BASELINE: &str = "baseline";

/// The ledger's bound of an owner's name.
const MAX_BASELINE_BYTES: usize = 255;
const MAX_ID_BYTES: usize = 64;

/// Have databases compared with what is declared for them, or made so.
#[derive(Debug, Clone, PartialEq)]
pub struct ResyncMessage {
    /// Which re-sync.
    pub(crate) id: String,
    /// What it does.
    pub(crate) mode: Mode,
    /// Which databases; one at least.
    pub(crate) targets: Vec<ResyncTarget>,
    /// The baseline: extensions that each of these databases shall have, beside what stacks declare.
    pub(crate) declarations: Vec<Declaration>,
    /// The baseline as it is written.
    pub(crate) extensions: Option<Value>,
    /// The name of the baseline's owner.
    pub(crate) baseline: String,
    /// Where the upgrade goes to that is checked for; set just where the mode is that.
    pub(crate) upgrade: Option<UpgradeRequest>,
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
pub(crate) fn resync_id(text: &str) -> Result<String, String> {
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
pub(crate) fn baseline(text: &str) -> Result<String, String> {
    match text.len() {
        1..=MAX_BASELINE_BYTES if is_name(text) => Ok(text.to_owned()),
        _ => Err(format!(
            "must be a name of up to {MAX_BASELINE_BYTES} bytes"
        )),
    }
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
