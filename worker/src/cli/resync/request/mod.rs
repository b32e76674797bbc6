//! From the arguments to the message. Pure: what the file of targets says, and an id, are given.

#[cfg(test)]
mod tests;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::aws::sns;
use crate::config::{Baseline, ResyncSettings, Tag, TargetSettings, UpgradeCheckSettings};
use crate::request::PropertiesError;
use crate::resync_protocol::event::Mode;
use crate::resync_protocol::{RESYNC, ResyncMessage, targets};

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The file of targets is wrong.
    #[error("--targets {0}: must be a JSON list of targets, as {{\"SecretPrefix\": \"prod/\"}}")]
    NotTargets(String, #[source] Option<serde_json::Error>),
    /// One of its targets is wrong.
    #[error("--targets {0}: {1}")]
    Targets(String, PropertiesError),
    /// A flag is wrong.
    #[error("{0} {1}")]
    Flag(&'static str, PropertiesError),
    /// The file of an offer is wrong.
    #[error("--offer {0}: must be a JSON object, as a server's offer is written")]
    NotAnOffer(String, #[source] serde_json::Error),
    /// SNS would not take it.
    #[error(
        "the message has {0} bytes, and SNS accepts at most {max}: name targets by --prefix, --tag or --instances",
        max = sns::MAX_BYTES
    )]
    TooLong(usize),
}

/// The id of a re-sync that is given none: times sort, and two of one second differ.
pub(super) fn id_at(now: DateTime<Utc>, random: u16) -> String {
    let time = now
        .to_rfc3339_opts(SecondsFormat::Secs, true)
        .replace(':', "-");
    format!("{time}-{random:04x}")
}

/// What a command publishes.
#[derive(Debug, Clone, Copy)]
pub enum CommandSettings<'a> {
    /// A re-sync.
    Resync(&'a ResyncSettings),
    /// A check before an upgrade.
    UpgradeCheck(&'a UpgradeCheckSettings),
}

impl CommandSettings<'_> {
    /// What the re-sync does.
    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Resync(settings) if settings.repair => Mode::Repair,
            Self::Resync(_) => Mode::Report,
            Self::UpgradeCheck(_) => Mode::UpgradeCheck,
        }
    }
}

/// What files hold that the command line names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Files<'a> {
    /// The targets.
    pub(super) targets: Option<&'a str>,
    /// What a server offers.
    pub(super) offer: Option<&'a str>,
}

/// The message's text.
///
/// # Errors
/// [`CommandError`].
pub(super) fn message(
    command: CommandSettings<'_>,
    files: Files<'_>,
    id: &str,
) -> Result<String, CommandError> {
    let targets = match command {
        CommandSettings::Resync(settings) => &settings.targets,
        CommandSettings::UpgradeCheck(settings) => &settings.targets,
    };
    let mut message = Map::from_iter([
        ("Type".to_owned(), json!(RESYNC)),
        ("ResyncId".to_owned(), json!(id)),
        ("Mode".to_owned(), json!(command.mode())),
        (
            "Targets".to_owned(),
            Value::Array(targets_of(targets, files.targets)?),
        ),
    ]);
    match command {
        CommandSettings::Resync(settings) if !settings.extension.is_empty() => {
            let extensions: Vec<Value> = settings.extension.iter().map(extension).collect();
            message.insert("Extensions".to_owned(), extensions.into());
            message.insert("Baseline".to_owned(), json!(settings.baseline));
        }
        CommandSettings::Resync(_) => {}
        CommandSettings::UpgradeCheck(settings) => {
            message.insert("Upgrade".to_owned(), upgrade(settings, files.offer)?);
        }
    }
    let message = Value::Object(message);
    // Workers read it the same way: what they would refuse is not sent. All else was looked at flag by flag, and of the
    // file by itself.
    ResyncMessage::parse(&message).map_err(|fault| {
        let flag = match fault.path() {
            path if path.starts_with("Extensions") => "--extension:",
            path if path.starts_with("Upgrade.Offer") => "--offer:",
            path if path.starts_with("Upgrade") => "--to:",
            "Targets" => "--secret, --tag, --prefix, --instances-tag, --targets:",
            _ => "--databases:",
        };
        CommandError::Flag(flag, fault)
    })?;
    let text = message.to_string();
    if text.len() > sns::MAX_BYTES {
        return Err(CommandError::TooLong(text.len()));
    }
    Ok(text)
}

fn upgrade(settings: &UpgradeCheckSettings, offer: Option<&str>) -> Result<Value, CommandError> {
    let mut upgrade = Map::from_iter([("To".to_owned(), json!(settings.to.0.to_string()))]);
    if let Some(secret) = &settings.like {
        let mut like = Map::from_iter([("Secret".to_owned(), json!(secret))]);
        let host = settings.like_host.as_ref();
        like.extend(host.map(|host| ("Host".to_owned(), json!(host.to_string()))));
        upgrade.insert("Like".to_owned(), like.into());
    }
    if let Some(text) = offer {
        let name = settings.offer.clone().unwrap_or_default();
        let offer: Value =
            serde_json::from_str(text).map_err(|error| CommandError::NotAnOffer(name, error))?;
        upgrade.insert("Offer".to_owned(), offer);
    }
    Ok(upgrade.into())
}

fn targets_of(settings: &TargetSettings, file: Option<&str>) -> Result<Vec<Value>, CommandError> {
    let mut written = Vec::new();
    if settings.instances {
        written.push(json!({"Instances": "*"}));
    }
    let instances = settings.instances_tag.iter();
    written.extend(instances.map(|given| json!({"Instances": tag(given)})));
    let named = settings.instance.iter();
    written.extend(named.map(|instance| json!({"Instance": instance})));
    let tags = settings.tag.iter();
    written.extend(tags.map(|given| json!({"SecretTag": tag(given)})));
    let prefixes = settings.prefix.iter();
    written.extend(prefixes.map(|prefix| json!({"SecretPrefix": prefix})));
    written.extend(settings.secret.iter().map(|secret| {
        let mut target = json!({"Secret": secret});
        if let (Some(target), false) = (target.as_object_mut(), settings.databases.is_empty()) {
            target.insert("Databases".to_owned(), json!(settings.databases));
        }
        target
    }));
    if let Some(file) = file {
        let name = || settings.targets.clone().unwrap_or_default();
        let listed: Value = serde_json::from_str(file)
            .map_err(|error| CommandError::NotTargets(name(), Some(error)))?;
        let Value::Array(listed) = listed else {
            return Err(CommandError::NotTargets(name(), None));
        };
        targets(&listed).map_err(|fault| CommandError::Targets(name(), fault))?;
        written.extend(listed);
    }
    Ok(written)
}

fn tag(Tag { key, value }: &Tag) -> Value {
    match value {
        Some(value) => json!({"Key": key, "Value": value}),
        None => json!({"Key": key}),
    }
}

fn extension(Baseline { name, version }: &Baseline) -> Value {
    match version {
        Some(version) => json!({"Name": name, "Version": version}),
        None => json!(name),
    }
}
