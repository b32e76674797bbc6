//! From the targets of a re-sync to its servers, page by page: a message for each server, which any worker takes. Several
//! secrets of one server are one: the first by name.
//!
//! A page that is expanded again, as its worker was killed, sends the same messages and says the same keys.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use super::database::Order;
use super::errand::{Errand, From, Page, Server};
use super::results::Results;
use crate::events::{DatabaseResult, Event, ServerEnd, TargetsPage};
use crate::instances::{Instance, Instances, Marker};
use crate::login::Logins;
use crate::message::{Databases, ResyncMessage, ResyncTarget};
use crate::queue::{MAX_BATCH, Queue};
use crate::secrets::{SecretError, SecretFilter, Secrets};

/// Secrets that are listed one by one make a page together.
const MAX_SECRETS: usize = 100;
/// Secrets that are read at the same time.
const SECRETS_AT_ONCE: usize = 8;
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
    /// What secrets were found by, if by their name or a tag: some may be of something else than a server.
    filter: Option<String>,
    /// Whether it is all that the target has.
    is_whole: bool,
}

/// What an expansion asks and tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) logins: &'a Logins,
    pub(super) instances: &'a Instances,
    pub(super) queue: &'a Queue,
    pub(super) results: &'a Results,
}

/// Expands one page, and sends the next on its way.
pub(super) async fn expand(
    page: &Page,
    message: &ResyncMessage,
    means: Means<'_>,
) -> Result<(), ExpandError> {
    let since = Instant::now();
    let mut found = find(page, message, means).await?;
    let mut servers = page.servers.clone();
    once_each(&mut found, &mut servers, means.logins).await;
    let next = page.target + found.targets;
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
        means.results.note(&result);
        events.push(Event::ResyncResult(result));
        events.push(Event::ResyncServer(ServerEnd {
            resync_id: message.id.clone(),
            mode: message.mode,
            key,
            results: 1,
        }));
    }
    let told = means.results.publish(&events).await;
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
            servers,
        };
        errands.push((Errand::ResyncPage(Box::new(next)), Duration::ZERO));
    }
    send(means.queue, &errands).await
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

/// Leaves out what is no server, and of those that are one all but the first. What cannot be known is left to whoever
/// works on it, and tells.
async fn once_each(found: &mut Found, servers: &mut BTreeSet<String>, logins: &Logins) {
    let all = std::mem::take(&mut found.servers);
    let (count, mut of_servers) = (all.len(), 0);
    let mut addressed = stream::iter(all)
        .map(async |server| {
            let address = logins
                .address(&server.secret, server.host(), server.port)
                .await;
            (server, address)
        })
        .buffered(SECRETS_AT_ONCE);
    while let Some((server, address)) = addressed.next().await {
        let is_none = found.filter.is_some()
            && matches!(address, Ok(None) | Err(SecretError::Unusable { .. }));
        of_servers += usize::from(!is_none);
        let is_wanted = match address {
            Ok(Some(address)) => {
                !server.databases.is_empty() || servers.insert(address.to_string())
            }
            Ok(None) | Err(_) => !is_none,
        };
        if is_wanted {
            found.servers.push(server);
        }
    }
    drop(addressed);
    if let Some(what) = &found.filter
        && of_servers == 0
        && found.is_whole
    {
        let reason = if count == 0 {
            "no secret is found by this."
        } else {
            "no secret that is found by this has a host: none is of a server."
        };
        found.lost.push((what.clone(), reason.to_owned()));
    }
}

async fn find(
    page: &Page,
    message: &ResyncMessage,
    means: Means<'_>,
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
            by_filter(page, message, means.logins.secrets(), &filter, what).await
        }
        ResyncTarget::SecretTag { key, value } => {
            let filter = SecretFilter::Tag {
                key: key.clone(),
                value: value.clone(),
            };
            let what = format!("secrets {key}={}", value.as_deref().unwrap_or("*"));
            by_filter(page, message, means.logins.secrets(), &filter, what).await
        }
        ResyncTarget::Instances { tag } => {
            of_rds(page, message, means.instances, tag.as_ref()).await
        }
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
    let named = |name: String| server(message, name.clone(), name.clone(), name);
    Ok(Found {
        is_whole: page.from.is_none() && next.is_none(),
        targets: usize::from(next.is_none()),
        from: next.map(From::Secrets),
        servers: names.into_iter().map(named).collect(),
        filter: Some(what),
        ..Found::default()
    })
}

async fn of_rds(
    page: &Page,
    message: &ResyncMessage,
    instances: &Instances,
    tag: Option<&(String, Option<String>)>,
) -> Result<Found, ExpandError> {
    let from = match &page.from {
        Some(From::Instances(marker)) => Some(marker.clone()),
        Some(From::Secrets(_)) | None => None,
    };
    let what = match tag {
        Some((key, value)) => format!("instances {key}={}", value.as_deref().unwrap_or("*")),
        None => "instances".to_owned(),
    };
    let (mut listed, mut next) = list(instances, tag, from.clone()).await?;
    // Few accounts have more than a page of instances: their clusters come along.
    if let Some(Marker::Clusters(None)) = next {
        let (clusters, rest) = list(instances, tag, next).await?;
        listed.extend(clusters);
        next = rest;
    }
    let mut found = Found {
        targets: usize::from(next.is_none()),
        from: next.map(From::Instances),
        ..Found::default()
    };
    if from.is_none() && listed.is_empty() && found.from.is_none() {
        found.lost.push((
            what,
            "no PostgreSQL instance or cluster is found by this.".to_owned(),
        ));
    }
    for instance in listed {
        let Instance {
            id,
            endpoint,
            secret,
        } = instance;
        let lost = |why: &str| (id.clone(), why.to_owned());
        match (endpoint, secret) {
            (Some((host, port)), Some(secret)) => found.servers.push(Server {
                host: Some(host),
                port: Some(port),
                ..server(message, id.clone(), id, secret)
            }),
            (None, _) => found.lost.push(lost("it has no endpoint yet.")),
            (_, None) => found.lost.push(lost(
                "RDS manages no secret of its master user: name its own secret as a target (--secret).",
            )),
        }
    }
    Ok(found)
}

async fn list(
    instances: &Instances,
    tag: Option<&(String, Option<String>)>,
    from: Option<Marker>,
) -> Result<(Vec<Instance>, Option<Marker>), ExpandError> {
    let listed = instances.list(tag, from).await;
    listed.map_err(|error| ExpandError(error.to_string()))
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
    }
}
