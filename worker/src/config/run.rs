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
    /// URL of the queue that the topic is subscribed to.
    #[arg(long, env = "WORKER_QUEUE_URL", value_parser = queue_url)]
    pub queue_url: String,
    /// ARNs of the topics that are served, separated by commas; unset: any.
    #[arg(long, env = "WORKER_TOPIC_ARNS", value_delimiter = ',', value_parser = topic_arn)]
    pub topic_arns: Vec<String>,
    /// ARNs of the topics that re-syncs may come by, separated by commas; unset: any that is served.
    #[arg(long, env = "WORKER_RESYNC_TOPIC_ARNS", value_delimiter = ',', value_parser = topic_arn)]
    pub resync_topic_arns: Vec<String>,
    /// Whether CloudFormation is asked, before anything is changed, if the resource is in just the operation that the
    /// request says.
    #[arg(long, env = "WORKER_VERIFY_STACKS", value_enum, default_value_t = StackCheck::Off)]
    pub verify_stacks: StackCheck,
    /// Accounts whose stacks are served, separated by commas; unset: any.
    #[arg(long, env = "WORKER_ACCOUNTS", value_delimiter = ',', value_parser = account)]
    pub accounts: Vec<String>,
    /// Hosts that any secret may be sent to, separated by commas: names, addresses and patterns with *, as in
    /// "*.example.com,10.0.0.7:5432". Others are its own, and those that RDS reports for it.
    #[arg(
        long,
        env = "WORKER_HOSTS",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub hosts: Vec<HostPattern>,
    /// Queue for messages that cannot be answered; unset: the queue's redrive policy moves them.
    #[arg(long, env = "WORKER_DEAD_LETTER_QUEUE_URL", value_parser = queue_url)]
    pub dead_letter_queue_url: Option<String>,
    /// Topic for the results of a re-sync; unset: only the log and the metrics have them.
    #[arg(long, env = "WORKER_RESULTS_TOPIC_ARN", value_parser = topic_arn)]
    pub results_topic_arn: Option<String>,
    /// One more origin that may be answered beside CloudFormation's own, for LocalStack: http://127.0.0.1:4566.
    #[arg(long, env = "WORKER_RESPONSE_ORIGIN", value_name = "ORIGIN")]
    pub response_origin: Option<Origin>,
    /// Whether messages must be signed by SNS: what is not right is let pass, logged, or put in the dead-letter queue.
    #[arg(long, env = "WORKER_SNS_SIGNATURE", value_enum, default_value_t = SignatureCheck::Off)]
    pub sns_signature: SignatureCheck,
    /// One more origin that SNS's certificate may come from, for LocalStack: http://127.0.0.1:4566.
    #[arg(long, env = "WORKER_SNS_CERTIFICATE_ORIGIN", value_name = "ORIGIN")]
    pub sns_certificate_origin: Option<Origin>,
    /// Messages that are worked on at the same time.
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,
    /// How many of these may be of one server; unset: half.
    #[arg(long, env = "WORKER_SERVER_CONCURRENCY", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) server_concurrency: Option<u16>,
    /// The queue's maxReceiveCount: on that receive a request is answered with FAILED at the latest.
    #[arg(long, env = "WORKER_MAX_RECEIVES", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_receives: u32,
    /// How long a request is tried again before its message goes back to the queue; unset: 90.
    #[arg(long, env = "WORKER_RETRY_BUDGET_SECONDS", value_parser = seconds_from_1_to_3600)]
    pub(crate) retry_budget_seconds: Option<Duration>,
    /// The former name of --retry-budget-seconds, which counts where both are set.
    #[arg(long, env = "WORKER_PATIENCE_SECONDS", hide = true, value_parser = seconds_from_1_to_3600)]
    pub(crate) patience_seconds: Option<Duration>,
    /// For how long a message is hidden from other workers; it is extended while it is worked on.
    #[arg(long, env = "WORKER_VISIBILITY_SECONDS", default_value = "120", value_parser = seconds_from_10_to_43200)]
    pub visibility_seconds: Duration,
    /// How long one receive waits for a message.
    #[arg(long, env = "WORKER_RECEIVE_WAIT_SECONDS", default_value = "20", value_parser = seconds_from_1_to_20)]
    pub receive_wait_seconds: Duration,
    /// How long requests under way may go on after SIGTERM.
    #[arg(long, env = "WORKER_SHUTDOWN_SECONDS", default_value = "75", value_parser = seconds_to_110)]
    pub shutdown_seconds: Duration,
    /// Where the health check listens, and the instruments are shown; unset: nowhere.
    #[arg(long, env = "WORKER_HEALTH_ADDR", value_name = "ADDRESS:PORT")]
    pub health_addr: Option<SocketAddr>,
    /// Where the ECS agent takes requests to protect the task; ECS sets it.
    #[arg(long, env = "ECS_AGENT_URI", hide = true)]
    pub ecs_agent_uri: Option<String>,
    /// How often metrics for CloudWatch are written to standard output; 0: never.
    #[arg(long, env = "WORKER_METRICS_SECONDS", default_value = "60", value_parser = seconds_to_3600)]
    pub metrics_seconds: Duration,
    /// CloudWatch's namespace of them.
    #[arg(long, env = "WORKER_METRICS_NAMESPACE", value_name = "NAME", default_value = "ExtensionWorker", value_parser = namespace)]
    pub metrics_namespace: String,
    /// How long a secret is kept before it is read again, give or take a tenth; 0: not at all.
    #[arg(long, env = "WORKER_SECRET_SECONDS", default_value = "300", value_parser = seconds_to_3600)]
    pub secret_seconds: Duration,
    /// Connections to PostgreSQL at the most, all databases together.
    #[arg(long, env = "WORKER_CONNECTIONS", default_value_t = CONNECTIONS, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: u16,
    /// Connections to one database at the most, for each role.
    #[arg(long, env = "WORKER_CONNECTIONS_PER_DATABASE", default_value_t = CONNECTIONS_PER_DATABASE, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections_per_database: u16,
    /// Extensions that stacks and re-syncs may create, those included that CASCADE creates; names separated by commas, in
    /// which * stands for any text.
    #[arg(
        long,
        env = "WORKER_EXTENSIONS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "*"
    )]
    pub extensions: Vec<ExtensionPattern>,
    /// Whether DeletionBehavior DropCascade is carried out.
    #[arg(long, env = "WORKER_ALLOW_DROP_CASCADE", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub allow_drop_cascade: bool,
    /// What happens where a change would break a Blue/Green deployment of RDS: it is refused, or made with a warning.
    #[arg(long, env = "WORKER_BLUE_GREEN_CHECK", value_enum, default_value_t = BlueGreenCheck::Refuse)]
    pub blue_green_check: BlueGreenCheck,
    /// How connections to PostgreSQL are secured.
    #[command(flatten)]
    pub ssl: SslSettings,
    /// How a database is treated that roles of lower rank share.
    #[command(flatten)]
    pub trust: TrustSettings,
}

/// How long a request is tried again within one delivery, by default: longer than most failovers of RDS take.
const RETRY_BUDGET: Duration = Duration::from_secs(90);
/// Connections to PostgreSQL at the most, by default.
pub const CONNECTIONS: u16 = 200;
/// Connections to one database at the most, by default: workers wait for each other there in any case.
pub const CONNECTIONS_PER_DATABASE: u16 = 4;

impl RunSettings {
    /// Looks at what no setting says by itself.
    ///
    /// # Errors
    /// Which settings do not go together.
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

    /// How long a request is tried again within one delivery.
    pub fn retry_budget(&self) -> Duration {
        self.retry_budget_seconds
            .or(self.patience_seconds)
            .unwrap_or(RETRY_BUDGET)
    }

    /// How many messages of one server may be worked on at the same time.
    pub fn requests_per_server(&self) -> usize {
        usize::from(self.server_concurrency.unwrap_or(self.concurrency / 2)).max(1)
    }
}
