//! What CloudFormation shows of a stack and its resources. The only module that knows aws-sdk-cloudformation; it decides
//! nothing. The names of statuses are CloudFormation's own.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::Mutex;

use crate::process::error_chain::with_causes;

/// The session's name, which CloudTrail of the other account shows.
const SESSION: &str = "extension-worker";

/// A resource as `DescribeStackResource` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourceOfStack {
    /// `CREATE_IN_PROGRESS` and so on.
    pub(crate) status: String,
    /// The id that its last answer gave; none where it has none yet.
    pub(crate) physical_resource_id: Option<String>,
    /// `Custom::…`.
    pub(crate) resource_type: String,
}

/// A call that CloudFormation did not answer as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CloudFormationError {
    /// Throttled, or not reached: later it may be answered.
    #[error("could not ask CloudFormation: {0}")]
    Unavailable(String),
    /// The worker's role may not ask, or may not assume the role in the other account.
    #[error("cannot ask CloudFormation: {0}")]
    Denied(String),
}

/// CloudFormation in the worker's region, of its own account and of others.
#[derive(Debug)]
pub(crate) struct CloudFormation {
    config: SdkConfig,
    own: Client,
    /// By the ARN of the role.
    assumed: Mutex<HashMap<String, Client>>,
}

impl CloudFormation {
    /// Calls CloudFormation with the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self {
            own: Client::new(config),
            config: config.clone(),
            assumed: Mutex::default(),
        }
    }

    /// The region that is asked.
    pub(crate) fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// The resource of the stack, named by its ARN; none where there is no such stack or resource. `role` is assumed for it.
    ///
    /// # Errors
    /// [`CloudFormationError`].
    pub(crate) async fn resource(
        &self,
        role: Option<&str>,
        stack_arn: &str,
        logical_resource_id: &str,
    ) -> Result<Option<ResourceOfStack>, CloudFormationError> {
        let client = self.client(role).await?;
        let answer = client
            .describe_stack_resource()
            .stack_name(stack_arn)
            .logical_resource_id(logical_resource_id)
            .send()
            .await;
        let detail = match answer {
            Ok(answer) => answer.stack_resource_detail,
            Err(error) => return none_or_error("DescribeStackResource", &error),
        };
        Ok(detail.map(|detail| ResourceOfStack {
            status: detail
                .resource_status()
                .map(|status| status.as_str().to_owned())
                .unwrap_or_default(),
            physical_resource_id: detail.physical_resource_id.filter(|id| !id.is_empty()),
            resource_type: detail.resource_type.unwrap_or_default(),
        }))
    }

    /// The status of the stack, named by its ARN; none where there is no such stack.
    ///
    /// # Errors
    /// [`CloudFormationError`].
    pub(crate) async fn stack_status(
        &self,
        role: Option<&str>,
        stack_arn: &str,
    ) -> Result<Option<String>, CloudFormationError> {
        let client = self.client(role).await?;
        let answer = client.describe_stacks().stack_name(stack_arn).send().await;
        match answer {
            Ok(answer) => Ok(answer
                .stacks()
                .first()
                .and_then(|stack| stack.stack_status())
                .map(|status| status.as_str().to_owned())),
            Err(error) => none_or_error("DescribeStacks", &error),
        }
    }

    async fn client(&self, role: Option<&str>) -> Result<Client, CloudFormationError> {
        let Some(role) = role else {
            return Ok(self.own.clone());
        };
        let mut assumed = self.assumed.lock().await;
        if let Some(client) = assumed.get(role) {
            return Ok(client.clone());
        }
        let provider = AssumeRoleProvider::builder(role)
            .session_name(SESSION)
            .configure(&self.config)
            .build()
            .await;
        // The client would report it as a call that was not sent, whatever the reason is.
        provider.provide_credentials().await.map_err(|error| {
            // Without the answer itself, which the SDK's `Debug` prints whole: it may hold credentials.
            let text = with_causes(&error);
            if text.contains("AccessDenied") {
                CloudFormationError::Denied(format!("the role {role} cannot be assumed"))
            } else {
                CloudFormationError::Unavailable(text)
            }
        })?;
        let config = aws_sdk_cloudformation::config::Builder::from(&self.config)
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .build();
        let client = Client::from_conf(config);
        assumed.insert(role.to_owned(), client.clone());
        Ok(client)
    }
}

/// What does not exist is a `ValidationError` of CloudFormation, as is nothing else in calls with one name each.
fn none_or_error<T, E>(call: &str, error: &SdkError<E>) -> Result<Option<T>, CloudFormationError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some("ValidationError") => Ok(None),
        Some(code) if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" => Err(
            CloudFormationError::Denied(format!("{call} is denied to the worker's role")),
        ),
        Some(_) | None => Err(CloudFormationError::Unavailable(format!(
            "{call}: {}",
            with_causes(error)
        ))),
    }
}
