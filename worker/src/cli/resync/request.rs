//! From the arguments to the message. Pure: what the file of targets says, and an id, are given.

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
        "the message has {0} bytes, and SNS takes {max}: name targets by --prefix, --tag or --instances",
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

/// What the workers are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// A re-sync.
    Resync(&'a ResyncSettings),
    /// A check before an upgrade.
    UpgradeCheck(&'a UpgradeCheckSettings),
}

impl Asked<'_> {
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
    asked: Asked<'_>,
    files: Files<'_>,
    id: &str,
) -> Result<String, CommandError> {
    let targets = match asked {
        Asked::Resync(settings) => &settings.targets,
        Asked::UpgradeCheck(settings) => &settings.targets,
    };
    let mut message = Map::from_iter([
        ("Type".to_owned(), json!(RESYNC)),
        ("ResyncId".to_owned(), json!(id)),
        ("Mode".to_owned(), json!(asked.mode())),
        (
            "Targets".to_owned(),
            Value::Array(targets_of(targets, files.targets)?),
        ),
    ]);
    match asked {
        Asked::Resync(settings) if !settings.extension.is_empty() => {
            let extensions: Vec<Value> = settings.extension.iter().map(extension).collect();
            message.insert("Extensions".to_owned(), extensions.into());
            message.insert("Baseline".to_owned(), json!(settings.baseline));
        }
        Asked::Resync(_) => {}
        Asked::UpgradeCheck(settings) => {
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

#[cfg(test)]
mod tests {

    use super::*;
    use crate::config::{Command, CommandLine};
    use crate::process::error_chain::with_causes;

    fn made(arguments: &[&str], file: Option<&str>) -> Result<Value, String> {
        let topic = "arn:aws:sns:us-east-1:000000000000:requests";
        let given = ["extension-worker", "resync", "--topic", topic];
        let printed = CommandLine::try_read_from(given.iter().chain(arguments)).unwrap();
        let Command::Resync(settings) = printed.command else {
            panic!("resync")
        };
        let files = Files {
            targets: file,
            offer: None,
        };
        message(Asked::Resync(&settings), files, "id")
            .map(|text| serde_json::from_str(&text).unwrap())
            .map_err(|fault| with_causes(&fault))
    }

    #[test]
    fn arguments_become_a_message() {
        assert_eq!(
            made(&["--instances"], None).unwrap(),
            json!({"Type": "Resync", "ResyncId": "id", "Mode": "Report", "Targets": [{"Instances": "*"}]})
        );
        let arguments = "--repair --instances-tag env=prod --instance orders --tag team --tag env= --prefix prod/ --prefix test/ \
            --secret one --secret two --databases a,b --targets - --extension PostGIS=3.4.* --extension hstore \
            --baseline fleet";
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        assert_eq!(
            made(
                &arguments,
                Some(r#"[{"Secret": "three", "Host": "h", "Port": 5433}]"#)
            )
            .unwrap(),
            json!({
                "Type": "Resync", "ResyncId": "id", "Mode": "Repair",
                "Targets": [
                    {"Instances": {"Key": "env", "Value": "prod"}}, {"Instance": "orders"},
                    {"SecretTag": {"Key": "team"}}, {"SecretTag": {"Key": "env", "Value": ""}},
                    {"SecretPrefix": "prod/"}, {"SecretPrefix": "test/"},
                    {"Secret": "one", "Databases": ["a", "b"]}, {"Secret": "two", "Databases": ["a", "b"]},
                    {"Secret": "three", "Host": "h", "Port": 5433},
                ],
                "Extensions": [{"Name": "PostGIS", "Version": "3.4.*"}, "hstore"], "Baseline": "fleet",
            })
        );
    }

    fn made_of_check(arguments: &[&str], offer: Option<&str>) -> Result<Value, String> {
        let topic = "arn:aws:sns:us-east-1:000000000000:requests";
        let given = ["extension-worker", "upgrade-check", "--topic", topic];
        let printed = CommandLine::try_read_from(given.iter().chain(arguments)).unwrap();
        let Command::UpgradeCheck(settings) = printed.command else {
            panic!("upgrade-check")
        };
        let files = Files {
            targets: None,
            offer,
        };
        message(Asked::UpgradeCheck(&settings), files, "id")
            .map(|text| serde_json::from_str(&text).unwrap())
            .map_err(|fault| with_causes(&fault))
    }

    #[test]
    fn a_check_says_where_the_upgrade_goes() {
        let arguments = "--prefix prod/ --to 18.1 --like staging --like-host green.example";
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        assert_eq!(
            made_of_check(&arguments, None).unwrap(),
            json!({
                "Type": "Resync", "ResyncId": "id", "Mode": "UpgradeCheck",
                "Targets": [{"SecretPrefix": "prod/"}],
                "Upgrade": {"To": "18", "Like": {"Secret": "staging", "Host": "green.example"}},
            })
        );
        let file = ["--instances", "--to", "18", "--offer", "f.json"];
        let offer = r#"{"ServerVersion": "18.1", "Extensions": {"hstore": {"Default": "1.8"}}}"#;
        let message = made_of_check(&file, Some(offer)).unwrap();
        assert_eq!(
            message["Upgrade"]["Offer"]["Extensions"]["hstore"]["Default"],
            "1.8"
        );
        for (offer, printed) in [
            (
                "[",
                "--offer f.json: must be a JSON object, as a server's offer is written",
            ),
            ("[]", "--offer: Upgrade.Offer: must be an object"),
            (
                r#"{"ServerVersion": "17.5", "Extensions": {}}"#,
                "--offer: Upgrade.Offer.ServerVersion: must be of a server of version 18",
            ),
            (
                r#"{"ServerVersion": "18.1"}"#,
                "--offer: Upgrade.Offer.Extensions:",
            ),
        ] {
            let fault = made_of_check(&file, Some(offer)).unwrap_err();
            assert!(fault.starts_with(printed), "{fault}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_the_flag() {
        let fault = |arguments: &[&str], file| made(arguments, file).unwrap_err();
        let of_file = |text| fault(&["--targets", "f.json"], Some(text));
        for text in ["", "{}", "[1"] {
            let printed = of_file(text);
            assert!(
                printed.starts_with("--targets f.json: must be a JSON list of targets"),
                "{printed}"
            );
        }
        assert!(of_file("[]").starts_with("--targets f.json: Targets: must name one at least"));
        assert_eq!(
            of_file(r#"[{"Secret": ""}]"#),
            "--targets f.json: Targets[0].Secret: must not be empty"
        );
        let twice = ["--secret", "s", "--databases", "a,a"];
        assert_eq!(
            fault(&twice, None),
            "--databases: Targets[0].Databases[1]: \"a\" is listed twice"
        );
        let twice = ["--instances", "--extension", "a", "--extension", "A"];
        assert_eq!(
            fault(&twice, None),
            "--extension: Extensions[1]: \"A\" is declared twice, also at Extensions[0]"
        );
        let many = |name: &str, count| {
            let target = format!(r#"{{"Secret": "{name}"}}"#);
            format!("[{}]", vec![target; count].join(","))
        };
        let (long, many) = (many(&"n".repeat(600), 500), many("s", 501));
        assert!(of_file(&long).contains("SNS takes 262144"));
        assert!(of_file(&many).contains("Targets: must be 500 at most"));
    }

    #[test]
    fn an_id_of_its_own_is_valid() {
        let now = DateTime::parse_from_rfc3339("2026-11-22T10:00:00.5Z")
            .unwrap()
            .to_utc();
        let id = id_at(now, 0xb1);
        assert_eq!(id, "2026-11-22T10-00-00Z-00b1");
        assert_eq!(crate::resync_protocol::resync_id(&id), Ok(id));
    }
}
