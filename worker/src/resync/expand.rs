//! From the targets of a re-sync to its servers, page by page: a message for each server, which any worker takes.
//!
//! A page that is expanded again, as its worker was killed, sends the same messages and says the same keys.

mod rds;

use std::time::{Duration, Instant};

use serde_json::Value;

use super::database::Order;
use super::errand::{Errand, From, Page, Server};
use super::results::Results;
use crate::events::{DatabaseResult, Event, ServerEnd, TargetsPage};
use crate::instances::Instances;
use crate::message::{Databases, ResyncMessage, ResyncTarget};
use crate::queue::{MAX_BATCH, Queue};
use crate::secrets::{SecretFilter, Secrets};

/// Secrets that are listed one by one make a page together.
const MAX_SECRETS: usize = 100;
/// Over how long the servers of a page are spread at the most: a fleet is not hit at once.
const MAX_SPREAD: Duration = Duration::from_secs(60);

/// Why a page is not expanded; it comes again.
#[derive(Debug, thiserror::Error)]
#[error("could not be expanded: {0}")]
pub(super) struct ExpandError(pub(super) String);

/// What one page has.
#[derive(Debug, Default)]
struct Found {
    servers: Vec<Server>,
    /// What cannot be worked on, with why.
    lost: Vec<(String, String)>,
    /// Where the same target goes on.
    from: Option<From>,
    /// How many targets are done with it.
    targets: usize,
}

impl Found {
    fn has_any(&self) -> bool {
        !self.servers.is_empty() || !self.lost.is_empty()
    }
}

/// Expands one page, and sends the next on its way.
pub(super) async fn expand(
    page: &Page,
    message: &ResyncMessage,
    secrets: &Secrets,
    instances: &Instances,
    queue: &Queue,
    results: &Results,
) -> Result<(), ExpandError> {
    let since = Instant::now();
    let found = find(page, message, secrets, instances).await?;
    let next = page.target + found.targets;
    let has_found = found.targets == 0 && (page.has_found || found.has_any());
    let is_last = next >= message.targets.len();

    let mut events = Vec::new();
    let keys = found.servers.iter().map(|server| server.key.clone());
    let lost = found.lost.iter().map(|(key, _)| key.clone());
    events.push(Event::ResyncTargets(TargetsPage {
        resync_id: message.id.clone(),
        mode: message.mode,
        page: page.page,
        last: is_last,
        servers: keys.chain(lost).collect(),
    }));
    for (key, reason) in found.lost {
        let result = lost_result(message, &key, reason, since);
        results.note(&result);
        events.push(Event::ResyncResult(result));
        events.push(Event::ResyncServer(ServerEnd {
            resync_id: message.id.clone(),
            mode: message.mode,
            key,
            results: 1,
        }));
    }
    let told = results.publish(&events).await;
    told.map_err(|error| ExpandError(error.to_string()))?;

    let spread = MAX_SPREAD.min(Duration::from_secs(
        found.servers.len().saturating_sub(1) as u64
    ));
    let mut errands: Vec<(Errand, Duration)> = found
        .servers
        .into_iter()
        .map(|server| {
            (
                Errand::ResyncWork(Box::new(server)),
                spread.mul_f64(fastrand::f64()),
            )
        })
        .collect();
    if !is_last {
        let next = Page {
            message: page.message.clone(),
            page: page.page + 1,
            target: next,
            from: found.from,
            has_found,
        };
        errands.push((Errand::ResyncPage(Box::new(next)), Duration::ZERO));
    }
    send(queue, &errands).await
}

async fn send(queue: &Queue, errands: &[(Errand, Duration)]) -> Result<(), ExpandError> {
    for batch in errands.chunks(MAX_BATCH) {
        let bodies = batch
            .iter()
            .map(|(errand, delay)| Ok((serde_json::to_string(errand)?, *delay)))
            .collect::<Result<Vec<_>, serde_json::Error>>()
            .map_err(|error| ExpandError(error.to_string()))?;
        for answer in queue.send(bodies).await {
            answer.map_err(|error| ExpandError(error.to_string()))?;
        }
    }
    Ok(())
}

fn lost_result(
    message: &ResyncMessage,
    key: &str,
    reason: String,
    since: Instant,
) -> DatabaseResult {
    let order = Order {
        resync_id: &message.id,
        mode: message.mode,
        key,
        target: key,
        baseline: None,
        is_named: false,
    };
    order.failed(None, reason, since)
}

async fn find(
    page: &Page,
    message: &ResyncMessage,
    secrets: &Secrets,
    instances: &Instances,
) -> Result<Found, ExpandError> {
    let left = message.targets.get(page.target..).unwrap_or_default();
    let Some(first) = left.first() else {
        return Ok(Found::default());
    };
    match first {
        ResyncTarget::Secret { .. } => Ok(one_by_one(message, left)),
        ResyncTarget::SecretPrefix(prefix) => {
            let filter = SecretFilter::Prefix(prefix.clone());
            let what = format!("secrets {prefix}*");
            by_filter(page, message, secrets, &filter, what).await
        }
        ResyncTarget::SecretTag { key, value } => {
            let filter = SecretFilter::Tag {
                key: key.clone(),
                value: value.clone(),
            };
            let what = format!("secrets {key}={}", value.as_deref().unwrap_or("*"));
            by_filter(page, message, secrets, &filter, what).await
        }
        ResyncTarget::Instances { tag } => rds::find(page, message, instances, tag.as_ref()).await,
    }
}

/// The secrets that stand next to each other in the list.
fn one_by_one(message: &ResyncMessage, targets: &[ResyncTarget]) -> Found {
    let mut found = Found::default();
    for target in targets.iter().take(MAX_SECRETS) {
        let ResyncTarget::Secret {
            id,
            databases,
            host,
            port,
        } = target
        else {
            break;
        };
        let databases = match databases {
            Databases::Named(names) => names.clone(),
            Databases::Default | Databases::All => Vec::new(),
        };
        let mut key = id.clone();
        if let Some(host) = host {
            key.push_str(&format!("@{host}"));
        }
        if let Some(port) = port {
            key.push_str(&format!(":{port}"));
        }
        if !databases.is_empty() {
            key.push_str(&format!("/{}", databases.join(",")));
        }
        found.targets += 1;
        if found.servers.iter().any(|server| server.key == key) {
            continue;
        }
        found.servers.push(Server {
            host: host.as_ref().map(ToString::to_string),
            port: *port,
            databases,
            ..server(message, key, id.clone(), id.clone())
        });
    }
    found
}

async fn by_filter(
    page: &Page,
    message: &ResyncMessage,
    secrets: &Secrets,
    filter: &SecretFilter,
    what: String,
) -> Result<Found, ExpandError> {
    let token = match &page.from {
        Some(From::Secrets(token)) => Some(token.clone()),
        Some(From::Instances(_)) | None => None,
    };
    let (names, next) = match secrets.list(filter, token).await {
        Ok(listed) => listed,
        Err(error) if error.code.contains("AccessDenied") => {
            let reason = format!(
                "the worker's task role may not list secrets ({}). Allow secretsmanager:ListSecrets.",
                error.code
            );
            return Ok(Found {
                lost: vec![(what, reason)],
                targets: 1,
                ..Found::default()
            });
        }
        Err(error) => return Err(ExpandError(error.to_string())),
    };
    let mut found = Found {
        targets: usize::from(next.is_none()),
        from: next.map(From::Secrets),
        ..Found::default()
    };
    if !page.has_found && names.is_empty() && found.from.is_none() {
        found
            .lost
            .push((what, "no secret is found by this.".to_owned()));
    }
    found.servers = names
        .into_iter()
        .map(|name| Server {
            is_found: true,
            ..server(message, name.clone(), name.clone(), name)
        })
        .collect();
    Ok(found)
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
        is_found: false,
        extensions: message
            .extensions
            .clone()
            .filter(|written| *written != Value::Null),
        baseline: message.baseline.clone(),
    }
}
