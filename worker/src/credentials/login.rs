//! From what a stack declares to where its server is and how to log in to it.

use std::sync::Arc;

use super::rds_auth_token::Tokens;
use super::secrets::{Password, Secret, SecretError, Secrets};
use crate::credentials::AllowedHosts;
use crate::execution::error::AttemptError;
use crate::request::{Authentication, Properties};
use crate::target::{Address, DEFAULT_PORT, Host, Target};

/// Where credentials come from.
#[derive(Debug)]
pub struct Logins {
    secrets: Secrets,
    tokens: Option<Tokens>,
    /// None: a secret is sent wherever the properties say.
    allowed_hosts: Option<AllowedHosts>,
}

/// A role that can log in to a server.
#[derive(Debug)]
pub struct Login {
    /// The server.
    pub address: Address,
    /// The role.
    pub username: String,
    /// The secret's password, or a token.
    pub password: Password,
    /// The database that the secret names.
    pub dbname: Option<String>,
    /// What the secret is called, and what it said.
    read: (String, Arc<Secret>),
}

impl Logins {
    /// Without tokens nobody authenticates with IAM.
    pub fn new(secrets: Secrets, tokens: Option<Tokens>) -> Self {
        Self {
            secrets,
            tokens,
            allowed_hosts: None,
        }
    }

    /// Sends secrets to these servers alone. On the command line no rule applies: who runs it holds the credentials.
    #[must_use]
    pub fn restricted_to(mut self, allowed_hosts: AllowedHosts) -> Self {
        self.allowed_hosts = Some(allowed_hosts);
        self
    }

    /// Reads the secret, and signs a token where one is declared.
    ///
    /// # Errors
    /// [`AttemptError`].
    pub async fn log_in(&self, properties: &Properties) -> Result<Login, AttemptError> {
        let id = &properties.db_secret;
        let secret = self
            .secrets
            .read(id)
            .await
            .map_err(|error| AttemptError::of_secret(&error))?;
        let login = self.login(properties, &secret).await;
        if login.is_err() {
            // Whoever adds what it lacks shall not have to wait for it to be read again.
            self.secrets.expire(id, &secret);
        }
        login
    }

    /// The role of a secret and its server, unless host or port say otherwise: `user@host:port`; none where nothing names
    /// a host.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn role(
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

    /// Where the secrets are.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    async fn login(
        &self,
        properties: &Properties,
        secret: &Arc<Secret>,
    ) -> Result<Login, AttemptError> {
        let id = &properties.db_secret;
        let host = properties
            .db_host
            .as_ref()
            .or(secret.host.as_ref())
            .ok_or_else(|| {
                AttemptError::permanent(format!(
                    "DBHost: required, as secret \"{id}\" has no host."
                ))
            })?;
        let port = properties.db_port.or(secret.port).unwrap_or(DEFAULT_PORT);
        let address = Address {
            host: host.clone(),
            port,
        };
        if let Some(allowed) = &self.allowed_hosts {
            let checked = allowed.check(secret, &address).await;
            checked.map_err(|error| AttemptError::of_host(&error, id))?;
        }
        let password = match properties.authentication {
            Authentication::Password => secret.password.clone().ok_or_else(|| {
                AttemptError::permanent(format!("DBSecret \"{id}\": has no field \"password\"."))
            })?,
            Authentication::Iam => {
                let tokens = self.tokens.as_ref().ok_or_else(|| {
                    AttemptError::permanent(
                        "Authentication IAM: the worker has no AWS credentials.".to_owned(),
                    )
                })?;
                let signed = tokens.token(&address, &secret.username).await;
                signed.map_err(|error| AttemptError::of_iam(&error))?
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

    /// The server refused the credentials: neither they nor a token among them are used again.
    pub fn invalidate(&self, login: &Login) {
        let (id, secret) = &login.read;
        self.secrets.invalidate(id, secret);
        if let Some(tokens) = &self.tokens {
            tokens.remove(&login.address, &login.username);
        }
    }

    /// The login led nowhere: if the secret names another server by now, the next one goes there.
    pub fn expire(&self, login: &Login) {
        let (id, secret) = &login.read;
        self.secrets.expire(id, secret);
    }
}

impl Login {
    /// One of the server's databases.
    pub fn target(&self, database: &str) -> Target {
        Target {
            address: self.address.clone(),
            database: database.to_owned(),
            username: self.username.clone(),
        }
    }
}
