//! IAM authentication: a signed URL in the place of a password. RDS takes it for 15 minutes after its signature.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use url::Url;

use super::secrets::Password;
use crate::target::Address;

/// How long RDS takes a token.
const VALID: Duration = Duration::from_secs(900);
/// How long one is used again, so that connections are: the pool serves one password.
const REUSED: Duration = Duration::from_secs(600);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum RdsAuthTokenError {
    /// The worker has no credentials.
    #[error("the worker could not get AWS credentials to sign with")]
    Credentials(#[source] Box<dyn StdError + Send + Sync>),
    /// The host is none of RDS's: there is no telling for which region to sign.
    #[error(
        "Authentication IAM: {0} is not a host of RDS (*.<region>.rds.amazonaws.com): use Password"
    )]
    NotRds(String),
    /// It cannot be signed.
    #[error("the token cannot be signed")]
    Signing(#[source] Box<dyn StdError + Send + Sync>),
}

/// Makes tokens.
#[derive(Debug)]
pub struct Tokens {
    credentials: SharedCredentialsProvider,
    /// With each token until when it is used again.
    made: Mutex<HashMap<(Address, String), (Password, Instant)>>,
}

impl Tokens {
    /// Signs with the SDK's credentials; none where it has none.
    pub fn new(config: &aws_config::SdkConfig) -> Option<Self> {
        Some(Self {
            credentials: config.credentials_provider()?,
            made: Mutex::default(),
        })
    }

    /// A token for the role, not older than ten minutes.
    ///
    /// # Errors
    /// [`RdsAuthTokenError`].
    pub async fn token(
        &self,
        address: &Address,
        username: &str,
    ) -> Result<Password, RdsAuthTokenError> {
        let key = (address.clone(), username.to_owned());
        let made = self
            .made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some((token, _)) = made.filter(|(_, until)| Instant::now() < *until) {
            return Ok(token);
        }
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| RdsAuthTokenError::Credentials(Box::new(error)))?;
        // A token dies with the credentials that signed it.
        let lifetime = credentials
            .expiry()
            .and_then(|expiry| expiry.duration_since(SystemTime::now()).ok());
        let until = Instant::now() + lifetime.map_or(REUSED, |lifetime| REUSED.min(lifetime / 2));
        let token = Password::token(sign_token(
            address,
            username,
            credentials,
            SystemTime::now(),
        )?);
        let mut tokens = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, until)| Instant::now() < *until);
        tokens.insert(key, (token.clone(), until));
        Ok(token)
    }
}

impl Tokens {
    /// Lets a token that was refused not be used again.
    pub fn remove(&self, address: &Address, username: &str) {
        let key = (address.clone(), username.to_owned());
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
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

fn sign_token(
    address: &Address,
    username: &str,
    credentials: Credentials,
    time: SystemTime,
) -> Result<String, RdsAuthTokenError> {
    let region = region(address.host.as_str())
        .ok_or_else(|| RdsAuthTokenError::NotRds(address.host.to_string()))?;
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(VALID);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(time)
        .settings(settings)
        .build()
        .map_err(|error| RdsAuthTokenError::Signing(Box::new(error)))?;
    let user = percent_encoding::utf8_percent_encode(username, percent_encoding::NON_ALPHANUMERIC);
    let url = format!("https://{address}/?Action=connect&DBUser={user}");
    let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(|error| RdsAuthTokenError::Signing(Box::new(error)))?;
    let (instructions, _) = sign(request, &parameters.into())
        .map_err(|error| RdsAuthTokenError::Signing(Box::new(error)))?
        .into_parts();
    let mut url = Url::parse(&url).map_err(|error| RdsAuthTokenError::Signing(Box::new(error)))?;
    url.query_pairs_mut().extend_pairs(
        instructions
            .params()
            .iter()
            .map(|(name, value)| (*name, value.as_ref())),
    );
    Ok(url.as_str().trim_start_matches("https://").to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::target::Host;

    /// What botocore 1.40.55 makes of the same inputs.
    const BY_BOTOCORE: &str = "demo1.abc.eu-west-2.rds.amazonaws.com:5432/?Action=connect&DBUser=app%20user%2B1\
        &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Feu-west-2%2Frds-db%2Faws4_request\
        &X-Amz-Date=20261122T181831Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
        &X-Amz-Security-Token=to%2Bken%2Fwith%3Dsigns\
        &X-Amz-Signature=1751d3075e504c1607f1f4b6e1356197b07a1d96bad94f4052da491aed239b51";

    #[test]
    fn a_token_is_the_one_that_botocore_makes() {
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
        let time = chrono::DateTime::parse_from_rfc3339("2026-11-22T18:18:31Z")
            .unwrap()
            .into();
        let token = sign_token(&address, "app user+1", credentials, time).unwrap();
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
