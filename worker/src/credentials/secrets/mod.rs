//! Credentials from Secrets Manager, kept for some minutes. The only module that knows aws-sdk-secretsmanager; it does
//! not know what a secret is for.

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
    /// Takes a password.
    pub fn new(text: String) -> Self {
        Self {
            text,
            is_token: false,
        }
    }

    /// Takes an IAM token, which replaces the password.
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

/// What a secret says, in the form that RDS and its rotation functions use. A secret that RDS manages itself holds a
/// user name and a password alone.
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
    /// The ARN under which Secrets Manager has it; none of one that the command line gives.
    pub arn: Option<String>,
}

/// Why there are no credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SecretError {
    /// There is no such secret, or it is about to be deleted.
    #[error("DBSecret \"{id}\": secret not found in {region}")]
    NotFound {
        /// As the stack wrote it.
        id: String,
        /// The worker's region.
        region: String,
    },
    /// The worker may not read it.
    #[error(
        "DBSecret \"{id}\": the worker's task role may not read it ({code}). Allow secretsmanager:GetSecretValue on it, and kms:Decrypt on its key"
    )]
    Denied {
        /// As the stack wrote it.
        id: String,
        /// What Secrets Manager or KMS called it.
        code: String,
    },
    /// The secret is not what credentials look like.
    #[error("DBSecret \"{id}\": {fault}")]
    Unusable {
        /// As the stack wrote it.
        id: String,
        /// What is wrong with it; never a part of it.
        fault: String,
    },
    /// Secrets Manager does not answer.
    #[error("DBSecret \"{id}\": could not be read from Secrets Manager ({cause})")]
    Unavailable {
        /// As the stack wrote it.
        id: String,
        /// What happened.
        cause: String,
        /// All of it.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
}

/// Which secrets are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretFilter {
    /// Those whose name begins so.
    Prefix(String),
    /// Those with a tag, of any value unless one is given.
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
    /// Secrets Manager's error code, empty where there was no answer.
    pub(crate) code: String,
    text: String,
}

impl ListError {
    /// Whether the same question has the same answer: what was asked is not what the service can be asked.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(
            self.code.as_str(),
            "ValidationException" | "InvalidParameterException" | "InvalidRequestException"
        )
    }
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub struct Secrets(Source);

#[derive(Debug, Clone)]
enum Source {
    /// Secrets Manager.
    Manager { manager: Manager, cache: Arc<Cache> },
    /// The command line: under every name.
    Given(Arc<Secret>),
}

impl Secrets {
    /// Reads secrets with the SDK's configuration, and keeps each for that long; not at all where that is nothing.
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

    /// A version of a secret that was the current one not long ago. All of it is of one version.
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

    /// A page of the names of secrets, from the first or the one that a token leads to, and the token of the next.
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

    /// What was read led nowhere, and may have changed since: the next reading is a new one.
    pub(crate) fn expire(&self, id: &str, read: &Arc<Secret>) {
        if let Source::Manager { cache, .. } = &self.0 {
            cache.expire(id, read);
        }
    }

    /// The password that was read is wrong, and may have changed since: as [`Secrets::expire`], and it does not serve
    /// again where there is no newer one either.
    pub(crate) fn invalidate(&self, id: &str, read: &Arc<Secret>) {
        if let Source::Manager { cache, .. } = &self.0 {
            cache.invalidate(id, read);
        }
    }
}
