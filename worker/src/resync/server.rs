//! One server of a re-sync: its databases, some at a time, each with a result.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::database::resync;
use super::errand::Server;
use super::order::{Baseline, Order};
use super::results::Results;
use crate::database::DatabaseNames;
use crate::events::{DatabaseResult, Event, ServerEnd, State};
use crate::login::Login;
use crate::message::{Authentication, Databases, Properties};
use crate::patience::{Attempts, Next};
use crate::plan::{Declarer, Policy, ResourceKey};
use crate::response::reason;
use crate::retry::{POLICY, Retry};
use crate::topic::{MAX_BATCH, TopicError};
use crate::trouble::Trouble;
use crate::work::Worker;

/// Databases of a server that are worked on at the same time.
const DATABASES_AT_ONCE: usize = 4;
/// How long a database is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many databases in a row at which the server did not answer say that it is gone.
const ENOUGH_FAILURES: usize = 12;
/// Then one of so many is tried all the same.
const PROBE: usize = 100;

/// Does every database, and tells of each.
///
/// # Errors
/// [`TopicError`], where the results cannot be told; what was done is in the databases' ledgers.
pub(super) async fn resync_server(
    worker: &Worker,
    server: &Server,
    results: &Results,
) -> Result<(), TopicError> {
    let (sender, told) = mpsc::channel(MAX_BATCH);
    let working = async move { work(worker, server, &sender).await };
    let (count, told) = tokio::join!(working, tell(results, told));
    told?;
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
    results: &Results,
) -> Result<(), TopicError> {
    let order = Order {
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
    let failed = order.failed(None, reason, Instant::now());
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
async fn tell(
    results: &Results,
    mut told: mpsc::Receiver<DatabaseResult>,
) -> Result<(), TopicError> {
    let mut batch = Vec::new();
    while told.recv_many(&mut batch, MAX_BATCH).await > 0 {
        for result in &batch {
            results.note(result);
        }
        let events: Vec<Event> = batch.drain(..).map(Event::ResyncResult).collect();
        results.publish(&events).await?;
    }
    Ok(())
}

/// Returns how many results there are.
async fn work(worker: &Worker, server: &Server, tell: &mpsc::Sender<DatabaseResult>) -> usize {
    let since = Instant::now();
    let properties = properties(worker, server).await;
    let baseline = baseline(server);
    let order = Order {
        resync_id: &server.resync_id,
        mode: server.mode,
        key: &server.key,
        target: &server.target,
        baseline: baseline.as_ref(),
        since,
        policy: &worker.policy,
        is_named: !server.databases.is_empty(),
    };
    let (databases, at) = match databases(worker, &properties).await {
        Ok(found) => found,
        Err(trouble) => {
            let failed = DatabaseResult {
                server: trouble.1,
                ..order.failed(None, trouble.0.in_full().to_owned(), since)
            };
            // Whoever no longer listens gets the message again.
            drop(tell.send(failed).await);
            return 1;
        }
    };
    let DatabaseNames { usable, not_utf8 } = databases;
    let count = usable.len() + not_utf8.len();
    for database in not_utf8 {
        let skipped = DatabaseResult {
            server: at.clone(),
            reason: Some(reason::of_skipped(&database)),
            database: Some(database),
            ..order.result(State::Unmanaged, since)
        };
        drop(tell.send(skipped).await);
    }
    let failing = AtomicUsize::new(0);
    // Who waits for the telling of a result has no transaction open, and keeps no other database from going on.
    stream::iter(usable)
        .for_each_concurrent(DATABASES_AT_ONCE, async |database| {
            let result = one(worker, &properties, &order, database, &failing).await;
            drop(tell.send(result).await);
        })
        .await;
    count
}

/// The databases of a server, or the trouble, with the server.
async fn databases(
    worker: &Worker,
    properties: &Properties,
) -> Result<(DatabaseNames, Option<String>), (Trouble, Option<String>)> {
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, Instant::now() + PATIENCE);
    loop {
        let mut at = None;
        let listed = async {
            let login = worker.logins.log_in(properties).await?;
            at = Some(login.address.to_string());
            let databases = worker.databases(properties, &login).await?;
            worker.pools.let_go(&login.target("postgres"));
            Ok(databases)
        };
        match listed.await {
            Ok(databases) => return Ok((databases, at)),
            Err(trouble) => {
                let next = attempts.note(Trouble::clone(&trouble), None);
                if next == Next::Never || !pauses.pause().await {
                    return Err((trouble, at));
                }
            }
        }
    }
}

/// One database, tried again where that may help. Once the server does not answer, the next are tried once each, and then
/// one of many: a server that is gone, with thousands of databases, is not waited for as often.
async fn one(
    worker: &Worker,
    properties: &Properties,
    order: &Order<'_>,
    database: String,
    failing: &AtomicUsize,
) -> DatabaseResult {
    let since = Instant::now();
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, since + PATIENCE);
    let failures = failing.load(Relaxed);
    if failures >= ENOUGH_FAILURES && !failing.fetch_add(1, Relaxed).is_multiple_of(PROBE) {
        let reason = "the server does not answer, and was not asked for this database.";
        return DatabaseResult {
            database: Some(database),
            ..order.failed(None, reason.to_owned(), since)
        };
    }
    let mut last = failures > 0;
    loop {
        let (trouble, login) = match attempt(worker, properties, order, &database, last).await {
            Ok(result) => {
                failing.store(0, Relaxed);
                return result;
            }
            Err(failed) => failed,
        };
        if !last {
            if attempts.note(trouble.clone(), None) == Next::Again {
                last = !pauses.pause().await;
                continue;
            }
            // One step that never works keeps no other from being carried out.
            if trouble.in_step {
                last = true;
                continue;
            }
        }
        failing.fetch_add(usize::from(trouble.failing), Relaxed);
        let target = login.map(|login| login.target(&database));
        return DatabaseResult {
            database: Some(database),
            ..order.failed(target.as_ref(), trouble.in_full().to_owned(), since)
        };
    }
}

async fn attempt(
    worker: &Worker,
    properties: &Properties,
    order: &Order<'_>,
    database: &str,
    last: bool,
) -> Result<DatabaseResult, (Trouble, Option<Login>)> {
    let logged_in = worker.logins.log_in(properties).await;
    let login = logged_in.map_err(|trouble| (trouble, None))?;
    let turn = worker.turns.take(&login.address, true).await;
    let target = login.target(database);
    let result = resync(&worker.pools, order, &target, &login.password, last).await;
    drop(turn);
    // A fleet has more databases than a server has connections.
    worker.pools.let_go(&target);
    result.map_err(|error| (worker.trouble(&error, &target, &login), Some(login)))
}

/// A role whose secret has no password authenticates with IAM.
async fn properties(worker: &Worker, server: &Server) -> Properties {
    let databases = if server.databases.is_empty() {
        Databases::All
    } else {
        Databases::Named(server.databases.clone())
    };
    let secret = worker.logins.secrets().read(&server.secret).await;
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
