//! The process: command line, logs, signals, exit code.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use extension_worker::aws::Caller;
use extension_worker::aws::put_response::Responder;
use extension_worker::aws::rds::Instances;
use extension_worker::aws::sns::Topic;
use extension_worker::aws::sqs::Queue;
use extension_worker::cli::resync::CommandSettings;
use extension_worker::config::{
    CONNECTIONS, CONNECTIONS_PER_DATABASE, Command, CommandLine, LocalSettings, RunSettings,
    SslSettings, TrustSettings,
};
use extension_worker::consumer::task_protection::TaskProtection;
use extension_worker::consumer::{self, ConsumerSettings};
use extension_worker::credentials::login::Logins;
use extension_worker::credentials::rds_auth_token::Tokens;
use extension_worker::credentials::secrets::Secrets;
use extension_worker::credentials::{AllowedHosts, HostPatterns};
use extension_worker::execution::Executor;
use extension_worker::execution::server_limit::ServerLimits;
use extension_worker::handler::{Handler, HandlerSettings};
use extension_worker::metrics::{self, Metrics, ReportSettings, Reporter};
use extension_worker::plan::Policy;
use extension_worker::postgres::{PoolSettings, Pools};
use extension_worker::process::error_chain::with_causes;
use extension_worker::process::health::{self, Health, Heartbeat};
use extension_worker::process::http::Http;
use extension_worker::process::signals::stop_on_signals;
use extension_worker::process::{logging, tls};
use extension_worker::reconcile::BlueGreenDeployments;
use extension_worker::resync::Resync;
use extension_worker::sns_signature::Signatures;
use extension_worker::verification::Verification;
use extension_worker::{aws, cli};
use tracing::{error, info, warn};

// One thread: the work is waiting, and switching threads costs more than it gains. The binary of src/bin runs it too.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> ExitCode {
    let command_line = CommandLine::read();
    if logging::start(command_line.log_format, command_line.log_filter()).is_err() {
        // There is no log to write to yet. The fault would quote what was given.
        let error = "--log (RUST_LOG): must be levels, as in \"info,extension_worker=debug\"\n";
        drop(clap::Error::raw(clap::error::ErrorKind::InvalidValue, error).print());
        return ExitCode::from(2);
    }
    let result = match command_line.command {
        Command::Run(settings) => run(*settings).await,
        Command::Plan(settings) => return local(&settings, true).await,
        Command::Apply(settings) => return local(&settings, false).await,
        Command::Resync(settings) => return resync(CommandSettings::Resync(&settings)).await,
        Command::UpgradeCheck(settings) => {
            return resync(CommandSettings::UpgradeCheck(&settings)).await;
        }
        Command::OfferQuery => cli::offer_query().map_err(Into::into),
        Command::Health { health_addr } => health::probe(health_addr).await.map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = with_causes(&*error), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: RunSettings) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    settings.check()?;
    let server_limits = settings.requests_per_server();
    let retry_budget = settings.retry_budget();
    tls::install_provider();
    let metrics = Metrics::default();
    let hosts = HostPatterns::new(settings.hosts);
    let pools = pools(
        &settings.ssl,
        settings.trust,
        Some(Arc::new(hosts.clone())),
        settings.connections_per_database,
        settings.connections,
        &metrics,
    )?;
    let stop = stop_on_signals("messages under way come again when their visibility ends")?;
    let heartbeat = Heartbeat::default();
    if let Some(address) = settings.health_addr {
        let health = Health {
            heartbeat: heartbeat.clone(),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        health::serve(address, health)
            .map_err(|error| format!("--health-addr (WORKER_HEALTH_ADDR) {address}: {error}"))?;
    }
    let reporter = report(
        &metrics,
        settings.metrics_namespace,
        settings.metrics_seconds,
    )?;
    let config = aws::load(Caller::Worker).await;
    let queue = Queue::new(
        &config,
        settings.queue_url.clone(),
        settings.dead_letter_queue_url,
        metrics.clone(),
    );
    let executor = Executor::new(
        Logins::new(
            Secrets::new(&config, settings.secret_seconds),
            Tokens::new(&config),
        )
        .restricted_to(AllowedHosts::new(hosts, Instances::new(&config))),
        pools,
        ServerLimits::new(server_limits),
    )
    .with_policy(Policy {
        extensions: settings.extensions,
        allow_drop_cascade: settings.allow_drop_cascade,
    })
    .with_blue_green(BlueGreenDeployments::new(
        Instances::new(&config),
        settings.blue_green_check,
    ));
    if let Some(origin) = &settings.response_origin {
        warn!(%origin, "answers may go to an origin that is not CloudFormation's (WORKER_RESPONSE_ORIGIN)");
    }
    if let Some(origin) = &settings.sns_certificate_origin {
        warn!(%origin, "SNS's certificate may come from an origin that is not SNS's (WORKER_SNS_CERTIFICATE_ORIGIN)");
    }
    if settings.resync_topic_arns.is_empty() {
        warn!(
            "re-syncs are accepted from every topic that is served (WORKER_RESYNC_TOPIC_ARNS is not set)"
        );
    }
    if settings.connections < settings.concurrency {
        warn!("messages wait for connections: WORKER_CONNECTIONS is less than WORKER_CONCURRENCY");
    }
    let http = Http::new()?;
    let protection = settings
        .ecs_agent_uri
        .as_deref()
        .map(|agent| TaskProtection::new(http.clone(), agent))
        .transpose()
        .map_err(|error| format!("ECS_AGENT_URI: {error}"))?;
    let signatures = Signatures::new(
        settings.sns_signature,
        settings.sns_certificate_origin,
        http.clone(),
    )
    .map_err(|error| format!("--sns-signature (WORKER_SNS_SIGNATURE): {error}"))?;
    let results = settings
        .results_topic_arn
        .map(|arn| Topic::new(&config, arn));
    let resync = Resync::new(
        Instances::new(&config),
        queue.clone(),
        results,
        usize::from(settings.concurrency / 2).max(1),
        metrics.clone(),
    );
    let handler = Handler::new(
        HandlerSettings {
            topics: settings.topic_arns,
            resync_topics: settings.resync_topic_arns,
            accounts: settings.accounts,
            response_origin: settings.response_origin,
            max_receives: settings.max_receives,
            retry_budget,
            concurrency: usize::from(settings.concurrency),
        },
        signatures,
        Verification::new(settings.verify_stacks, &config),
        executor,
        resync,
        Responder::new(http, metrics.clone()),
        metrics.clone(),
    );
    info!(
        version = env!("CARGO_PKG_VERSION"),
        queue = settings.queue_url,
        concurrency = settings.concurrency,
        "receiving"
    );
    let consumer = ConsumerSettings {
        concurrency: usize::from(settings.concurrency),
        visibility: settings.visibility_seconds,
        receive_wait: settings.receive_wait_seconds,
        shutdown: settings.shutdown_seconds,
    };
    consumer::run(
        consumer,
        queue,
        Arc::new(handler),
        heartbeat,
        metrics,
        protection,
        stop,
    )
    .await;
    if let Some(reporter) = reporter {
        reporter.finish();
    }
    info!("stopped");
    Ok(())
}

/// Metrics go to standard output for CloudWatch, not for a person at a terminal.
fn report(
    metrics: &Metrics,
    namespace: String,
    every: Duration,
) -> std::io::Result<Option<Reporter>> {
    if every.is_zero() || std::io::stdout().is_terminal() {
        return Ok(None);
    }
    metrics::start(metrics.clone(), ReportSettings { namespace, every }).map(Some)
}

/// Prints for a person what a running worker would log.
async fn local(settings: &LocalSettings, dry_run: bool) -> ExitCode {
    tls::install_provider();
    let command = match cli::local::LocalCommand::read(settings) {
        Ok(command) => command,
        Err(error) => {
            print_error(&error);
            return ExitCode::from(error.exit_code());
        }
    };
    let (secrets, tokens) = match command.url() {
        Some(url) => (Secrets::given(url.secret.clone()), None),
        None => {
            let config = aws::load(Caller::Command).await;
            // One request: what is read serves it to its end, unless it is refused.
            let secrets = Secrets::new(&config, settings.timeout_seconds);
            (secrets, Tokens::new(&config))
        }
    };
    let result = match pools(
        &settings.ssl(command.url()),
        settings.trust,
        None,
        CONNECTIONS_PER_DATABASE,
        CONNECTIONS,
        &Metrics::default(),
    ) {
        Ok(pools) => cli::local::run(
            settings,
            &command,
            &Executor::new(Logins::new(secrets, tokens), pools, ServerLimits::new(1)),
            dry_run,
        )
        .await
        .map_err(Into::into),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print_error(&*error),
    }
}

async fn resync(command: CommandSettings<'_>) -> ExitCode {
    // Until here a signal ends the process, as it does while standard input is read.
    let command = match cli::resync::ResyncCommand::read(command) {
        Ok(command) => command,
        Err(error) => return print_error(&error),
    };
    tls::install_provider();
    let stop = match stop_on_signals("the temporary queue and its subscription are left over") {
        Ok(stop) => stop,
        Err(error) => return print_error(&error),
    };
    match cli::resync::resync(command, &aws::load(Caller::Command).await, &stop).await {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) => print_error(&error),
    }
}

fn print_error(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    // Where standard error is closed there is nowhere to report that.
    drop(writeln!(std::io::stderr(), "error: {}", with_causes(error)));
    ExitCode::FAILURE
}

fn pools(
    settings: &SslSettings,
    trust: TrustSettings,
    hosts: Option<Arc<HostPatterns>>,
    per_database: u16,
    max_total: u16,
    metrics: &Metrics,
) -> Result<Pools, Box<dyn std::error::Error + Send + Sync>> {
    let tls = tls::postgres_config(settings.ssl_mode, settings.ssl_root_cert.as_deref())
        .map_err(|error| format!("--ssl-root-cert (PGSSLROOTCERT): {error}"))?;
    Ok(Pools::new(PoolSettings {
        ssl_mode: settings.ssl_mode,
        tls,
        auth_methods: settings.auth_methods.clone(),
        hosts,
        per_database: usize::from(per_database),
        max_total: usize::from(max_total),
        open: metrics.database_connections.clone(),
        schema_check: trust.schema_check,
        publish_ledger: trust.publish_ledger,
    }))
}
