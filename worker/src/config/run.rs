//! The settings of a worker.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::parse::{
    account, namespace, queue_url, seconds_from_1_to_20, seconds_from_1_to_3600,
    seconds_from_10_to_43200, seconds_to_110, seconds_to_3600, topic_arn,
};
use super::{SslSettings, TrustSettings};
use crate::credentials::HostPattern;
use crate::plan::{BlueGreenCheck, ExtensionPattern};
use crate::request::Origin;
use crate::sns_signature::SignatureCheck;
use crate::verification::StackCheck;

/// The settings of `run`. AWS's own (`AWS_REGION`, `AWS_ENDPOINT_URL`, credentials …) are read by the SDK.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    /// URL of the queue that is subscribed to the topic.
    #[arg(long, env = "WORKER_QUEUE_URL", value_parser = queue_url)]
    pub queue_url: String,
    /// ARNs of the topics whose messages are accepted, separated by commas; unset: any.
    #[arg(long, env = "WORKER_TOPIC_ARNS", value_delimiter = ',', value_parser = topic_arn)]
    pub topic_arns: Vec<String>,
    /// ARNs of the topics that re-syncs may arrive by, separated by commas; unset: those of --topic-arns.
    #[arg(long, env = "WORKER_RESYNC_TOPIC_ARNS", value_delimiter = ',', value_parser = topic_arn)]
    pub resync_topic_arns: Vec<String>,
    /// Whether each request is verified with CloudFormation before anything is changed.
    #[arg(long, env = "WORKER_VERIFY_STACKS", value_enum, default_value_t = StackCheck::Off)]
    pub verify_stacks: StackCheck,
    /// AWS accounts whose stacks are accepted, separated by commas; unset: any.
    #[arg(long, env = "WORKER_ACCOUNTS", value_delimiter = ',', value_parser = account)]
    pub accounts: Vec<String>,
    /// Hosts that any secret may be sent to, separated by commas: names, addresses and patterns with *, as in
    /// "*.example.com,10.0.0.7:5432". A secret may also be sent to the host that it contains, and to the endpoints that
    /// RDS reports for it.
    #[arg(
        long,
        env = "WORKER_HOSTS",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub hosts: Vec<HostPattern>,
    /// URL of the queue for messages that no response can be sent for; unset: the queue's redrive policy moves them.
    #[arg(long, env = "WORKER_DEAD_LETTER_QUEUE_URL", value_parser = queue_url)]
    pub dead_letter_queue_url: Option<String>,
    /// ARN of the topic that the results of re-syncs are published to; unset: only the log and the metrics contain them.
    #[arg(long, env = "WORKER_RESULTS_TOPIC_ARN", value_parser = topic_arn)]
    pub results_topic_arn: Option<String>,
    /// One more origin that responses may be sent to, beside CloudFormation's, for LocalStack: http://127.0.0.1:4566.
    #[arg(long, env = "WORKER_RESPONSE_ORIGIN", value_name = "ORIGIN")]
    pub response_origin: Option<Origin>,
    /// Whether messages must have a valid SNS signature.
    #[arg(long, env = "WORKER_SNS_SIGNATURE", value_enum, default_value_t = SignatureCheck::Off)]
    pub sns_signature: SignatureCheck,
    /// One more origin that the certificate of SNS may be fetched from, for LocalStack: http://127.0.0.1:4566.
    #[arg(long, env = "WORKER_SNS_CERTIFICATE_ORIGIN", value_name = "ORIGIN")]
    pub sns_certificate_origin: Option<Origin>,
    /// Messages that are processed at the same time.
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,
    /// How many of these may be for one server; unset: half.
    #[arg(long, env = "WORKER_SERVER_CONCURRENCY", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) server_concurrency: Option<u16>,
    /// The queue's maxReceiveCount. At the receive of this number a request is answered, with FAILED if need be.
    #[arg(long, env = "WORKER_MAX_RECEIVES", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_receives: u32,
    /// How long one delivery of a request is retried before the message is returned to the queue; unset: 90.
    #[arg(long, env = "WORKER_RETRY_BUDGET_SECONDS", value_parser = seconds_from_1_to_3600)]
    pub(crate) retry_budget_seconds: Option<Duration>,
    /// The former name of --retry-budget-seconds, which is used if both are set.
    #[arg(long, env = "WORKER_PATIENCE_SECONDS", hide = true, value_parser = seconds_from_1_to_3600)]
    pub(crate) patience_seconds: Option<Duration>,
    /// Visibility timeout of a received message; it is extended while the message is processed.
    #[arg(long, env = "WORKER_VISIBILITY_SECONDS", default_value = "120", value_parser = seconds_from_10_to_43200)]
    pub visibility_seconds: Duration,
    /// Wait time of one receive (long polling).
    #[arg(long, env = "WORKER_RECEIVE_WAIT_SECONDS", default_value = "20", value_parser = seconds_from_1_to_20)]
    pub receive_wait_seconds: Duration,
    /// How long requests under way may continue after SIGTERM.
    #[arg(long, env = "WORKER_SHUTDOWN_SECONDS", default_value = "75", value_parser = seconds_to_110)]
    pub shutdown_seconds: Duration,
    /// Address on which /healthz, /readyz and /metrics are served; unset: none.
    #[arg(long, env = "WORKER_HEALTH_ADDR", value_name = "ADDRESS:PORT")]
    pub health_addr: Option<SocketAddr>,
    /// URI of the ECS agent, which task protection is requested from; ECS sets it.
    #[arg(long, env = "ECS_AGENT_URI", hide = true)]
    pub ecs_agent_uri: Option<String>,
    /// Interval at which metrics for CloudWatch are written to standard output; 0: never.
    #[arg(long, env = "WORKER_METRICS_SECONDS", default_value = "60", value_parser = seconds_to_3600)]
    pub metrics_seconds: Duration,
    /// CloudWatch namespace of the metrics.
    #[arg(long, env = "WORKER_METRICS_NAMESPACE", value_name = "NAME", default_value = "ExtensionWorker", value_parser = namespace)]
    pub metrics_namespace: String,
    /// How long a secret is cached, plus or minus a tenth; 0: not at all.
    #[arg(long, env = "WORKER_SECRET_SECONDS", default_value = "300", value_parser = seconds_to_3600)]
    pub secret_seconds: Duration,
    /// Maximum number of connections to all databases, idle ones included.
    #[arg(long, env = "WORKER_CONNECTIONS", default_value_t = CONNECTIONS, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: u16,
    /// Maximum number of connections of each role to one database.
    #[arg(long, env = "WORKER_CONNECTIONS_PER_DATABASE", default_value_t = CONNECTIONS_PER_DATABASE, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections_per_database: u16,
    /// Extensions that stacks and re-syncs may create, including those that CASCADE creates: names, and patterns with *,
    /// separated by commas.
    #[arg(
        long,
        env = "WORKER_EXTENSIONS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "*"
    )]
    pub extensions: Vec<ExtensionPattern>,
    /// Whether the property DeletionBehavior: DropCascade is carried out.
    #[arg(long, env = "WORKER_ALLOW_DROP_CASCADE", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub allow_drop_cascade: bool,
    /// What happens if a change would break a Blue/Green deployment of RDS.
    #[arg(long, env = "WORKER_BLUE_GREEN_CHECK", value_enum, default_value_t = BlueGreenCheck::Refuse)]
    pub blue_green_check: BlueGreenCheck,
    /// How connections to PostgreSQL are secured.
    #[command(flatten)]
    pub ssl: SslSettings,
    /// Protection against less privileged roles of a database.
    #[command(flatten)]
    pub trust: TrustSettings,
}

/// Default of the retry budget of one delivery: longer than most failovers of RDS take.
const RETRY_BUDGET: Duration = Duration::from_secs(90);
/// Default of the maximum number of connections to all databases.
pub const CONNECTIONS: u16 = 200;
/// Default of the maximum number of connections of a role to one database: more would only wait for the ledger's lock.
pub const CONNECTIONS_PER_DATABASE: u16 = 4;

impl RunSettings {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// Names the two settings that contradict each other.
    pub fn check(&self) -> Result<(), String> {
        if self.connections < self.connections_per_database {
            return Err(format!(
                "--connections (WORKER_CONNECTIONS) {}: must not be less than --connections-per-database \
                 (WORKER_CONNECTIONS_PER_DATABASE), which is {}",
                self.connections, self.connections_per_database
            ));
        }
        if self.dead_letter_queue_url.as_ref() == Some(&self.queue_url) {
            return Err("--dead-letter-queue-url (WORKER_DEAD_LETTER_QUEUE_URL) must be another queue than --queue-url (WORKER_QUEUE_URL)".to_owned());
        }
        if self
            .server_concurrency
            .is_some_and(|server| server > self.concurrency)
        {
            return Err("--server-concurrency (WORKER_SERVER_CONCURRENCY) must not be more than --concurrency (WORKER_CONCURRENCY)".to_owned());
        }
        Ok(())
    }

    /// How long one delivery of a request is retried.
    pub fn retry_budget(&self) -> Duration {
        self.retry_budget_seconds
            .or(self.patience_seconds)
            .unwrap_or(RETRY_BUDGET)
    }

    /// How many messages for one server may be processed at the same time.
    pub fn requests_per_server(&self) -> usize {
        usize::from(self.server_concurrency.unwrap_or(self.concurrency / 2)).max(1)
    }
}
