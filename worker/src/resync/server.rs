//! One server of a re-sync: its databases, some at a time, each with a result.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tracing::info;

use super::database::resync;
use super::internal_message::Server;
use super::publisher::ResultPublisher;
use super::task::{Baseline, ResyncTask};
use crate::aws::sns::{MAX_BATCH, TopicError};
use crate::credentials::login::Login;
use crate::execution::Executor;
use crate::execution::error::AttemptError;
use crate::execution::retry_loop::{Attempts, Next};
use crate::ledger::ResourceKey;
use crate::plan::{Declarer, Policy};
use crate::postgres::DatabaseNames;
use crate::process::retry::{POLICY, Retry};
use crate::reconcile::transaction::ReconcileError;
use crate::request::{Authentication, Databases, Properties};
use crate::response::reason;
use crate::resync_protocol::event::{DatabaseResult, Event, Mode, ServerEnd, State};
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
        note: None,
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
    server: &Server,
    sender: &mpsc::Sender<DatabaseResult>,
) -> usize {
    let since = Instant::now();
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
        note: None,
    };
    let (databases, address) = match databases(executor, &properties).await {
        Ok(found) => found,
        Err(error) => {
            let failed = DatabaseResult {
                server: error.1.map(|address| address.to_string()),
                ..task.failed(None, error.0.full_reason(), since)
            };
            // A closed channel means that publishing failed: then the message comes again.
            drop(sender.send(failed).await);
            return 1;
        }
    };
    let (mode, note) = check_blue_green(executor, task.mode, &address).await;
    let task = ResyncTask {
        mode,
        note: note.as_deref(),
        ..task
    };
    let at = Some(address.to_string());
    let DatabaseNames { usable, not_utf8 } = databases;
    let count = usable.len() + not_utf8.len();
    for database in not_utf8 {
        let skipped = DatabaseResult {
            server: at.clone(),
            reason: Some(reason::of_skipped(&database)),
            database: Some(database),
            ..task.result(State::Unmanaged, since)
        };
        drop(sender.send(skipped).await);
    }
    let failing = AtomicUsize::new(0);
    // A task that waits for its result to be published has no transaction open, and delays no other database.
    stream::iter(usable)
        .for_each_concurrent(DATABASES_AT_ONCE, async |database| {
            let result =
                resync_with_retries(executor, &properties, &task, database, &failing).await;
            drop(sender.send(result).await);
        })
        .await;
    count
}

/// What is done on the server, and what is to be known: one that a change would harm is not repaired.
async fn check_blue_green(
    executor: &Executor,
    mode: Mode,
    address: &Address,
) -> (Mode, Option<String>) {
    let (Mode::Repair, Some(deployments)) = (mode, &executor.blue_green) else {
        return (mode, None);
    };
    match deployments.check(address).await {
        Ok(warning) => (mode, warning),
        Err(ReconcileError::BlueGreen(part)) => {
            info!(server = %address, "not repaired: it is {part}");
            (Mode::Report, Some(reason::of_reported_blue_green(&part)))
        }
        Err(_) => (mode, None),
    }
}

/// The databases of a server, or the trouble, with the server.
async fn databases(
    executor: &Executor,
    properties: &Properties,
) -> Result<(DatabaseNames, Address), (AttemptError, Option<Address>)> {
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, Instant::now() + RETRY_BUDGET);
    loop {
        let mut at = None;
        let listed = async {
            let login = executor.logins.log_in(properties).await?;
            at = Some(login.address.clone());
            let databases = executor.databases(properties, &login).await?;
            executor.pools.remove(&login.target("postgres"));
            Ok::<_, AttemptError>((databases, login.address))
        };
        match listed.await {
            Ok(listed) => return Ok(listed),
            Err(error) => {
                if attempts.record(error, None) == Next::Never || !pauses.pause().await {
                    return Err((attempts.into_error(None), at));
                }
            }
        }
    }
}

/// One database, tried again where that may help. Once the server does not answer, the next are tried once each, and then
/// one of many: a server that is gone, with thousands of databases, is not waited for as often.
async fn resync_with_retries(
    executor: &Executor,
    properties: &Properties,
    task: &ResyncTask<'_>,
    database: String,
    failing: &AtomicUsize,
) -> DatabaseResult {
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
        let (error, login) = match attempt(executor, properties, task, &database, last).await {
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
    properties: &Properties,
    task: &ResyncTask<'_>,
    database: &str,
    last: bool,
) -> Result<DatabaseResult, (AttemptError, Option<Login>)> {
    let logged_in = executor.logins.log_in(properties).await;
    let login = logged_in.map_err(|error| (error.into(), None))?;
    let permit = executor.server_limits.acquire(&login.address, true).await;
    let target = login.target(database);
    let result = resync(&executor.pools, task, &target, &login.password, last).await;
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
