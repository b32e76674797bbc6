//! Verifies the origin of a message: a request comes from CloudFormation, a re-sync from a principal that may start one, a
//! message between workers from a worker. Before that nothing is changed in a database.
//!
//! The content of a message is chosen by its publisher. The verification uses only facts that the publisher cannot choose:
//! the state of the stack in CloudFormation, the topic, and the sender that SQS reports.

pub(crate) mod operation;
pub(crate) mod topics;

use std::time::{Duration, Instant};

use clap::ValueEnum;
use tracing::info;

use self::operation::{Finding, find};
use crate::aws::{
    CallerIdentityError, CloudFormation, CloudFormationError, Identities, ResourceOfStack,
};
use crate::process::retry::{Policy, Retry};
use crate::request::RequestHeader;

/// The role with this name in a stack's account allows the worker to call CloudFormation there.
pub(crate) const ROLE_NAME: &str = "extension-worker-verify";

/// How long one delivery waits until CloudFormation reports the operation of a request, as its reports can be late.
const LAG: Duration = Duration::from_secs(3);
const LAG_PAUSES: Policy = Policy {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(2),
};

/// Whether requests are verified with CloudFormation, `WORKER_VERIFY_STACKS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum StackCheck {
    /// Requests are not verified.
    #[default]
    Off,
    /// A request is carried out only if CloudFormation reports the same operation of the resource as under way.
    Enforce,
}

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestVerificationError {
    /// CloudFormation or STS could not be called; a later attempt may succeed.
    #[error("the request could not be verified (WORKER_VERIFY_STACKS)")]
    Unavailable(#[source] CloudFormationError),
    /// STS did not report the worker's account.
    #[error("the request could not be verified (WORKER_VERIFY_STACKS)")]
    NoIdentity(#[source] CallerIdentityError),
    /// The request cannot be verified, and never will be.
    #[error("the request cannot be verified (WORKER_VERIFY_STACKS): {0}")]
    Unverifiable(String),
    /// The operation has ended.
    #[error(
        "the operation of this request has ended (WORKER_VERIFY_STACKS): the resource is in {0} already"
    )]
    Over(String),
    /// CloudFormation shows no such operation.
    #[error("CloudFormation shows no such operation (WORKER_VERIFY_STACKS): {0}")]
    Contradicted(String),
}

/// Why a message between workers is not processed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SenderVerificationError {
    /// It arrived by a topic.
    #[error("a message between workers does not come through a topic ({0})")]
    ThroughTopic(String),
    /// Another principal sent it.
    #[error("a message between workers was sent by {0}, which is not the worker's own role")]
    Foreign(String),
    /// STS did not report the worker's role.
    #[error("the sender of a message between workers could not be verified")]
    NoIdentity(#[source] CallerIdentityError),
}

/// Verifies requests and messages between workers.
#[derive(Debug)]
pub struct Verification {
    identities: Identities,
    /// `None` if requests are not verified.
    cloudformation: Option<CloudFormation>,
}

impl Verification {
    /// Calls STS and CloudFormation with the SDK's configuration.
    pub fn new(check: StackCheck, config: &aws_config::SdkConfig) -> Self {
        Self {
            identities: Identities::new(config),
            cloudformation: (check == StackCheck::Enforce).then(|| CloudFormation::new(config)),
        }
    }

    /// Verifies that the worker's own role sent a message between workers to the queue directly.
    ///
    /// # Errors
    /// [`SenderVerificationError`].
    pub(crate) async fn check_sender(
        &self,
        topic_arn: Option<&str>,
        sender_id: Option<&str>,
    ) -> Result<(), SenderVerificationError> {
        if let Some(topic) = topic_arn {
            return Err(SenderVerificationError::ThroughTopic(topic.to_owned()));
        }
        let own = self.identities.own().await;
        let own = own.map_err(SenderVerificationError::NoIdentity)?;
        let sender_id = sender_id.unwrap_or_default();
        if own.is_sender(sender_id) {
            Ok(())
        } else {
            Err(SenderVerificationError::Foreign(
                crate::request::text::printable(sender_id, 200),
            ))
        }
    }

    /// Verifies that CloudFormation reports the resource as being in the operation of a request.
    ///
    /// # Errors
    /// [`RequestVerificationError`].
    pub(crate) async fn check_request(
        &self,
        request: &RequestHeader,
    ) -> Result<(), RequestVerificationError> {
        let Some(cloudformation) = &self.cloudformation else {
            return Ok(());
        };
        let role = self.role(cloudformation, request).await?;
        let mut pauses = Retry::new(LAG_PAUSES, Instant::now() + LAG);
        loop {
            let (finding, shown) = look(cloudformation, role.as_deref(), request).await?;
            let unverified = match finding {
                Finding::Verified => return Ok(()),
                Finding::Over => RequestVerificationError::Over(status(shown.as_ref()).to_owned()),
                Finding::AskStack | Finding::Contradicted => {
                    RequestVerificationError::Contradicted(contradiction(request, shown.as_ref()))
                }
            };
            info!(shown = status(shown.as_ref()), "not verified yet");
            if !pauses.pause().await {
                return Err(unverified);
            }
        }
    }

    /// The role to assume; `None` in the worker's own account.
    async fn role(
        &self,
        cloudformation: &CloudFormation,
        request: &RequestHeader,
    ) -> Result<Option<String>, RequestVerificationError> {
        let stack = &request.stack_id;
        let region = cloudformation.region().unwrap_or_default();
        if stack.region != region {
            return Err(RequestVerificationError::Unverifiable(format!(
                "the stack is in region {}, and the worker in {region}",
                stack.region
            )));
        }
        let own = self.identities.own().await;
        let own = own.map_err(RequestVerificationError::NoIdentity)?;
        if stack.partition != own.partition() {
            return Err(RequestVerificationError::Unverifiable(format!(
                "the stack is not in the worker's partition {}",
                own.partition()
            )));
        }
        let is_own = stack.account == own.account;
        Ok((!is_own).then(|| {
            format!(
                "arn:{}:iam::{}:role/{ROLE_NAME}",
                stack.partition, stack.account
            )
        }))
    }
}

/// Reads the state of the resource, and of the stack if it matters.
async fn look(
    cloudformation: &CloudFormation,
    role: Option<&str>,
    request: &RequestHeader,
) -> Result<(Finding, Option<ResourceOfStack>), RequestVerificationError> {
    let stack_arn = &request.stack_id.arn;
    let shown = cloudformation
        .resource(role, stack_arn, &request.logical_resource_id)
        .await
        .map_err(unverified)?;
    let mut finding = find(request, shown.as_ref(), None);
    if finding == Finding::AskStack {
        let stack = cloudformation.stack_status(role, stack_arn).await;
        let stack = stack.map_err(unverified)?.unwrap_or_default();
        finding = find(request, shown.as_ref(), Some(&stack));
    }
    Ok((finding, shown))
}

fn unverified(error: CloudFormationError) -> RequestVerificationError {
    match error {
        CloudFormationError::Unavailable(_) => RequestVerificationError::Unavailable(error),
        CloudFormationError::Denied(reason) => RequestVerificationError::Unverifiable(reason),
    }
}

fn status(shown: Option<&ResourceOfStack>) -> &str {
    shown.map_or("nothing", |shown| &shown.status)
}

fn contradiction(request: &RequestHeader, shown: Option<&ResourceOfStack>) -> String {
    let kind = request.request_type.as_str();
    let name = &request.logical_resource_id;
    match shown {
        None => format!("{kind} of {name}, which the stack does not have"),
        Some(shown) if Some(&shown.resource_type) != request.resource_type.as_ref() => {
            format!("{kind} of {name}, which is a {}", shown.resource_type)
        }
        Some(shown) => format!(
            "{kind} of {name}, which is in {} under the id \"{}\"",
            shown.status,
            shown.physical_resource_id.as_deref().unwrap_or_default()
        ),
    }
}
