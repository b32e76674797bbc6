//! Where an upgrade goes to, and from where it is known what is offered there.

use serde::Deserialize;
use serde_json::Value;

use super::{invalid, read, secret_id};
use crate::request::properties::PropertiesError;
use crate::request::property_values::{Port, Text};
use crate::resync_protocol::{TargetOffer, major};
use crate::target::Host;

/// The oldest and the newest major version of PostgreSQL that an upgrade may go to.
const MAJORS: std::ops::RangeInclusive<u16> = 10..=99;

/// The upgrade that is checked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UpgradeRequest {
    /// The major version that it goes to.
    pub(crate) to: MajorVersion,
    /// From where it is known what is offered there.
    pub(crate) source: OfferSource,
    /// The same as it is written.
    pub(crate) written: Value,
}

/// A major version of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MajorVersion(pub(crate) u16);

/// From where it is known what the target offers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OfferSource {
    /// The worker's own table.
    Known,
    /// A server that runs the version.
    Server {
        /// Name or ARN of the secret.
        secret: String,
        /// Overrides the secret's host.
        host: Option<Host>,
        /// Overrides the secret's port.
        port: Option<u16>,
    },
    /// A file of what such a server offers.
    Snapshot(Box<TargetOffer>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenUpgrade {
    to: Value,
    #[serde(default)]
    like: Option<Value>,
    #[serde(default)]
    offer: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenServer {
    secret: String,
    #[serde(default)]
    host: Text,
    #[serde(default)]
    port: Port,
}

impl MajorVersion {
    /// Takes `17`, or `17.5` of which the minor version does not matter.
    ///
    /// # Errors
    /// What would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_version = text.len() <= 10
            && text.split('.').count() <= 2
            && text
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        major(text)
            .filter(|major| is_version && MAJORS.contains(major))
            .map(Self)
            .ok_or_else(|| "must be a major version of PostgreSQL, as 17".to_owned())
    }
}

impl UpgradeRequest {
    /// Takes `Upgrade`.
    ///
    /// # Errors
    /// [`PropertiesError`] naming the first field that is wrong.
    pub(super) fn parse(written: &Value) -> Result<Self, PropertiesError> {
        let upgrade: WrittenUpgrade = read("Upgrade", written)?;
        // A template may write it as a number.
        let to = upgrade.to.as_str().map_or_else(
            || MajorVersion::parse(&upgrade.to.to_string()),
            MajorVersion::parse,
        );
        let to = to.map_err(|fault| invalid("Upgrade.To", fault))?;
        let source = match (upgrade.like, upgrade.offer) {
            (Some(_), Some(_)) => {
                return Err(invalid("Upgrade.Offer", "does not go with Like"));
            }
            (Some(like), None) => server(&like)?,
            (None, Some(offer)) => snapshot(&offer, to)?,
            (None, None) => OfferSource::Known,
        };
        Ok(Self {
            to,
            source,
            written: written.clone(),
        })
    }
}

fn server(written: &Value) -> Result<OfferSource, PropertiesError> {
    let path = "Upgrade.Like";
    let server: WrittenServer = read(path, written)?;
    Ok(OfferSource::Server {
        secret: secret_id(&format!("{path}.Secret"), server.secret)?,
        host: server
            .host
            .given()
            .map(Host::parse)
            .transpose()
            .map_err(|fault| invalid(format!("{path}.Host"), fault.to_string()))?,
        port: server.port.0,
    })
}

fn snapshot(written: &Value, to: MajorVersion) -> Result<OfferSource, PropertiesError> {
    let path = "Upgrade.Offer";
    let offer: TargetOffer = read(path, written)?;
    if offer.major() != Some(to.0) {
        let fault = format!("must be of a server of version {}", to.0);
        return Err(invalid(format!("{path}.ServerVersion"), fault));
    }
    Ok(OfferSource::Snapshot(Box::new(offer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_major_version_may_have_a_minor_one_behind_it() {
        assert_eq!(MajorVersion::parse("17.5"), Ok(MajorVersion(17)));
        assert!(MajorVersion::parse("latest").is_err());
    }
}
