//! Calls to Secrets Manager.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::types::{
    Filter, FilterNameStringType, SecretListEntry, SortByType, SortOrderType,
};

use super::document::parse;
use super::{ListError, Secret, SecretError, SecretFilter};

/// Maximum number of names on a page.
const MAX_RESULTS: i32 = 100;

/// The service, in one region.
#[derive(Debug, Clone)]
pub(super) struct Manager {
    client: Client,
    region: String,
}

impl Manager {
    /// Uses the SDK's configuration.
    pub(super) fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: Client::new(config),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// A page of the names of secrets, sorted.
    pub(super) async fn list(
        &self,
        filter: &SecretFilter,
        token: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), ListError> {
        let output = self
            .client
            .list_secrets()
            .set_filters(Some(filters(filter)))
            .sort_by(SortByType::Name)
            .sort_order(SortOrderType::Asc)
            .max_results(MAX_RESULTS)
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| ListError {
                code: error.code().unwrap_or_default().to_owned(),
                text: error.message().unwrap_or("no answer").to_owned(),
            })?;
        let secrets = output.secret_list.unwrap_or_default();
        let names = secrets
            .into_iter()
            .filter(|secret| matches_filter(secret, filter))
            .filter_map(|secret| secret.name)
            .collect();
        Ok((names, output.next_token))
    }

    /// The current version of a secret, in one call, so that user and password belong together.
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
        let secret = parse(text).map_err(unusable)?;
        Ok(Secret {
            arn: output.arn().map(str::to_owned),
            ..secret
        })
    }
}

/// The service compares prefixes of texts, of words in a name, and of keys and values of all tags.
fn matches_filter(secret: &SecretListEntry, filter: &SecretFilter) -> bool {
    match filter {
        SecretFilter::Prefix(prefix) => secret.name().is_some_and(|name| name.starts_with(prefix)),
        SecretFilter::Tag { key, value } => secret.tags().iter().any(|tag| {
            tag.key() == Some(key) && (value.is_none() || tag.value() == value.as_deref())
        }),
    }
}

/// The filter for the service, which matches more than is wanted.
fn filters(filter: &SecretFilter) -> Vec<Filter> {
    let one =
        |key: FilterNameStringType, value: &str| Filter::builder().key(key).values(value).build();
    match filter {
        SecretFilter::Prefix(prefix) => vec![one(FilterNameStringType::Name, prefix)],
        SecretFilter::Tag { key, value } => std::iter::once(one(FilterNameStringType::TagKey, key))
            .chain(
                value
                    .iter()
                    .filter(|value| !value.is_empty())
                    .map(|value| one(FilterNameStringType::TagValue, value)),
            )
            .collect(),
    }
}
