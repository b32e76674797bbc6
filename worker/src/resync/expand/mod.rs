//! Expands the targets of a re-sync to its servers, page by page: a message for each server, which any worker receives.
//! Several secrets with the same role at the same server count once: the first by name.
//!
//! A page that is expanded again, because its worker was killed, sends the same messages and publishes the same keys.

mod rds;
mod secrets;
mod single;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::single::Single;
use super::TENANT;
use super::internal_message::{Cursor, InternalMessage, Page, Server};
use super::publisher::ResultPublisher;
use super::task::ServerOfResync;
use crate::aws::rds::Instances;
use crate::aws::sqs::{MAX_BATCH, MAX_BYTES, Queue};
use crate::credentials::login::Logins;
use crate::credentials::secrets::SecretError;
use crate::response::reason;
use crate::resync_protocol::event::{Event, State, TargetsPage};
use crate::resync_protocol::{ResyncMessage, ResyncTarget};

/// Secrets that are read at the same time.
const SECRETS_AT_ONCE: usize = 8;
/// Time over which the servers of a page are spread at most, so that the work on a fleet does not begin at once.
const MAX_SPREAD: Duration = Duration::from_secs(60);

/// Why a page could not be expanded; its message is delivered again.
#[derive(Debug, thiserror::Error)]
#[error("could not be expanded: {0}")]
pub(super) struct ExpandError(String);

/// One page.
#[derive(Debug, Default)]
struct Found {
    servers: Vec<Server>,
    /// Targets and servers that cannot be processed, with the reason.
    lost: Vec<LostTarget>,
    /// Where the same target continues.
    from: Option<Cursor>,
    /// How many targets are finished with this page.
    targets: usize,
    /// The name or tag by which secrets were found: some of them may not be for a server.
    filter: Option<String>,
    /// Whether the message names each of them: then each is processed, even if two are the same.
    is_named: bool,
}

/// A target or a server that cannot be processed: it has a result that says so.
#[derive(Debug)]
struct LostTarget {
    key: String,
    /// `Failed`, or `Unmanaged` if there is nothing to process.
    state: State,
    reason: String,
}

impl LostTarget {
    fn failed(key: String, reason: String) -> Self {
        Self {
            key,
            state: State::Failed,
            reason,
        }
    }
}

impl Found {
    fn has_any(&self) -> bool {
        !self.servers.is_empty() || !self.lost.is_empty()
    }
}

/// The services that an expansion calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpandContext<'a> {
    pub(super) logins: &'a Logins,
    pub(super) instances: &'a Instances,
    pub(super) queue: &'a Queue,
    pub(super) results: &'a ResultPublisher,
}

/// Expands one page, and sends the message of the next.
pub(super) async fn expand(
    page: &Page,
    message: &ResyncMessage,
    context: ExpandContext<'_>,
) -> Result<(), ExpandError> {
    let since = Instant::now();
    let mut found = match find(page, message, context).await? {
        Single::Found(found) => found,
        Single::Later(delay) => {
            let next = Page {
                waits: page.waits + 1,
                ..page.clone()
            };
            let again = InternalMessage::ResyncPage(Box::new(next));
            return send(context.queue, vec![(again, delay)]).await;
        }
    };
    let mut sent = page.sent.clone();
    let has_servers = deduplicate(&mut found, &mut sent, context.logins).await;
    let has_found = page.has_found || has_servers || !found.lost.is_empty();
    if let Some(what) = found.filter.take()
        && !has_found
        && found.from.is_none()
    {
        let reason = reason::resync::of_no_secret_found();
        found.lost.push(LostTarget::failed(what, reason));
    }
    let is_last = found.targets >= message.targets.len();

    let keys = found.servers.iter().map(|server| server.key.clone());
    let lost = found.lost.iter().map(|lost| lost.key.clone());
    let mut events = vec![Event::ResyncTargets(TargetsPage {
        resync_id: message.id.clone(),
        mode: message.mode,
        page: page.page,
        last: is_last,
        servers: keys.chain(lost).collect(),
    })];
    for LostTarget { key, state, reason } in found.lost {
        let server = ServerOfResync {
            resync_id: &message.id,
            mode: message.mode,
            key: &key,
            target: &key,
        };
        let results = context.results;
        events.extend(results.note_one(server, state, reason, since));
    }
    let published = context.results.publish(&events).await;
    published.map_err(|error| ExpandError(error.to_string()))?;

    let spread = MAX_SPREAD.min(Duration::from_secs(
        found.servers.len().saturating_sub(1) as u64
    ));
    let mut messages: Vec<(InternalMessage, Duration)> = found
        .servers
        .into_iter()
        .map(|server| {
            (
                InternalMessage::ResyncWork(Box::new(server)),
                spread.mul_f64(fastrand::f64()),
            )
        })
        .collect();
    if !is_last {
        let next = Page {
            message: without_first_targets(&page.message, found.targets),
            page: page.page + 1,
            has_found: found.targets == 0 && has_found,
            from: found.from,
            sent,
            waits: 0,
        };
        messages.push((InternalMessage::ResyncPage(Box::new(next)), Duration::ZERO));
    }
    send(context.queue, messages).await
}

/// The message without its first targets.
fn without_first_targets(message: &Value, done: usize) -> Value {
    let mut message = message.clone();
    if let Some(targets) = message.get_mut("Targets").and_then(Value::as_array_mut) {
        targets.drain(..done.min(targets.len()));
    }
    message
}

async fn send(
    queue: &Queue,
    messages: Vec<(InternalMessage, Duration)>,
) -> Result<(), ExpandError> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (message, delay) in messages {
        let body =
            serde_json::to_string(&message).map_err(|error| ExpandError(error.to_string()))?;
        if batch.len() == MAX_BATCH || bytes + body.len() > MAX_BYTES {
            send_batch(queue, std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
        bytes += body.len();
        batch.push((body, delay));
    }
    send_batch(queue, batch).await
}

async fn send_batch(queue: &Queue, batch: Vec<(String, Duration)>) -> Result<(), ExpandError> {
    if batch.is_empty() {
        return Ok(());
    }
    for answer in queue.send(TENANT, batch).await {
        answer.map_err(|error| ExpandError(error.to_string()))?;
    }
    Ok(())
}

/// Removes from secrets that were found, and not named, those that are not for a server, and those with the same role at a
/// server that the page has already. Secrets that cannot be read are kept: the worker of that server reports them. Returns
/// whether there was a server, removed or not.
async fn deduplicate(found: &mut Found, sent: &mut BTreeSet<u64>, logins: &Logins) -> bool {
    let all = std::mem::take(&mut found.servers);
    let mut roles = stream::iter(all)
        .map(async |server| {
            let role = logins.role(&server.secret, server.host(), server.port);
            let role = role.await;
            (server, role)
        })
        .buffered(SECRETS_AT_ONCE);
    let mut has_servers = false;
    while let Some((server, role)) = roles.next().await {
        let is_none =
            found.filter.is_some() && matches!(role, Ok(None) | Err(SecretError::Unusable { .. }));
        has_servers |= !is_none;
        let is_wanted = match role {
            Ok(Some(role)) if server.databases.is_empty() => {
                sent.insert(hash(&role)) || found.is_named
            }
            Ok(Some(_)) => true,
            Ok(None) | Err(_) => !is_none,
        };
        if is_wanted {
            found.servers.push(server);
        }
    }
    has_servers
}

/// The beginning of a stable hash, which another worker, maybe of another version, compares. The next page has to contain
/// all of them.
fn hash(role: &str) -> u64 {
    let digest = Sha256::digest(role);
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

async fn find(
    page: &Page,
    message: &ResyncMessage,
    context: ExpandContext<'_>,
) -> Result<Single, ExpandError> {
    let found = match message.targets.first() {
        None => Found::default(),
        Some(ResyncTarget::Secret { .. }) => secrets::named(message),
        Some(ResyncTarget::SecretPrefix(_) | ResyncTarget::SecretTag { .. }) => {
            secrets::find(page, message, context.logins.secrets()).await?
        }
        Some(ResyncTarget::Instances { tag }) => {
            rds::find(page, message, context.instances, tag.as_ref()).await?
        }
        Some(ResyncTarget::Instance(named)) => {
            // Other targets do not wait for this one.
            let waits = (message.targets.len() == 1).then_some(page.waits);
            return single::find(message, context.instances, named, waits).await;
        }
    };
    Ok(Single::Found(found))
}

fn server(message: &ResyncMessage, key: String, target: String, secret: String) -> Server {
    Server {
        resync_id: message.id.clone(),
        mode: message.mode,
        key,
        target,
        secret,
        host: None,
        port: None,
        databases: Vec::new(),
        extensions: message
            .extensions
            .clone()
            .filter(|written| *written != Value::Null),
        baseline: message.baseline.clone(),
        upgrade: message
            .upgrade
            .as_ref()
            .map(|upgrade| upgrade.written.clone()),
        hops: 0,
    }
}
