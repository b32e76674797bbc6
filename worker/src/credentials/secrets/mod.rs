//! Credentials from Secrets Manager, cached for some minutes. Only this module uses aws-sdk-secretsmanager, and it makes no
//! decisions about the use of a secret.

mod cache;
mod cached;
mod document;
mod manager;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use self::cache::Cache;
use self::manager::Manager;
use crate::target::Host;

/// A password. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Password {
    text: String,
    is_token: bool,
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Password {
    /// Makes a password.
    pub fn new(text: String) -> Self {
        Self {
            text,
            is_token: false,
        }
    }

    /// Makes one from an IAM token, which replaces the password.
    pub(crate) fn token(text: String) -> Self {
        Self {
            text,
            is_token: true,
        }
    }

    /// Whether it is an IAM token.
    pub(crate) fn is_token(&self) -> bool {
        self.is_token
    }

    /// The password, for the connection alone.
    pub(crate) fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The content of a secret, in the form of RDS and its rotation functions. A secret that RDS manages contains only a user
/// name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The role.
    pub username: String,
    /// Its password; a role that authenticates with IAM needs none.
    pub password: Option<Password>,
    /// The server.
    pub host: Option<Host>,
    /// Its port.
    pub port: Option<u16>,
    /// The database.
    pub dbname: Option<String>,
    /// The ARN of the secret; `None` for credentials of the command line.
    pub arn: Option<String>,
}

/// Why there are no credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SecretError {
    /// The secret does not exist, or is scheduled for deletion.
    #[error("DBSecret \"{id}\": secret not found in {region}")]
    NotFound {
        /// The name or ARN in the properties.
        id: String,
        /// The worker's region.
        region: String,
    },
    /// The task role may not read it.
    #[error(
        "DBSecret \"{id}\": the worker's task role may not read it ({code}). Allow secretsmanager:GetSecretValue on it, and kms:Decrypt on its key"
    )]
    Denied {
        /// The name or ARN in the properties.
        id: String,
        /// The error code of Secrets Manager or KMS.
        code: String,
    },
    /// The content is not a valid document of credentials.
    #[error("DBSecret \"{id}\": {fault}")]
    Unusable {
        /// The name or ARN in the properties.
        id: String,
        /// What is wrong with it; never a part of it.
        fault: String,
    },
    /// Secrets Manager does not answer.
    #[error("DBSecret \"{id}\": could not be read from Secrets Manager ({cause})")]
    Unavailable {
        /// The name or ARN in the properties.
        id: String,
        /// The error.
        cause: String,
        /// Its cause.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
}

/// A filter for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretFilter {
    /// Secrets whose name begins with this prefix.
    Prefix(String),
    /// Secrets with this tag; without a value, with any value.
    Tag {
        /// The tag's key.
        key: String,
        /// Its value.
        value: Option<String>,
    },
}

/// Why secrets cannot be listed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("secrets could not be listed: {code} {text}")]
pub(crate) struct ListError {
    /// Secrets Manager's error code, empty if it did not answer.
    pub(crate) code: String,
    text: String,
}

impl ListError {
    /// Whether another attempt has the same result, because the service cannot evaluate the filter.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(
            self.code.as_str(),
            "ValidationException" | "InvalidParameterException" | "InvalidRequestException"
        )
    }
}

/// The source of credentials.
#[derive(Debug, Clone)]
pub struct Secrets(Source);

#[derive(Debug, Clone)]
enum Source {
    /// Secrets Manager.
    Manager { manager: Manager, cache: Arc<Cache> },
    /// The command line: the same credentials for every name.
    Given(Arc<Secret>),
}

impl Secrets {
    /// Reads secrets with the SDK's configuration, and caches each for this time; zero: not at all.
    pub fn new(config: &aws_config::SdkConfig, lifetime: Duration) -> Self {
        Self(Source::Manager {
            manager: Manager::new(config),
            cache: Arc::new(Cache::new(lifetime)),
        })
    }

    /// Credentials that are known already.
    pub fn given(secret: Secret) -> Self {
        Self(Source::Given(Arc::new(secret)))
    }

    /// Returns a version of a secret that was current recently. All its fields are of the same version.
    ///
    /// # Errors
    /// [`SecretError`].
    pub(crate) async fn read(&self, id: &str) -> Result<Arc<Secret>, SecretError> {
        match &self.0 {
            Source::Manager { manager, cache } => {
                let fetch = || {
                    let (manager, id) = (manager.clone(), id.to_owned());
                    async move { manager.fetch(&id).await }
                };
                cache.read(id, fetch).await
            }
            Source::Given(secret) => Ok(Arc::clone(secret)),
        }
    }

    /// Returns a page of the names of secrets, the first or the one of a token, and the token of the next.
    ///
    /// # Errors
    /// [`ListError`].
    pub(crate) async fn list(
        &self,
        filter: &SecretFilter,
        token: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), ListError> {
        match &self.0 {
            Source::Manager { manager, .. } => manager.list(filter, token).await,
            Source::Given(_) => Ok((Vec::new(), None)),
        }
    }

    /// The login with this secret failed, and it may have changed since: the next call reads it again.
    pub(crate) fn expire(&self, id: &str, read: &Arc<Secret>) {
        if let Source::Manager { cache, .. } = &self.0 {
            cache.expire(id, read);
        }
    }

    /// The password was refused, and may have changed since: as [`Secrets::expire`], and this version is not used again
    /// even if there is no newer one.
    pub(crate) fn invalidate(&self, id: &str, read: &Arc<Secret>) {
        if let Source::Manager { cache, .. } = &self.0 {
            cache.invalidate(id, read);
        }
    }
}
