//! Secrets Manager's own answers.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;

use super::document::parse;
use super::{Secret, SecretError};

/// The service, in one region.
#[derive(Debug, Clone)]
pub(super) struct Manager {
    client: Client,
    region: String,
}

impl Manager {
    /// Speaks with the SDK's configuration.
    pub(super) fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: Client::new(config),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// The current version of a secret: one call, so that user and password belong together.
    pub(super) async fn fetch(&self, id: &str) -> Result<Secret, SecretError> {
        let not_found = || SecretError::NotFound {
            id: id.to_owned(),
            region: self.region.clone(),
        };
        let output = self
            .client
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
                    "ValidationException"
                    | "InvalidParameterException"
                    | "InvalidRequestException" => SecretError::Unusable {
                        id: id.to_owned(),
                        fault: message,
                    },
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
                        source: Arc::new(error),
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
}
