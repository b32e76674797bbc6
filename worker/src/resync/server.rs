//! One server of a re-sync: its databases, some at a time, each with a result.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tracing::warn;

use super::database::resync;
use super::internal_message::Server;
use super::publisher::ResultPublisher;
use super::target_offer::OfferCache;
use super::task::{Baseline, ResyncTask};
use super::upgrade_check::{CheckReading, UpgradeCheck};
use crate::aws::sns::{MAX_BATCH, TopicError};
use crate::execution::Executor;
use crate::execution::error::AttemptError;
use crate::execution::retry_loop::{Attempts, RetryLimits, Retryable, Stopped, run_with_retries};
use crate::ledger::ResourceKey;
use crate::plan::Declarer;
use crate::postgres::DatabaseNames;
use crate::reconcile::Refusals;
use crate::request::{Authentication, Databases, Properties};
use crate::response::reason;
use crate::resync_protocol::UpgradeRequest;
use crate::resync_protocol::event::{DatabaseResult, Event, State};
use crate::target::{Address, Host};

/// Databases of a server that are worked on at the same time.
const DATABASES_AT_ONCE: usize = 4;
/// The database that others are copied from.
const TEMPLATE: &str = "template1";
/// How long a database is tried again.
const RETRY_BUDGET: Duration = Duration::from_secs(60);

/// So many databases in a row at which the server did not answer say that it is gone.
const ENOUGH_FAILURES: usize = 12;
/// Then one of so many is tried all the same.
const PROBE: usize = 100;

/// A server, with what its message says of an upgrade.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerTask<'a> {
    pub(super) server: &'a Server,
    pub(super) upgrade: Option<&'a UpgradeRequest>,
    pub(super) offers: &'a OfferCache,
}

/// Re-syncs every database of the server, and publishes a result for each.
///
/// # Errors
/// [`TopicError`], where the results cannot be published; what was done is in the databases' ledgers.
pub(super) async fn resync_server(
    executor: &Executor,
    task: ServerTask<'_>,
    results: &ResultPublisher,
) -> Result<(), TopicError> {
    let server = task.server;
    let (sender, received) = mpsc::channel(MAX_BATCH);
    let working = async move { resync_databases(executor, task, &sender).await };
    let (count, received) = tokio::join!(working, publish_results(results, received));
    received?;
    results.publish(&[server.of_resync().end(count)]).await
}

/// Publishes the one result of a server that was not worked on.
///
/// # Errors
/// [`TopicError`].
pub(super) async fn publish_failure(
    server: &Server,
    reason: String,
    results: &ResultPublisher,
) -> Result<(), TopicError> {
    let events = results.note_failure(server.of_resync(), reason, Instant::now());
    results.publish(&events).await
}

/// Publishes what there is while more is worked on.
async fn publish_results(
    results: &ResultPublisher,
    mut received: mpsc::Receiver<DatabaseResult>,
) -> Result<(), TopicError> {
    let mut batch = Vec::new();
    while received.recv_many(&mut batch, MAX_BATCH).await > 0 {
        for result in &batch {
            results.note(result);
        }
        let events: Vec<Event> = batch.drain(..).map(Event::ResyncResult).collect();
        results.publish(&events).await?;
    }
    Ok(())
}

/// Returns how many results there are.
async fn resync_databases(
    executor: &Executor,
    server_task: ServerTask<'_>,
    sender: &mpsc::Sender<DatabaseResult>,
) -> usize {
    let since = Instant::now();
    let server = server_task.server;
    let properties = properties(executor, server).await;
    let baseline = baseline(server);
    let task = ResyncTask {
        server: server.of_resync(),
        baseline: baseline.as_ref(),
        since,
        policy: &executor.policy,
        is_named: !server.databases.is_empty(),
    };
    let listing = Listing {
        executor,
        properties: &properties,
    };
    let limits = RetryLimits::until(Instant::now() + RETRY_BUDGET);
    let mut attempts = Attempts::default();
    let (databases, address) = match run_with_retries(&listing, limits, &mut attempts).await {
        Ok(listed) => listed,
        Err(_) => {
            let error = attempts.into_error(None);
            let failed = DatabaseResult {
                server: error.target().map(|target| target.address.to_string()),
                ..task.server.failed(None, error.full_reason(), since)
            };
            // A closed channel means that publishing failed: then the message comes again.
            drop(sender.send(failed).await);
            return 1;
        }
    };
    let DatabaseNames { usable, not_utf8 } = databases;
    let check = match check(executor, server_task, &properties, &usable).await {
        Ok(check) => check,
        Err(reason) => {
            let failed = DatabaseResult {
                server: Some(address.to_string()),
                ..task.server.failed(None, reason, since)
            };
            drop(sender.send(failed).await);
            return 1;
        }
    };
    let template = OneDatabase {
        executor,
        properties: &properties,
        task: &task,
        check: check.as_ref(),
        database: TEMPLATE,
    };
    let mut count = usable.len() + not_utf8.len();
    if let Some(check) = &check {
        let mut further = vec![check.of_server(&task, since)];
        if server.databases.is_empty() {
            further.extend(check_template(template).await);
        }
        count += further.len();
        for result in further {
            drop(sender.send(result).await);
        }
    }
    // A check leaves nothing out that it does not say.
    let state_of_skipped = match &check {
        Some(_) => State::Failed,
        None => State::Unmanaged,
    };
    for database in not_utf8 {
        let skipped = DatabaseResult {
            server: Some(address.to_string()),
            reason: Some(reason::of_skipped(&database)),
            database: Some(database),
            ..task.server.result(state_of_skipped, since)
        };
        drop(sender.send(skipped).await);
    }
    let failing = AtomicUsize::new(0);
    // A task that waits for its result to be published has no transaction open, and delays no other database.
    stream::iter(usable)
        .for_each_concurrent(DATABASES_AT_ONCE, async |database| {
            let one = OneDatabase {
                database: &database,
                ..template
            };
            drop(sender.send(resync_database(one, &failing).await).await);
        })
        .await;
    count
}

/// The list of a server's databases.
struct Listing<'a> {
    executor: &'a Executor,
    properties: &'a Properties,
}

impl Retryable for Listing<'_> {
    type Outcome = (DatabaseNames, Address);

    async fn attempt(&self) -> Result<Self::Outcome, AttemptError> {
        let login = self.executor.logins.log_in(self.properties).await?;
        let databases = self.executor.databases(self.properties, &login).await?;
        self.executor.pools.remove(&login.target("postgres"));
        Ok((databases, login.address))
    }
}

/// One database of a server.
#[derive(Clone, Copy)]
struct OneDatabase<'a> {
    executor: &'a Executor,
    properties: &'a Properties,
    task: &'a ResyncTask<'a>,
    check: Option<&'a UpgradeCheck>,
    database: &'a str,
}

impl Retryable for OneDatabase<'_> {
    type Outcome = DatabaseResult;

    async fn attempt(&self) -> Result<DatabaseResult, AttemptError> {
        self.attempt_with(Refusals::LeaveOutPermanent).await
    }
}

impl OneDatabase<'_> {
    async fn attempt_with(&self, refusals: Refusals) -> Result<DatabaseResult, AttemptError> {
        let executor = self.executor;
        let login = executor.logins.log_in(self.properties).await?;
        let permit = executor.server_limits.acquire(&login.address, true).await;
        let target = login.target(self.database);
        let (pools, password) = (&executor.pools, &login.password);
        let result = match self.check {
            Some(check) => check.of_database(pools, self.task, &target, password).await,
            None => resync(pools, self.task, &target, password, refusals).await,
        };
        drop(permit);
        // A fleet has more databases than a server has connections.
        executor.pools.remove(&target);
        result.map_err(|error| executor.reconcile_error(error, &target, &login))
    }

    /// Attempts while trying again may help, and then a last time. One step that never works keeps no other from being
    /// carried out. At a server that does not answer only the last attempt is made.
    async fn resync(
        &self,
        since: Instant,
        is_server_failing: bool,
    ) -> Result<DatabaseResult, AttemptError> {
        if !is_server_failing {
            let limits = RetryLimits::until(since + RETRY_BUDGET);
            let mut attempts = Attempts::default();
            let stopped = match run_with_retries(self, limits, &mut attempts).await {
                Ok(result) => return Ok(result),
                Err(stopped) => stopped,
            };
            let error = attempts.into_error(None);
            if stopped == Stopped::Never && !error.is_in_step() {
                return Err(error);
            }
        }
        self.attempt_with(Refusals::LeaveOut).await
    }
}

/// One database, and its result. Once the server does not answer, the next are tried once each, and then one of many: a
/// server that is gone, with thousands of databases, is not waited for as often.
async fn resync_database(one: OneDatabase<'_>, failing: &AtomicUsize) -> DatabaseResult {
    let since = Instant::now();
    let failures = failing.load(Relaxed);
    let failed =
        if failures >= ENOUGH_FAILURES && !failing.fetch_add(1, Relaxed).is_multiple_of(PROBE) {
            let reason = reason::resync::of_unanswering_server();
            one.task.server.failed(None, reason, since)
        } else {
            match one.resync(since, failures > 0).await {
                Ok(result) => {
                    failing.store(0, Relaxed);
                    return result;
                }
                Err(error) => {
                    failing.fetch_add(usize::from(error.is_server_failure()), Relaxed);
                    one.task
                        .server
                        .failed(error.target(), error.full_reason(), since)
                }
            }
        };
    DatabaseResult {
        database: Some(one.database.to_owned()),
        ..failed
    }
}

/// What the check of an upgrade needs to know beforehand, where one is asked for; or the Reason.
async fn check(
    executor: &Executor,
    task: ServerTask<'_>,
    properties: &Properties,
    databases: &[String],
) -> Result<Option<UpgradeCheck>, String> {
    let Some(asked) = task.upgrade else {
        return Ok(None);
    };
    let offered = task.offers.read(executor, asked.to, &asked.source).await?;
    let reading = CheckReading {
        executor,
        properties,
        databases,
        to: asked.to,
        offered: &offered,
    };
    let limits = RetryLimits::until(Instant::now() + RETRY_BUDGET);
    let mut attempts = Attempts::default();
    match run_with_retries(&reading, limits, &mut attempts).await {
        Ok(check) => Ok(Some(check)),
        Err(_) => Err(attempts.into_error(None).full_reason()),
    }
}

/// pg_upgrade looks at it, too. Where the role may not, the others count all the same.
async fn check_template(template: OneDatabase<'_>) -> Option<DatabaseResult> {
    match template.attempt().await {
        Ok(result) => Some(result),
        Err(error) => {
            let reason = error.full_reason();
            warn!(reason, "{TEMPLATE} is not checked");
            None
        }
    }
}

async fn properties(executor: &Executor, server: &Server) -> Properties {
    let databases = if server.databases.is_empty() {
        Databases::All
    } else {
        Databases::Named(server.databases.clone())
    };
    let (host, port) = (server.host(), server.port);
    properties_of(executor, &server.secret, host, port, databases).await
}

/// A role whose secret has no password authenticates with IAM.
pub(super) async fn properties_of(
    executor: &Executor,
    secret: &str,
    host: Option<Host>,
    port: Option<u16>,
    databases: Databases,
) -> Properties {
    let mut properties = Properties::of_server(secret.to_owned(), host, port, databases);
    let secret = executor.logins.secrets().read(secret).await;
    if secret.is_ok_and(|secret| secret.password.is_none()) {
        properties.authentication = Authentication::Iam;
    }
    properties
}

/// The baseline, as a resource that declares nothing else.
fn baseline(server: &Server) -> Option<Baseline> {
    let declared = serde_json::json!({
        "DBSecret": server.secret,
        "Extensions": server.extensions.as_ref()?,
    });
    let properties = Properties::parse(&declared).ok()?;
    Some(Baseline {
        declarer: Declarer {
            key: ResourceKey::baseline(&server.baseline),
            declarations: properties.declarations,
        },
        declared,
    })
}
