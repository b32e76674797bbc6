//! One server of a re-sync: processes several databases at the same time, each with a result.

use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::info;

use super::attempts::{OneDatabase, list_databases, resync_database};
use super::internal_message::Server;
use super::publisher::ResultPublisher;
use super::target_offer::OfferCache;
use super::task::{Baseline, ResyncTask, ServerOfResync};
use super::upgrade_check::{begin_check, check_template};
use super::upgrade_facts::TEMPLATE;
use crate::aws::sns::{MAX_BATCH, TopicError};
use crate::execution::Executor;
use crate::ledger::ResourceKey;
use crate::plan::Declarer;
use crate::postgres::DatabaseNames;
use crate::reconcile::transaction::ReconcileError;
use crate::request::{Authentication, Databases, Properties};
use crate::response::reason;
use crate::resync_protocol::UpgradeRequest;
use crate::resync_protocol::event::{DatabaseResult, Event, Mode, State};
use crate::target::{Address, Host};

/// How long a result waits for others, to be published in the same call.
const GATHERED_FOR: Duration = Duration::from_millis(100);
/// Databases of a server that are processed at the same time.
const DATABASES_AT_ONCE: usize = 4;

/// A server, with the upgrade of its message.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerTask<'a> {
    pub(super) server: &'a Server,
    pub(super) upgrade: Option<&'a UpgradeRequest>,
    pub(super) offers: &'a OfferCache,
}

/// Re-syncs every database of the server, and publishes a result for each.
///
/// # Errors
/// [`TopicError`], if the results cannot be published; the changes are in the databases' ledgers.
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

/// Publishes the only result of a server that was not processed.
///
/// # Errors
/// [`TopicError`].
pub(super) async fn publish_failure(
    server: &Server,
    reason: String,
    results: &ResultPublisher,
) -> Result<(), TopicError> {
    let events = results.note_one(server.of_resync(), State::Failed, reason, Instant::now());
    results.publish(&events).await
}

/// Publishes the results while more databases are processed, several in a call.
async fn publish_results(
    results: &ResultPublisher,
    mut received: mpsc::Receiver<DatabaseResult>,
) -> Result<(), TopicError> {
    let mut batch = Vec::new();
    while received.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let more = async {
            while batch.len() < MAX_BATCH {
                let room = MAX_BATCH - batch.len();
                if received.recv_many(&mut batch, room).await == 0 {
                    break;
                }
            }
        };
        // The batch has the results that arrived, whether it is full or the time is over.
        drop(timeout(GATHERED_FOR, more).await);
        for result in &batch {
            results.note(result);
        }
        let events: Vec<Event> = batch.drain(..).map(Event::ResyncResult).collect();
        results.publish(&events).await?;
    }
    Ok(())
}

/// Returns the number of results.
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
        note: None,
    };
    let (databases, address) = match list_databases(executor, &properties).await {
        Ok(listed) => listed,
        Err(error) => {
            let failed = DatabaseResult {
                server: error.target().map(|target| target.address.to_string()),
                ..task.server.failed(None, error.full_reason(), since)
            };
            // A closed channel means that publishing failed: the message is delivered again.
            drop(sender.send(failed).await);
            return 1;
        }
    };
    let (mode, note) = check_blue_green(executor, task.server.mode, &address).await;
    let task = ResyncTask {
        server: ServerOfResync {
            mode,
            ..task.server
        },
        note: note.as_deref(),
        ..task
    };
    let DatabaseNames { usable, not_utf8 } = databases;
    let check = match begin_check(executor, server_task, &properties, &usable).await {
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
    // A check processes every database.
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
    // A task that waits for its result to be published has no open transaction, and does not delay other databases.
    stream::iter(usable)
        .for_each_concurrent(DATABASES_AT_ONCE, async |database| {
            let one = OneDatabase {
                database: &database,
                ..template
            };
            let result = executor
                .background
                .run(resync_database(one, &failing))
                .await;
            drop(sender.send(result).await);
        })
        .await;
    count
}

/// The work on the server, and a warning: a server that a change would break is not repaired.
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
            (Mode::Report, Some(reason::resync::of_blue_green(&part)))
        }
        Err(_) => (mode, None),
    }
}

/// The databases of the message, or all.
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

/// The baseline, as a resource with no other properties.
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
