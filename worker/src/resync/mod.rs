//! Re-sync of a fleet: a published message is expanded to servers, and each server's databases are compared with the
//! declarations of their ledgers, repaired, or checked for an upgrade. Nothing is ever dropped, except by `OnNoUpdatePath:
//! Recreate`.
//!
//! The changes of a re-sync in a database are recorded in its ledger: a message that is delivered again makes them once.

mod asking;
mod assessment;
mod attempts;
mod commit;
mod database;
mod declarers;
mod expand;
mod internal_message;
mod publisher;
mod repair;
mod server;
mod target_offer;
mod task;
mod upgrade_check;
mod upgrade_facts;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use self::expand::{ExpandContext, expand};
use self::internal_message::{InternalMessage, Page, Server};
use self::publisher::ResultPublisher;
use self::server::ServerTask;
use self::target_offer::OfferCache;
use crate::aws::rds::Instances;
use crate::aws::sns::Topic;
use crate::aws::sqs::Queue;
use crate::execution::Executor;
use crate::metrics::Metrics;
use crate::process::retry::full_jitter;
use crate::request::PropertiesError;
use crate::response::reason;
use crate::resync_protocol::ResyncMessage;

/// Longest time for which a message stays invisible that could not be processed now.
const PAUSE: Duration = Duration::from_secs(60);

/// The MessageGroupId of messages between workers, of which a re-sync has many. SQS delivers stacks' requests, each of
/// which is a group of its own, before them.
///
/// Source: "How Amazon SQS fair queues work" in the SQS Developer Guide.
const TENANT: &str = "re-sync";

/// Shortest time that a server waits while others are processed; the longest is twice as long.
const FULL_PAUSE: Duration = Duration::from_secs(5);

/// How often a server's message is sent again at most: every 5 to 10 s, so about ten hours.
const MAX_HOPS: u32 = 5000;

/// Maximum number of pages of an expansion.
const MAX_PAGES: u32 = 10_000;

/// The result of a message of a re-sync.
#[derive(Debug)]
pub(crate) enum ResyncOutcome {
    /// It was processed.
    Done,
    /// It could not be processed now: it is delivered again after this time.
    ReturnToQueue(Duration),
    /// It can never be processed.
    Invalid(ResyncError),
}

/// Why a message of a re-sync can never be processed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResyncError {
    /// A field is not valid.
    #[error("the re-sync is not valid: {0}")]
    Message(PropertiesError),
    /// The expansion has too many pages.
    #[error("the re-sync has more than {MAX_PAGES} pages of targets")]
    Endless,
    /// A message between workers is not valid.
    #[error("the message between workers cannot be read")]
    InternalMessage(#[source] serde_json::Error),
}

/// Processes the messages of re-syncs.
#[derive(Debug)]
pub struct Resync {
    instances: Instances,
    queue: Queue,
    results: ResultPublisher,
    server_permits: Semaphore,
    /// One message is expanded at a time.
    expanding: Semaphore,
    offers: OfferCache,
}

/// Whether a message is of a re-sync.
pub(crate) fn is_of_resync(message: &Map<String, Value>) -> bool {
    message.get("Type").and_then(Value::as_str) == Some("Resync") || is_internal_message(message)
}

/// Whether a message is one between workers, which arrives without a topic.
pub(crate) fn is_internal_message(message: &Map<String, Value>) -> bool {
    let kind = message.get("Type").and_then(Value::as_str);
    matches!(kind, Some("ResyncPage" | "ResyncWork"))
}

impl Resync {
    /// Makes a re-sync that publishes results to the topic, if there is one. At most `at_once` servers are processed: the
    /// other permits are for stacks, which wait no longer than an hour.
    pub fn new(
        instances: Instances,
        queue: Queue,
        topic: Option<Topic>,
        at_once: usize,
        metrics: Metrics,
    ) -> Self {
        Self {
            instances,
            queue,
            results: ResultPublisher::new(topic, metrics),
            server_permits: Semaphore::new(at_once),
            expanding: Semaphore::new(1),
            offers: OfferCache::default(),
        }
    }

    /// Processes one message.
    pub(crate) async fn handle(
        &self,
        executor: &Executor,
        message: Map<String, Value>,
    ) -> ResyncOutcome {
        let page = match InternalMessage::read(&message) {
            None => Page {
                message: Value::Object(message),
                page: 0,
                from: None,
                has_found: false,
                sent: BTreeSet::new(),
                waits: 0,
            },
            Some(Ok(InternalMessage::ResyncPage(page))) if page.page > MAX_PAGES => {
                return ResyncOutcome::Invalid(ResyncError::Endless);
            }
            Some(Ok(InternalMessage::ResyncPage(page))) => *page,
            Some(Ok(InternalMessage::ResyncWork(server))) => {
                let message = match server.check() {
                    Ok(message) => message,
                    Err(invalid) => return ResyncOutcome::Invalid(ResyncError::Message(invalid)),
                };
                let Ok(_permit) = self.server_permits.try_acquire() else {
                    return self.later(server).await;
                };
                info!(
                    server = server.key,
                    resync = server.resync_id,
                    "re-syncing a server"
                );
                let task = ServerTask {
                    server: &server,
                    upgrade: message.upgrade.as_ref(),
                    offers: &self.offers,
                };
                return match server::resync_server(executor, task, &self.results).await {
                    Ok(()) => ResyncOutcome::Done,
                    Err(error) => return_to_queue(&error),
                };
            }
            Some(Err(error)) => return ResyncOutcome::Invalid(ResyncError::InternalMessage(error)),
        };
        let message = match ResyncMessage::parse(&page.message) {
            Ok(message) => message,
            Err(invalid) => return ResyncOutcome::Invalid(ResyncError::Message(invalid)),
        };
        info!(
            resync = message.id,
            mode = message.mode.as_str(),
            page = page.page,
            "expanding a re-sync"
        );
        let context = ExpandContext {
            logins: &executor.logins,
            instances: &self.instances,
            queue: &self.queue,
            results: &self.results,
        };
        let Ok(_permit) = self.expanding.try_acquire() else {
            return ResyncOutcome::ReturnToQueue(full_jitter(FULL_PAUSE));
        };
        let expanded = expand(&page, &message, context);
        match expanded.await {
            Ok(()) => ResyncOutcome::Done,
            Err(error) => return_to_queue(&error),
        }
    }

    /// Sends a server's message again, because a return to the queue would count as a failure. After [`MAX_HOPS`] the
    /// server has failed.
    async fn later(&self, server: Box<Server>) -> ResyncOutcome {
        if server.hops >= MAX_HOPS {
            let reason = reason::resync::of_no_room(MAX_HOPS);
            warn!(server = server.key, resync = server.resync_id, "{reason}");
            return match server::publish_failure(&server, reason, &self.results).await {
                Ok(()) => ResyncOutcome::Done,
                Err(error) => return_to_queue(&error),
            };
        }
        let next = Server {
            hops: server.hops + 1,
            ..*server
        };
        let body = match serde_json::to_string(&InternalMessage::ResyncWork(Box::new(next))) {
            Ok(body) => body,
            Err(error) => return ResyncOutcome::Invalid(ResyncError::InternalMessage(error)),
        };
        let delay = FULL_PAUSE + full_jitter(FULL_PAUSE);
        for answer in self.queue.send(TENANT, vec![(body, delay)]).await {
            if let Err(error) = answer {
                return return_to_queue(&error);
            }
        }
        ResyncOutcome::Done
    }
}

fn return_to_queue(error: &dyn std::error::Error) -> ResyncOutcome {
    warn!(error = %error, "given back, to be tried again");
    ResyncOutcome::ReturnToQueue(full_jitter(PAUSE))
}
