//! AWS: a module for each service, and here the SDK's configuration: its own environment variables and profiles, on the process's one TLS stack.

pub(crate) mod batch;
mod caller_identity;
mod cloudformation;
pub mod put_response;
pub mod rds;
pub mod sns;
pub mod sqs;

use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

pub(crate) use caller_identity::{CallerIdentityError, Identities};
pub(crate) use cloudformation::{CloudFormation, CloudFormationError, ResourceOfStack};

/// The SDK sets no read timeout: a silent peer would block it without end. A receive, which waits up to 20 s by itself, has
/// a longer one of its own.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the process is to AWS: `app/…` in the User-Agent of each call, which CloudTrail keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A running worker, with the task's role.
    Worker,
    /// A command that a person runs, with a role of their own.
    Command,
}

impl Caller {
    fn name(self) -> &'static str {
        match self {
            Self::Worker => "extension-worker",
            Self::Command => "extension-worker-command",
        }
    }
}

/// Reads the configuration.
pub async fn load(caller: Caller) -> SdkConfig {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let mut config = aws_config::defaults(BehaviorVersion::latest());
    if let Ok(name) = AppName::new(caller.name()) {
        config = config.app_name(name);
    }
    config
        .http_client(http)
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        // It looks ten times a second whether a body still flows. Here bodies are small, and an attempt is timed as a
        // whole: an idle worker would wake for nothing.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}
