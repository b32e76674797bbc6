//! From the properties and the secret to the server and its credentials.

use std::sync::Arc;

use super::rds_auth_token::{RdsAuthTokenError, Tokens};
use super::secrets::{Password, Secret, SecretError, Secrets};
use super::{AllowedHosts, HostError};
use crate::request::{Authentication, Properties};
use crate::target::{Address, DEFAULT_PORT, Host, Target};

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Neither the properties nor the secret of this name contains a host.
    #[error("neither the properties nor secret \"{0}\" names a host")]
    NoHost(String),
    /// The secret may not be sent to the host.
    #[error("secret \"{secret}\" is not sent to the host")]
    Host {
        /// The secret's name.
        secret: String,
        /// Why it may not be sent.
        #[source]
        error: HostError,
    },
    /// The secret of this name has no password.
    #[error("secret \"{0}\" has no password")]
    NoPassword(String),
    /// The worker has no AWS credentials to sign a token with.
    #[error("the worker has no AWS credentials")]
    NoAwsCredentials,
    /// The token could not be signed.
    #[error("there is no token")]
    Token(#[source] RdsAuthTokenError),
}

/// Makes logins.
#[derive(Debug)]
pub struct Logins {
    secrets: Secrets,
    tokens: Option<Tokens>,
    /// `None`: secrets are sent to any server that the properties name.
    allowed_hosts: Option<AllowedHosts>,
}

/// A role with credentials for a server.
#[derive(Debug)]
pub(crate) struct Login {
    /// The server.
    pub(crate) address: Address,
    /// The role.
    pub(crate) username: String,
    /// The secret's password, or a token.
    pub(crate) password: Password,
    /// The database that the secret names.
    pub(crate) dbname: Option<String>,
    /// The secret's name, and its content.
    read: (String, Arc<Secret>),
}

impl Logins {
    /// Makes logins; without `tokens`, `Authentication: IAM` is refused.
    pub fn new(secrets: Secrets, tokens: Option<Tokens>) -> Self {
        Self {
            secrets,
            tokens,
            allowed_hosts: None,
        }
    }

    /// Limits the servers to which secrets are sent. The command line has no limit, because its user holds the credentials.
    #[must_use]
    pub fn restricted_to(mut self, allowed_hosts: AllowedHosts) -> Self {
        self.allowed_hosts = Some(allowed_hosts);
        self
    }

    /// Reads the secret, and signs a token if the properties require one.
    ///
    /// # Errors
    /// [`LoginError`].
    pub(crate) async fn log_in(&self, properties: &Properties) -> Result<Login, LoginError> {
        let id = &properties.db_secret;
        let secret = self.secrets.read(id).await?;
        let login = self.login(properties, &secret).await;
        if login.is_err() {
            // A secret is read again at once, as it may have been corrected.
            self.secrets.expire(id, &secret);
        }
        login
    }

    /// The role of a secret and its server as `user@host:port`, unless `host` or `port` override the secret's; `None` if
    /// there is no host.
    ///
    /// # Errors
    /// [`SecretError`].
    pub(crate) async fn role(
        &self,
        secret: &str,
        host: Option<Host>,
        port: Option<u16>,
    ) -> Result<Option<String>, SecretError> {
        let secret = self.secrets.read(secret).await?;
        let port = port.or(secret.port).unwrap_or(DEFAULT_PORT);
        let host = host.or_else(|| secret.host.clone());
        Ok(host.map(|host| format!("{}@{host}:{port}", secret.username)))
    }

    /// The region of the secrets.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    async fn login(
        &self,
        properties: &Properties,
        secret: &Arc<Secret>,
    ) -> Result<Login, LoginError> {
        let id = &properties.db_secret;
        let host = properties
            .db_host
            .as_ref()
            .or(secret.host.as_ref())
            .ok_or_else(|| LoginError::NoHost(id.clone()))?;
        let port = properties.db_port.or(secret.port).unwrap_or(DEFAULT_PORT);
        let address = Address {
            host: host.clone(),
            port,
        };
        if let Some(allowed) = &self.allowed_hosts {
            let checked = allowed.check(secret, &address).await;
            checked.map_err(|error| LoginError::Host {
                secret: id.clone(),
                error,
            })?;
        }
        let password = match properties.authentication {
            Authentication::Password => secret
                .password
                .clone()
                .ok_or_else(|| LoginError::NoPassword(id.clone()))?,
            Authentication::Iam => {
                let tokens = self.tokens.as_ref().ok_or(LoginError::NoAwsCredentials)?;
                let signed = tokens.token(&address, &secret.username).await;
                signed.map_err(LoginError::Token)?
            }
        };
        Ok(Login {
            address,
            username: secret.username.clone(),
            password,
            dbname: secret.dbname.clone(),
            read: (id.clone(), Arc::clone(secret)),
        })
    }

    /// The server refused the credentials: neither the password nor the token is used again.
    pub(crate) fn invalidate(&self, login: &Login) {
        let (id, secret) = &login.read;
        self.secrets.invalidate(id, secret);
        if let Some(tokens) = &self.tokens {
            tokens.remove(&login.address, &login.username);
        }
    }

    /// The login failed: if the secret names another server by now, the next login uses it.
    pub(crate) fn expire(&self, login: &Login) {
        let (id, secret) = &login.read;
        self.secrets.expire(id, secret);
    }
}

impl Login {
    /// One of the server's databases.
    pub(crate) fn target(&self, database: &str) -> Target {
        Target {
            address: self.address.clone(),
            database: database.to_owned(),
            username: self.username.clone(),
        }
    }
}
