//! What the process is told: flags, and the environment where a flag is not given. The only module that reads either.

mod resync;
#[cfg(test)]
mod tests;
mod url;
mod usage;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use ::url::Url;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::credentials::{AuthMethod, HostPattern};
use crate::plan::{ExtensionPattern, SchemaCheck};
use crate::process::logging::LogFormat;
use crate::process::tls::SslMode;
use crate::request::text::{is_name, path, word};
use crate::request::{Arn, Origin};
use crate::sns_signature::SignatureCheck;
use crate::verification::StackCheck;

pub use self::url::{DatabaseUrl, UrlText};
pub use resync::{Baseline, EXIT_CODES, ResyncSettings, Tag};

/// Installs PostgreSQL extensions that CloudFormation stacks declare.
#[derive(Debug, Parser)]
#[command(name = "extension-worker", version, about, max_term_width = 100)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How logs are written: text for a terminal, JSON for anything else, unless said otherwise.
    #[arg(long, env = "WORKER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, global = true)]
    pub log_format: LogFormat,
    /// Which logs are written, as in "info,extension_worker=debug"; unset: info of a running worker, else warnings.
    #[arg(long, env = "RUST_LOG", global = true)]
    pub log: Option<String>,
}

impl CommandLine {
    /// The settings of this process. Where they are wrong, or help is asked for, that is printed, and the process ends.
    pub fn read() -> Self {
        Self::try_read_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads arguments, and the environment for what they leave out.
    ///
    /// # Errors
    /// What is wrong, named by flag and variable; what was given is not quoted.
    pub fn try_read_from<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let command = Self::command();
        let read = command.clone().try_get_matches_from(arguments);
        let read = read.and_then(|matches| {
            let mut settings = Self::from_arg_matches(&matches)?;
            if let (Command::Plan(by_hand) | Command::Apply(by_hand), Some((_, matches))) =
                (&mut settings.command, matches.subcommand())
            {
                by_hand.flags = Flags::of(matches);
            }
            Ok(settings)
        });
        let settings = read.map_err(|error| usage::without_values(error, &command))?;
        if let Command::Plan(by_hand) | Command::Apply(by_hand) = &settings.command {
            by_hand.check()?;
        }
        Ok(settings)
    }

    /// Which logs are written.
    pub fn log_filter(&self) -> &str {
        match (&self.log, &self.command) {
            (Some(filter), _) => filter,
            (None, Command::Run(_)) => "info",
            (
                None,
                Command::Plan(_) | Command::Apply(_) | Command::Resync(_) | Command::Health { .. },
            ) => "warn",
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take requests from the queue until told to stop (SIGTERM or SIGINT).
    Run(Box<RunSettings>),
    /// Say what a file of properties would do to a database, and do nothing.
    Plan(LocalSettings),
    /// Make a database be as a file of properties declares.
    Apply(LocalSettings),
    /// Have the workers look at a fleet's databases, or repair them, and tell how they stand.
    #[command(after_help = EXIT_CODES)]
    Resync(Box<ResyncSettings>),
    /// Ask a running worker on this machine whether it is healthy; exit with 0 if so.
    Health {
        /// Where it listens.
        #[arg(long, env = "WORKER_HEALTH_ADDR", value_name = "ADDRESS:PORT")]
        health_addr: SocketAddr,
    },
}

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
    /// Queue for messages that nobody can be answered about; unset: the queue's redrive policy moves them.
    #[arg(long, env = "WORKER_DEAD_LETTER_QUEUE_URL", value_parser = queue_url)]
    pub dead_letter_queue_url: Option<String>,
    /// Topic that is told what a re-sync found and did; unset: the log and the metrics say it alone.
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
    pub server_concurrency: Option<u16>,
    /// The queue's maxReceiveCount: on that receive a request is answered with FAILED at the latest.
    #[arg(long, env = "WORKER_MAX_RECEIVES", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_receives: u32,
    /// How long a request is tried again before its message goes back to the queue; unset: 90.
    #[arg(long, env = "WORKER_RETRY_BUDGET_SECONDS", value_parser = seconds_from_1_to_3600)]
    pub retry_budget_seconds: Option<Duration>,
    /// The former name of --retry-budget-seconds, which counts where both are set.
    #[arg(long, env = "WORKER_PATIENCE_SECONDS", hide = true, value_parser = seconds_from_1_to_3600)]
    pub patience_seconds: Option<Duration>,
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
    /// Where the ECS agent is told to protect the task; ECS sets it.
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
    /// How connections to PostgreSQL are secured.
    #[command(flatten)]
    pub ssl: SslSettings,
    /// How a database is treated that roles of lower rank share.
    #[command(flatten)]
    pub trust: TrustSettings,
}

/// How long a request is tried again within one delivery, by default: longer than most failovers of RDS take.
const RETRY_BUDGET: Duration = Duration::from_secs(90);
/// Connections to PostgreSQL at the most, where nothing else is said.
pub const CONNECTIONS: u16 = 200;
/// Connections to one database at the most, where nothing else is said: workers wait for each other there in any case.
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

/// How connections to PostgreSQL are secured.
#[derive(Debug, Clone, Args)]
pub struct SslSettings {
    /// As in libpq.
    #[arg(long, env = "PGSSLMODE", value_enum, default_value_t = SslMode::VerifyFull)]
    pub ssl_mode: SslMode,
    /// File of the CA certificates that PostgreSQL's are checked against, or "system"; unset: the system's.
    #[arg(long, env = "PGSSLROOTCERT", value_name = "FILE", value_parser = file)]
    pub ssl_root_cert: Option<String>,
    /// How a password may be given to a server, separated by commas.
    #[arg(
        long,
        env = "WORKER_AUTH_METHODS",
        value_enum,
        value_delimiter = ',',
        default_value = "scram-sha-256"
    )]
    pub auth_methods: Vec<AuthMethod>,
}

/// How a database is treated that roles of lower rank share.
#[derive(Debug, Clone, Copy, Args)]
pub struct TrustSettings {
    /// Whether an extension is refused whose script would see objects of roles of lower rank under names that it uses.
    #[arg(long, env = "WORKER_SCHEMA_CHECK", value_enum, default_value_t = SchemaCheck::Refuse)]
    pub schema_check: SchemaCheck,
    /// Whether the ledger may become a part of a publication FOR ALL TABLES, whose subscribers then need it too.
    #[arg(long, env = "WORKER_PUBLISH_LEDGER", default_value_t = false, action = clap::ArgAction::Set)]
    pub publish_ledger: bool,
}

/// The settings of `plan` and `apply`.
#[derive(Debug, Clone, Args)]
pub struct LocalSettings {
    /// File with the properties as JSON, as a template has them; "-" is standard input.
    #[arg(value_name = "FILE", value_parser = file)]
    pub properties: String,
    /// Name or ARN of the secret; overrides the file's DBSecret, which overrides DATABASE_URL.
    #[arg(long, value_name = "NAME", value_parser = secret)]
    pub secret: Option<String>,
    /// The database instead of a secret: postgres://user:password@host:port/database. The flag overrides DBSecret, DBHost,
    /// DBPort and DBName of the file; the variable does not, and is not seen in the list of processes. Of its parameters
    /// sslmode and sslrootcert are heeded before PGSSLMODE and PGSSLROOTCERT, but not before their flags.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub url: Option<UrlText>,
    /// Under which name the ledger remembers who declared the extensions.
    #[arg(long, default_value = "command-line", value_parser = owner)]
    pub owner: String,
    /// How long it may take.
    #[arg(long, default_value = "600", value_parser = seconds_from_1_to_3600)]
    pub timeout_seconds: Duration,
    /// Write the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// How the connection is secured.
    #[command(flatten)]
    pub ssl: SslSettings,
    /// How a database is treated that roles of lower rank share.
    #[command(flatten)]
    pub trust: TrustSettings,
    /// What came by a flag rather than from the environment.
    #[arg(skip)]
    pub flags: Flags,
}

/// Which of the settings of `plan` and `apply` came by a flag: it goes before what the file says, and that before the
/// environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `--url`.
    pub url: bool,
    /// `--ssl-mode`.
    pub ssl_mode: bool,
    /// `--ssl-root-cert`.
    pub ssl_root_cert: bool,
}

impl Flags {
    fn of(matches: &ArgMatches) -> Self {
        let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Self {
            url: is_given("url"),
            ssl_mode: is_given("ssl_mode"),
            ssl_root_cert: is_given("ssl_root_cert"),
        }
    }
}

/// Whose credentials are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Those of a secret that the command line names.
    Secret(String),
    /// Those of the file's DBSecret; or none.
    File,
    /// Those of a URL.
    Url(Box<DatabaseUrl>),
}

impl LocalSettings {
    fn check(&self) -> Result<(), clap::Error> {
        if !self.flags.url {
            return Ok(());
        }
        let wrong = |kind, fault| Err(clap::Error::raw(kind, format!("{fault}\n")));
        if self.secret.is_some() {
            let fault = "--secret cannot be used with --url: give one of them".to_owned();
            return wrong(clap::error::ErrorKind::ArgumentConflict, fault);
        }
        match self.credentials(false) {
            Err(fault) => wrong(clap::error::ErrorKind::ValueValidation, fault),
            Ok(_) => Ok(()),
        }
    }

    /// Whose credentials are used: those of a flag, else of the file, where it names a secret, else of DATABASE_URL.
    ///
    /// # Errors
    /// What is wrong with the URL that is used.
    pub fn credentials(&self, file_has_secret: bool) -> Result<Credentials, String> {
        match (&self.secret, &self.url) {
            (Some(secret), _) => Ok(Credentials::Secret(secret.clone())),
            (None, Some(url)) if self.flags.url || !file_has_secret => url
                .read()
                .map(|url| Credentials::Url(Box::new(url)))
                .map_err(|fault| format!("--url (DATABASE_URL): {fault}")),
            (None, Some(_) | None) => Ok(Credentials::File),
        }
    }

    /// How the connection is secured: by a flag, else as the URL says, else as the environment does.
    pub fn ssl(&self, url: Option<&DatabaseUrl>) -> SslSettings {
        let mut ssl = self.ssl.clone();
        let Some(url) = url else { return ssl };
        if !self.flags.ssl_mode {
            ssl.ssl_mode = url.ssl_mode.unwrap_or(ssl.ssl_mode);
        }
        if !self.flags.ssl_root_cert {
            ssl.ssl_root_cert = url.ssl_root_cert.clone().or(ssl.ssl_root_cert);
        }
        ssl
    }
}

fn secret(text: &str) -> Result<String, String> {
    crate::request::text::secret_id(text).map_err(|fault| fault.to_string())?;
    Ok(text.to_owned())
}

fn file(text: &str) -> Result<String, String> {
    if text.is_empty() || path(text) != text {
        return Err("must be the path of a file".to_owned());
    }
    Ok(text.to_owned())
}

fn owner(text: &str) -> Result<String, String> {
    match text.len() {
        1..=255 if is_name(text) => Ok(text.to_owned()),
        _ => Err("must be a name of up to 255 bytes".to_owned()),
    }
}

/// Source: `PutMetricData` in CloudWatch's API reference.
fn namespace(text: &str) -> Result<String, String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#: ".contains(&byte);
    match text.len() {
        1..=255 if text.bytes().all(is_known) && !text.starts_with("AWS/") => Ok(text.to_owned()),
        _ => Err(
            "must be a namespace of CloudWatch: up to 255 of A-Z a-z 0-9 . - _ / # : and spaces, not AWS/…"
                .to_owned(),
        ),
    }
}

fn seconds_to_3600(text: &str) -> Result<Duration, String> {
    seconds(text, 0, 3600)
}

fn seconds_from_1_to_3600(text: &str) -> Result<Duration, String> {
    seconds(text, 1, 3600)
}

fn queue_url(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        // It is logged: there is no password in it.
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none() =>
        {
            Ok(text.to_owned())
        }
        _ => Err(
            "must be the URL of a queue: https://sqs.<region>.amazonaws.com/<account>/<name>"
                .to_owned(),
        ),
    }
}

fn topic_arn(text: &str) -> Result<String, String> {
    if Arn::of_topic(text).is_some() && word(text) == text {
        Ok(text.to_owned())
    } else {
        Err("must be the ARN of a topic: arn:aws:sns:<region>:<account>:<name>".to_owned())
    }
}

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("must be the 12 digits of an account".to_owned())
    }
}

fn seconds_from_1_to_20(text: &str) -> Result<Duration, String> {
    seconds(text, 1, 20)
}

fn seconds_to_110(text: &str) -> Result<Duration, String> {
    seconds(text, 0, 110)
}

fn seconds_from_10_to_43200(text: &str) -> Result<Duration, String> {
    seconds(text, 10, 43_200)
}

fn seconds(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("must be whole seconds from {least} to {most}")),
    }
}
