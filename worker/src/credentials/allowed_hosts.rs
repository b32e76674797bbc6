//! The servers to which a secret may be sent: the one that it names, those that RDS reports for it, and `WORKER_HOSTS`.

use super::host_rule::HostPatterns;
use super::managed_endpoints::ManagedEndpoints;
use super::secrets::Secret;
use crate::aws::rds::{Instances, ListError};
use crate::target::{Address, DEFAULT_PORT};

/// Why a secret is not sent to a server.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum HostError {
    /// The secret may not be sent to this server.
    #[error("the secret may not be sent to {0}")]
    Refused(Address),
    /// The endpoints of RDS could not be listed.
    #[error("the endpoints of RDS could not be listed")]
    Unknown(#[source] ListError),
}

/// The servers that secrets may be sent to.
#[derive(Debug)]
pub struct AllowedHosts {
    patterns: HostPatterns,
    endpoints: ManagedEndpoints,
}

impl AllowedHosts {
    /// In addition to `patterns`, allows the endpoints that RDS reports for a secret.
    pub fn new(patterns: HostPatterns, instances: Instances) -> Self {
        Self {
            patterns,
            endpoints: ManagedEndpoints::new(instances),
        }
    }

    /// Checks that a secret may be sent to a server.
    ///
    /// # Errors
    /// [`HostError`].
    pub(crate) async fn check(&self, secret: &Secret, address: &Address) -> Result<(), HostError> {
        if is_own(secret, address) || self.patterns.match_host(address) {
            return Ok(());
        }
        let Some(arn) = &secret.arn else {
            return Err(HostError::Refused(address.clone()));
        };
        match self.endpoints.report(arn, address).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(HostError::Refused(address.clone())),
            Err(error) => Err(HostError::Unknown(error)),
        }
    }
}

/// Whether the secret itself names the host, with this port.
fn is_own(secret: &Secret, address: &Address) -> bool {
    secret.host.as_ref() == Some(&address.host)
        && secret.port.unwrap_or(DEFAULT_PORT) == address.port
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Host;

    #[test]
    fn the_own_server_is_the_secrets_host_at_its_port() {
        let host = Host::parse("db.example.com").unwrap();
        let secret = |host: Option<&Host>, port| Secret {
            username: "u".to_owned(),
            password: None,
            host: host.cloned(),
            port,
            dbname: None,
            arn: None,
        };
        let at = |port| Address {
            host: host.clone(),
            port,
        };
        assert!(is_own(&secret(Some(&host), Some(5433)), &at(5433)));
        assert!(!is_own(&secret(Some(&host), Some(5433)), &at(5432)));
        assert!(is_own(&secret(Some(&host), None), &at(5432)));
        assert!(!is_own(&secret(Some(&host), None), &at(5433)));
        assert!(!is_own(&secret(None, Some(5432)), &at(5432)));
        let other = Host::parse("db.example.org").unwrap();
        assert!(!is_own(&secret(Some(&other), None), &at(5432)));
    }
}
