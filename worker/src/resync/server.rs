//! One server of a re-sync: its databases, some at a time, each with a result.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::database::resync;
use super::internal_message::Server;
use super::publisher::ResultPublisher;
use super::task::{Baseline, ResyncTask};
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
use crate::resync_protocol::event::{DatabaseResult, Event, State};
use crate::target::Address;

/// Databases of a server that are worked on at the same time.
const DATABASES_AT_ONCE: usize = 4;
/// How long a database is tried again.
const RETRY_BUDGET: Duration = Duration::from_secs(60);

/// So many databases in a row at which the server did not answer say that it is gone.
const ENOUGH_FAILURES: usize = 12;
/// Then one of so many is tried all the same.
const PROBE: usize = 100;

/// Re-syncs every database of the server, and publishes a result for each.
///
/// # Errors
/// [`TopicError`], where the results cannot be published; what was done is in the databases' ledgers.
pub(super) async fn resync_server(
    executor: &Executor,
    server: &Server,
    results: &ResultPublisher,
) -> Result<(), TopicError> {
    let (sender, received) = mpsc::channel(MAX_BATCH);
    let working = async move { resync_databases(executor, server, &sender).await };
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
    server: &Server,
    sender: &mpsc::Sender<DatabaseResult>,
) -> usize {
    let since = Instant::now();
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
    let count = usable.len() + not_utf8.len();
    for database in not_utf8 {
        let skipped = DatabaseResult {
            server: Some(address.to_string()),
            reason: Some(reason::of_skipped(&database)),
            database: Some(database),
            ..task.server.result(State::Unmanaged, since)
        };
        drop(sender.send(skipped).await);
    }
    let failing = AtomicUsize::new(0);
    // A task that waits for its result to be published has no transaction open, and delays no other database.
    stream::iter(usable)
        .for_each_concurrent(DATABASES_AT_ONCE, async |database| {
            let one = OneDatabase {
                executor,
                properties: &properties,
                task: &task,
                database: &database,
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
struct OneDatabase<'a> {
    executor: &'a Executor,
    properties: &'a Properties,
    task: &'a ResyncTask<'a>,
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
        let result = resync(
            &executor.pools,
            self.task,
            &target,
            &login.password,
            refusals,
        )
        .await;
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

/// A role whose secret has no password authenticates with IAM.
async fn properties(executor: &Executor, server: &Server) -> Properties {
    let databases = if server.databases.is_empty() {
        Databases::All
    } else {
        Databases::Named(server.databases.clone())
    };
    let secret = executor.logins.secrets().read(&server.secret).await;
    let has_no_password = secret.is_ok_and(|secret| secret.password.is_none());
    let mut properties =
        Properties::of_server(server.secret.clone(), server.host(), server.port, databases);
    if has_no_password {
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
