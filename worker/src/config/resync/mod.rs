//! The settings of `resync`.

#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::parse::{file, seconds, secret, topic_arn};
use crate::extension::{ExtensionName, VersionRequest};
use crate::request::text::is_name;
use crate::resync_protocol::{DEFAULT_BASELINE, InstanceId, MajorVersion, baseline, resync_id};
use crate::target::Host;

/// The last lines of `resync --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes; of 3, 4 and 5 the highest that applies:
  0  all databases are in sync, were repaired, or have nothing declared; without --wait: published
  1  the re-sync could not be carried out; standard error says why
  2  the command line is not valid
  3  databases have drifted
  4  databases failed
  5  results are missing: the time was over, or the command was interrupted";

/// The last lines of `upgrade-check --help`.
pub(crate) const UPGRADE_EXIT_CODES: &str = "\
Exit codes; of 3, 4 and 5 the highest that applies:
  0  nothing has to be done before the upgrade; without --wait: published
  1  the check could not be carried out; standard error says why
  2  the command line is not valid
  3  something blocks the upgrade, or has to be done before it
  4  databases could not be checked
  5  results are missing: the time was over, or the command was interrupted";

/// The databases of a re-sync or a check.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct TargetSettings {
    /// All instances and clusters of RDS.
    #[arg(long, group = "what")]
    pub(crate) instances: bool,
    /// Instances and clusters of RDS with this tag; without a value, with any value.
    #[arg(long, group = "what", value_name = "KEY[=VALUE]")]
    pub(crate) instances_tag: Vec<Tag>,
    /// The instance or cluster of RDS with this identifier or ARN.
    #[arg(long, group = "what", value_name = "NAME", value_parser = instance)]
    pub(crate) instance: Vec<String>,
    /// The servers of the secrets with this tag; without a value, with any value.
    #[arg(long, group = "what", value_name = "KEY[=VALUE]")]
    pub(crate) tag: Vec<Tag>,
    /// The servers of the secrets whose names begin with this prefix.
    #[arg(long, group = "what", value_name = "PREFIX", value_parser = secret)]
    pub(crate) prefix: Vec<String>,
    /// The server of the secret with this name or ARN.
    #[arg(long, group = "what", value_name = "NAME", value_parser = secret)]
    pub(crate) secret: Vec<String>,
    /// File with a JSON list of targets, in the form of Targets in the message; "-" is standard input.
    #[arg(long, group = "what", value_name = "FILE", value_parser = file)]
    pub(crate) targets: Option<String>,
    /// Databases of each --secret, separated by commas; unset: all of them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "secret", value_parser = database)]
    pub(crate) databases: Vec<String>,
}

/// The topics of re-syncs and results, and the form of the results.
#[derive(Debug, Clone, Args)]
pub(crate) struct FollowSettings {
    /// Id of the re-sync; unset: the time and a few letters.
    #[arg(long, value_parser = resync_id)]
    pub(crate) id: Option<String>,
    /// Wait for the results, and print them. Without it only the id is printed.
    #[arg(long, requires = "results_topic")]
    pub(crate) wait: bool,
    /// How long to wait for the results.
    #[arg(long, default_value = "3600", value_parser = seconds_from_1_to_43200, requires = "wait")]
    pub(crate) timeout_seconds: Duration,
    /// Print the whole report as JSON.
    #[arg(long, requires = "wait")]
    pub(crate) json: bool,
    /// Print the report as CSV.
    #[arg(long, requires = "wait", conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Write the report as an HTML page to this file, too.
    #[arg(long, value_name = "FILE", requires = "wait", value_parser = file)]
    pub(crate) html: Option<String>,
    /// ARN of the topic of re-syncs: the output ResyncTopicArn of the worker's stack.
    #[arg(long, env = "WORKER_TOPIC_ARN", value_name = "ARN", value_parser = topic_arn)]
    pub(crate) topic: String,
    /// ARN of the topic of results: the output ResultsTopicArn of the worker's stack. --wait requires it.
    #[arg(long, env = "WORKER_RESULTS_TOPIC_ARN", value_name = "ARN", value_parser = topic_arn)]
    pub(crate) results_topic: Option<String>,
}

/// The settings of `resync`.
#[derive(Debug, Clone, Args)]
pub struct ResyncSettings {
    /// The databases to compare.
    #[command(flatten)]
    pub(crate) targets: TargetSettings,
    /// Report differences, and change nothing; the default.
    #[arg(long, conflicts_with = "repair")]
    pub(crate) report: bool,
    /// Change databases to what is declared for them.
    #[arg(long)]
    pub(crate) repair: bool,
    /// An extension that each of the databases must have beside what stacks declare: the baseline.
    #[arg(long, value_name = "NAME[=VERSION]")]
    pub(crate) extension: Vec<Baseline>,
    /// Name under which the ledger records who declared the baseline.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_BASELINE, value_parser = baseline, requires = "extension")]
    pub(crate) baseline: String,
    /// The topics, and the form of the results.
    #[command(flatten)]
    pub(crate) follow: FollowSettings,
}

/// The settings of `upgrade-check`.
#[derive(Debug, Clone, Args)]
pub struct UpgradeCheckSettings {
    /// The databases to check.
    #[command(flatten)]
    pub(crate) targets: TargetSettings,
    /// Major version of PostgreSQL after the upgrade.
    #[arg(long, value_name = "VERSION", value_parser = MajorVersion::parse)]
    pub(crate) to: MajorVersion,
    /// Name or ARN of the secret of a server that already has this version; the extensions that it offers are read there.
    #[arg(long, value_name = "NAME", value_parser = secret, conflicts_with = "offer")]
    pub(crate) like: Option<String>,
    /// Host of the server of --like; overrides the secret's.
    #[arg(long, value_name = "HOST", value_parser = host, requires = "like")]
    pub(crate) like_host: Option<Host>,
    /// File with the result of the query that offer-query prints, from a server of this version; "-" is standard input.
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub(crate) offer: Option<String>,
    /// The topics, and the form of the results.
    #[command(flatten)]
    pub(crate) follow: FollowSettings,
}

/// A tag of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Its key.
    pub(crate) key: String,
    /// Its value; unset: any.
    pub(crate) value: Option<String>,
}

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = halves(text);
        if !is_name(key) || value.is_some_and(|value| !value.is_empty() && !is_name(value)) {
            return Err("must be a tag: key or key=value".to_owned());
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.map(str::to_owned),
        })
    }
}

/// One extension of the baseline, checked as far as it can be by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: Option<String>,
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = halves(text);
        ExtensionName::parse(name).map_err(|fault| format!("its name {fault}"))?;
        if !is_name(name) || !is_name(version.unwrap_or("-")) && version != Some("") {
            return Err("must be name or name=version".to_owned());
        }
        if let Some(version) = version {
            if version.is_empty() {
                return Err("must be name or name=version".to_owned());
            }
            VersionRequest::parse(version).map_err(|fault| format!("its version {fault}"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

fn halves(text: &str) -> (&str, Option<&str>) {
    text.split_once('=')
        .map_or((text, None), |(left, right)| (left, Some(right)))
}

fn host(text: &str) -> Result<Host, String> {
    Host::parse(text).map_err(|fault| fault.to_string())
}

fn database(text: &str) -> Result<String, String> {
    if !is_name(text) {
        return Err("must be the name of a database".to_owned());
    }
    Ok(text.to_owned())
}

fn instance(text: &str) -> Result<String, String> {
    InstanceId::parse(text).map(|_| text.to_owned())
}

fn seconds_from_1_to_43200(text: &str) -> Result<Duration, String> {
    seconds(text, 1, 43_200)
}
