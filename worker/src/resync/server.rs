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
use super::upgrade_check::{UpgradeCheck, UpgradeCheckError};
use crate::aws::sns::{MAX_BATCH, TopicError};
use crate::credentials::login::Login;
use crate::execution::Executor;
use crate::execution::error::AttemptError;
use crate::execution::retry_loop::{Attempts, Next};
use crate::ledger::ResourceKey;
use crate::plan::{Declarer, Policy};
use crate::postgres::DatabaseNames;
use crate::process::retry::{POLICY, Retry};
use crate::request::{Authentication, Databases, Properties};
use crate::response::reason;
use crate::resync_protocol::UpgradeRequest;
use crate::resync_protocol::event::{DatabaseResult, Event, ServerEnd, State};
use crate::target::Host;

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
    let end = Event::ResyncServer(ServerEnd {
        resync_id: server.resync_id.clone(),
        mode: server.mode,
        key: server.key.clone(),
        results: count,
    });
    results.publish(&[end]).await
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
    let task = ResyncTask {
        resync_id: &server.resync_id,
        mode: server.mode,
        key: &server.key,
        target: &server.target,
        baseline: None,
        since: Instant::now(),
        // Nothing is planned.
        policy: &Policy::unrestricted(),
        is_named: false,
    };
    let failed = task.failed(None, reason, Instant::now());
    results.note(&failed);
    let end = ServerEnd {
        resync_id: server.resync_id.clone(),
        mode: server.mode,
        key: server.key.clone(),
        results: 1,
    };
    let events = [Event::ResyncResult(failed), Event::ResyncServer(end)];
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
        resync_id: &server.resync_id,
        mode: server.mode,
        key: &server.key,
        target: &server.target,
        baseline: baseline.as_ref(),
        since,
        policy: &executor.policy,
        is_named: !server.databases.is_empty(),
    };
    let (databases, at) = match databases(executor, &properties).await {
        Ok(found) => found,
        Err(error) => {
            let failed = DatabaseResult {
                server: error.1,
                ..task.failed(None, error.0.full_reason(), since)
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
                server: at,
                ..task.failed(None, reason, since)
            };
            drop(sender.send(failed).await);
            return 1;
        }
    };
    let mut count = usable.len() + not_utf8.len();
    if let Some(check) = &check {
        count += 1;
        drop(sender.send(check.of_server(&task, since)).await);
    }
    let failing = AtomicUsize::new(0);
    let work = DatabaseTask {
        properties: &properties,
        task: &task,
        check: check.as_ref(),
        failing: &failing,
    };
    if check.is_some() && server.databases.is_empty() {
        // pg_upgrade looks at it, too; where the role may not, the others count all the same.
        match attempt(executor, work, TEMPLATE, true).await {
            Ok(result) => {
                count += 1;
                drop(sender.send(result).await);
            }
            Err((error, _)) => {
                let reason = error.full_reason();
                warn!(server = server.key, reason, "{TEMPLATE} is not checked");
            }
        }
    }
    // A check leaves nothing out that it does not say.
    let state_of_skipped = match &check {
        Some(_) => State::Failed,
        None => State::Unmanaged,
    };
    for database in not_utf8 {
        let skipped = DatabaseResult {
            server: at.clone(),
            reason: Some(reason::of_skipped(&database)),
            database: Some(database),
            ..task.result(state_of_skipped, since)
        };
        drop(sender.send(skipped).await);
    }
    // A task that waits for its result to be published has no transaction open, and delays no other database.
    stream::iter(usable)
        .for_each_concurrent(DATABASES_AT_ONCE, async |database| {
            let result = resync_with_retries(executor, work, database).await;
            drop(sender.send(result).await);
        })
        .await;
    count
}

/// The databases of a server, or the trouble, with the server.
async fn databases(
    executor: &Executor,
    properties: &Properties,
) -> Result<(DatabaseNames, Option<String>), (AttemptError, Option<String>)> {
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, Instant::now() + RETRY_BUDGET);
    loop {
        let mut at = None;
        let listed = async {
            let login = executor.logins.log_in(properties).await?;
            at = Some(login.address.to_string());
            let databases = executor.databases(properties, &login).await?;
            executor.pools.remove(&login.target("postgres"));
            Ok::<_, AttemptError>(databases)
        };
        match listed.await {
            Ok(databases) => return Ok((databases, at)),
            Err(error) => {
                if attempts.record(error, None) == Next::Never || !pauses.pause().await {
                    return Err((attempts.into_error(None), at));
                }
            }
        }
    }
}

/// What the databases of a server have in common.
#[derive(Debug, Clone, Copy)]
struct DatabaseTask<'a> {
    properties: &'a Properties,
    task: &'a ResyncTask<'a>,
    check: Option<&'a UpgradeCheck>,
    failing: &'a AtomicUsize,
}

/// One database, tried again where that may help. Once the server does not answer, the next are tried once each, and then
/// one of many: a server that is gone, with thousands of databases, is not waited for as often.
async fn resync_with_retries(
    executor: &Executor,
    work: DatabaseTask<'_>,
    database: String,
) -> DatabaseResult {
    let DatabaseTask { task, failing, .. } = work;
    let since = Instant::now();
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, since + RETRY_BUDGET);
    let failures = failing.load(Relaxed);
    if failures >= ENOUGH_FAILURES && !failing.fetch_add(1, Relaxed).is_multiple_of(PROBE) {
        let reason = "the server does not answer, and was not asked for this database.";
        return DatabaseResult {
            database: Some(database),
            ..task.failed(None, reason.to_owned(), since)
        };
    }
    let mut last = failures > 0;
    loop {
        let (error, login) = match attempt(executor, work, &database, last).await {
            Ok(result) => {
                failing.store(0, Relaxed);
                return result;
            }
            Err(failed) => failed,
        };
        let (is_in_step, is_server_failure) = (error.is_in_step(), error.is_server_failure());
        let reason = error.full_reason();
        if !last {
            if attempts.record(error, None) == Next::Again {
                last = !pauses.pause().await;
                continue;
            }
            // One step that never works keeps no other from being carried out.
            if is_in_step {
                last = true;
                continue;
            }
        }
        failing.fetch_add(usize::from(is_server_failure), Relaxed);
        let target = login.map(|login| login.target(&database));
        return DatabaseResult {
            database: Some(database),
            ..task.failed(target.as_ref(), reason, since)
        };
    }
}

async fn attempt(
    executor: &Executor,
    work: DatabaseTask<'_>,
    database: &str,
    last: bool,
) -> Result<DatabaseResult, (AttemptError, Option<Login>)> {
    let DatabaseTask { task, check, .. } = work;
    let logged_in = executor.logins.log_in(work.properties).await;
    let login = logged_in.map_err(|error| (error.into(), None))?;
    let permit = executor.server_limits.acquire(&login.address, true).await;
    let target = login.target(database);
    let (pools, password) = (&executor.pools, &login.password);
    let result = match check {
        Some(check) => check.of_database(pools, task, &target, password).await,
        None => resync(pools, task, &target, password, last).await,
    };
    drop(permit);
    // A fleet has more databases than a server has connections.
    executor.pools.remove(&target);
    result.map_err(|error| {
        (
            executor.reconcile_error(error, &target, &login),
            Some(login),
        )
    })
}

/// What the check of an upgrade needs to know beforehand, where one is asked for; or the Reason.
async fn check(
    executor: &Executor,
    task: ServerTask<'_>,
    properties: &Properties,
    databases: &[String],
) -> Result<Option<UpgradeCheck>, String> {
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, Instant::now() + RETRY_BUDGET);
    loop {
        match UpgradeCheck::read(executor, task, properties, databases).await {
            Ok(check) => return Ok(check),
            Err(UpgradeCheckError::Offer(reason)) => return Err(reason),
            Err(UpgradeCheckError::Attempt(error)) => {
                if attempts.record(error, None) == Next::Never || !pauses.pause().await {
                    return Err(attempts.into_error(None).full_reason());
                }
            }
        }
    }
}

async fn properties(executor: &Executor, server: &Server) -> Properties {
    let databases = if server.databases.is_empty() {
        Databases::All
    } else {
        Databases::Named(server.databases.clone())
    };
    properties_of(
        executor,
        &server.secret,
        server.host(),
        server.port,
        databases,
    )
    .await
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
    let has_no_password = secret.is_ok_and(|secret| secret.password.is_none());
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
