//! Credentials from Secrets Manager. The only module that knows aws-sdk-secretsmanager; it decides nothing.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use serde::Deserialize;

use crate::message::Port;
use crate::server::Host;

/// A password. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes a password.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The password, for the connection alone.
    pub fn expose(&self) -> &str {
        &self.0
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
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
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
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub enum Secrets {
    /// Secrets Manager.
    Manager {
        /// Its client.
        client: Client,
        /// Its region.
        region: String,
    },
    /// The command line: whatever name is asked for.
    Given(Secret),
}

impl Secrets {
    /// Reads secrets with the SDK's configuration.
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self::Manager {
            client: Client::new(config),
            region,
        }
    }

    /// Credentials that are known already.
    pub fn given(secret: Secret) -> Self {
        Self::Given(secret)
    }

    /// The current version of a secret.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn read(&self, id: &str) -> Result<Secret, SecretError> {
        match self {
            Self::Manager { client, region } => read(client, region, id).await,
            Self::Given(secret) => Ok(secret.clone()),
        }
    }
}

async fn read(client: &Client, region: &str, id: &str) -> Result<Secret, SecretError> {
    let not_found = || SecretError::NotFound {
        id: id.to_owned(),
        region: region.to_owned(),
    };
    let output = client
        .get_secret_value()
        .secret_id(id)
        .send()
        .await
        .map_err(|error| {
            let code = error.code().unwrap_or_default().to_owned();
            let message = error.message().unwrap_or_default().to_owned();
            match code.as_str() {
                "ResourceNotFoundException" => not_found(),
                "InvalidRequestException" if message.contains("delet") => not_found(),
                "ValidationException" | "InvalidParameterException" | "InvalidRequestException" => {
                    SecretError::Unusable {
                        id: id.to_owned(),
                        fault: message,
                    }
                }
                "AccessDeniedException" | "DecryptionFailure" | "KMSAccessDeniedException" => {
                    SecretError::Denied {
                        id: id.to_owned(),
                        code,
                    }
                }
                _ => SecretError::Unavailable {
                    id: id.to_owned(),
                    cause: if code.is_empty() {
                        "no answer".to_owned()
                    } else {
                        code
                    },
                    source: Box::new(error),
                },
            }
        })?;
    let unusable = |fault: String| SecretError::Unusable {
        id: id.to_owned(),
        fault,
    };
    let text = output
        .secret_string()
        .ok_or_else(|| unusable("must be a JSON text, not binary".to_owned()))?;
    parse(text).map_err(unusable)
}

#[derive(Deserialize)]
struct Document {
    username: Option<String>,
    password: Option<Password>,
    engine: Option<String>,
    host: Option<String>,
    #[serde(default)]
    port: Port,
    dbname: Option<String>,
}

/// Says what is wrong without quoting: serde's own words could hold a part of the secret.
fn parse(text: &str) -> Result<Secret, String> {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|_| "is not JSON; it must be an object with username and password".to_owned())?;
    if !value.is_object() {
        return Err("is not a JSON object; it must have username and password".to_owned());
    }
    let document: Document = serde_path_to_error::deserialize(value)
        .map_err(|error| format!("its field \"{}\" is of the wrong type", error.path()))?;
    let engine = document.engine.unwrap_or_default();
    if !engine.is_empty() && !engine.contains("postgres") {
        return Err(format!(
            "its engine is \"{engine}\"; this worker serves postgres"
        ));
    }
    let given = |field: Option<String>| field.filter(|text| !text.is_empty());
    Ok(Secret {
        username: given(document.username).ok_or("has no field \"username\"")?,
        password: document.password,
        host: given(document.host)
            .map(|host| Host::parse(&host).map_err(|fault| format!("its field \"host\" {fault}")))
            .transpose()?,
        port: document.port.0,
        dbname: given(document.dbname),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_rds_writes_are_read() {
        let full = parse(r#"{"engine":"postgres","host":"h","port":5433,"dbname":"d","username":"u","password":"p"}"#).unwrap();
        assert_eq!(
            (
                full.host.as_ref().map(Host::as_str),
                full.port,
                full.dbname.as_deref()
            ),
            (Some("h"), Some(5433), Some("d"))
        );
        let managed = parse(r#"{"username":"u","password":"p"}"#).unwrap();
        assert_eq!(managed.host, None);
        assert_eq!(
            parse(r#"{"username":"u","password":"p","port":"5432"}"#)
                .unwrap()
                .port,
            Some(5432)
        );
        assert!(parse(r#"{"engine":"aurora-postgresql","username":"u","password":"p"}"#).is_ok());
    }

    #[test]
    fn a_fault_names_the_field_and_quotes_no_value() {
        for (text, fault) in [
            (
                "hunter2",
                "is not JSON; it must be an object with username and password",
            ),
            (
                "[]",
                "is not a JSON object; it must have username and password",
            ),
            (r#"{"password":"hunter2"}"#, "has no field \"username\""),
            (
                r#"{"username":"u","password":["hunter2"]}"#,
                "its field \"password\" is of the wrong type",
            ),
            (
                r#"{"username":"u","password":"p","port":"hunter2"}"#,
                "its field \"port\" is of the wrong type",
            ),
            (
                r#"{"engine":"mysql","username":"u","password":"p"}"#,
                "its engine is \"mysql\"; this worker serves postgres",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault);
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let secret = parse(r#"{"username":"u","password":"hunter2"}"#).unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
