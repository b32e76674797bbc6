//! One server of a re-sync: its databases, some at a time, each with a result.

use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tracing::info;

use super::attempts::{OneDatabase, list_databases, resync_database};
use super::internal_message::Server;
use super::publisher::ResultPublisher;
use super::task::{Baseline, ResyncTask, ServerOfResync};
use crate::aws::sns::{MAX_BATCH, TopicError};
use crate::execution::Executor;
use crate::ledger::ResourceKey;
use crate::plan::Declarer;
use crate::postgres::DatabaseNames;
use crate::reconcile::transaction::ReconcileError;
use crate::request::{Authentication, Databases, Properties};
use crate::response::reason;
use crate::resync_protocol::event::{DatabaseResult, Event, Mode, State};
use crate::target::Address;

/// Databases of a server that are worked on at the same time.
const DATABASES_AT_ONCE: usize = 4;

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
    let events = results.note_one(server.of_resync(), State::Failed, reason, Instant::now());
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
        note: None,
    };
    let (databases, address) = match list_databases(executor, &properties).await {
        Ok(listed) => listed,
        Err(error) => {
            let failed = DatabaseResult {
                server: error.target().map(|target| target.address.to_string()),
                ..task.server.failed(None, error.full_reason(), since)
            };
            // A closed channel means that publishing failed: then the message comes again.
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
            (Mode::Report, Some(reason::resync::of_blue_green(&part)))
        }
        Err(_) => (mode, None),
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
