//! IAM authentication: a signed URL instead of a password, which RDS accepts for 15 minutes after the signature.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::{Duration, Instant, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use aws_sdk_rds::config::Region;
use parking_lot::Mutex;

use super::secrets::Password;
use crate::target::Address;

/// How long RDS accepts a token.
const VALID: Duration = Duration::from_secs(900);
/// How long a token is reused, so that connections are: a pool has one password.
const REUSED: Duration = Duration::from_secs(600);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RdsAuthTokenError {
    /// The worker has no credentials.
    #[error("the worker could not get AWS credentials to sign with")]
    Credentials(#[source] Box<dyn StdError + Send + Sync>),
    /// The host is not one of RDS, so that the region of the signature is unknown.
    #[error(
        "Authentication IAM: {0} is not a host of RDS (*.<region>.rds.amazonaws.com): use Password"
    )]
    NotRds(String),
    /// The token cannot be signed.
    #[error("the token cannot be signed")]
    Signing(#[source] Box<dyn StdError + Send + Sync>),
}

/// Makes tokens.
#[derive(Debug)]
pub struct Tokens {
    config: SdkConfig,
    credentials: SharedCredentialsProvider,
    /// Each token, with the time until which it is reused.
    made: Mutex<HashMap<(Address, String), (Password, Instant)>>,
}

impl Tokens {
    /// Signs with the SDK's credentials; `None` if it has none.
    pub fn new(config: &SdkConfig) -> Option<Self> {
        Some(Self {
            credentials: config.credentials_provider()?,
            config: config.clone(),
            made: Mutex::default(),
        })
    }

    /// Returns a token for the role, at most ten minutes old.
    ///
    /// # Errors
    /// [`RdsAuthTokenError`].
    pub(crate) async fn token(
        &self,
        address: &Address,
        username: &str,
    ) -> Result<Password, RdsAuthTokenError> {
        let key = (address.clone(), username.to_owned());
        let made = self.made.lock().get(&key).cloned();
        if let Some((token, _)) = made.filter(|(_, until)| Instant::now() < *until) {
            return Ok(token);
        }
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| RdsAuthTokenError::Credentials(Box::new(error)))?;
        // A token expires with the credentials that signed it.
        let lifetime = credentials
            .expiry()
            .and_then(|expiry| expiry.duration_since(SystemTime::now()).ok());
        let until = Instant::now() + lifetime.map_or(REUSED, |lifetime| REUSED.min(lifetime / 2));
        let token = sign_token(&self.config, address, username, credentials).await?;
        let token = Password::token(token);
        let mut tokens = self.made.lock();
        tokens.retain(|_, (_, until)| Instant::now() < *until);
        tokens.insert(key, (token.clone(), until));
        Ok(token)
    }
}

impl Tokens {
    /// Discards a refused token.
    pub(crate) fn remove(&self, address: &Address, username: &str) {
        let key = (address.clone(), username.to_owned());
        self.made.lock().remove(&key);
    }
}

/// The region in `<name>.<account's hash>.<region>.rds.amazonaws.com[.cn]`.
fn region(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".cn").unwrap_or(host);
    host.strip_suffix(".rds.amazonaws.com")?
        .rsplit('.')
        .next()
        .filter(|region| region.contains('-'))
}

async fn sign_token(
    config: &SdkConfig,
    address: &Address,
    username: &str,
    credentials: Credentials,
) -> Result<String, RdsAuthTokenError> {
    let host = address.host.as_str();
    let region = region(host).ok_or_else(|| RdsAuthTokenError::NotRds(host.to_owned()))?;
    // The generator puts the name into the URL unchanged.
    let user = percent_encoding::utf8_percent_encode(username, percent_encoding::NON_ALPHANUMERIC);
    let request = Config::builder()
        .credentials(credentials)
        .hostname(host)
        .port(u64::from(address.port))
        .region(Region::new(region.to_owned()))
        .username(user.to_string())
        .expires_in(VALID.as_secs())
        .build()
        .map_err(RdsAuthTokenError::Signing)?;
    let token = AuthTokenGenerator::new(request).auth_token(config).await;
    Ok(token
        .map_err(RdsAuthTokenError::Signing)?
        .as_str()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aws_smithy_async::time::StaticTimeSource;

    use super::*;
    use crate::target::Host;

    /// The token that botocore 1.40.55 makes from the same inputs.
    const BY_BOTOCORE: &str = "demo1.abc.eu-west-2.rds.amazonaws.com:5432/?Action=connect&DBUser=app%20user%2B1\
        &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Feu-west-2%2Frds-db%2Faws4_request\
        &X-Amz-Date=20261122T181831Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
        &X-Amz-Security-Token=to%2Bken%2Fwith%3Dsigns\
        &X-Amz-Signature=1751d3075e504c1607f1f4b6e1356197b07a1d96bad94f4052da491aed239b51";

    #[tokio::test]
    async fn a_token_is_the_one_that_botocore_makes() {
        let address = Address {
            host: Host::parse("demo1.abc.eu-west-2.rds.amazonaws.com").unwrap(),
            port: 5432,
        };
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            Some("to+ken/with=signs".to_owned()),
            None,
            "test",
        );
        let time: SystemTime = chrono::DateTime::parse_from_rfc3339("2026-11-22T18:18:31Z")
            .unwrap()
            .into();
        let config = SdkConfig::builder()
            .time_source(StaticTimeSource::new(time))
            .build();
        let token = sign_token(&config, &address, "app user+1", credentials)
            .await
            .unwrap();
        let parts =
            |token: &str| -> BTreeSet<String> { token.split('&').map(str::to_owned).collect() };
        assert_eq!(parts(&token), parts(BY_BOTOCORE));
    }

    #[test]
    fn the_region_is_the_hosts() {
        assert_eq!(
            region("demo1.abc.eu-west-2.rds.amazonaws.com"),
            Some("eu-west-2")
        );
        assert_eq!(
            region("c.cluster-abc.us-gov-west-1.rds.amazonaws.com"),
            Some("us-gov-west-1")
        );
        assert_eq!(
            region("demo1.abc.cn-north-1.rds.amazonaws.com.cn"),
            Some("cn-north-1")
        );
        assert_eq!(region("127.0.0.1"), None);
        assert_eq!(region("db.example.com"), None);
        assert_eq!(region("abc.rds.amazonaws.com"), None);
    }
}
