//! Fleet-wide re-sync: a published message is expanded to servers, and each server's databases are compared with what
//! their ledgers declare, or made so. Nothing is ever dropped.
//!
//! What a re-sync changed in a database is in that database's ledger: a message that comes again changes nothing twice.

mod assess;
mod database;
mod errand;
mod expand;
mod results;
mod server;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::{info, warn};

use self::errand::{Errand, Page};
use self::expand::{Means, expand};
use self::results::Results;
use crate::instances::Instances;
use crate::message::{InvalidProperties, ResyncMessage};
use crate::metrics::Metrics;
use crate::patience::full_jitter;
use crate::queue::Queue;
use crate::topic::Topic;
use crate::work::Worker;

/// How long at the most a message stays hidden that could not be worked on now.
const PAUSE: Duration = Duration::from_secs(60);

/// What a message of a re-sync came to.
#[derive(Debug)]
pub enum ResyncEnd {
    /// It is done.
    Done,
    /// Nothing could be done now: it is to come again after this long.
    GiveBack(Duration),
    /// It can never be done.
    Invalid(InvalidResync),
}

/// Why a message of a re-sync can never be carried out.
#[derive(Debug, thiserror::Error)]
pub enum InvalidResync {
    /// A field is wrong.
    #[error("the re-sync is not valid: {0}")]
    Message(InvalidProperties),
    /// A message between workers is wrong.
    #[error("the message between workers cannot be read")]
    Errand(#[source] serde_json::Error),
}

/// Carries re-syncs out.
#[derive(Debug)]
pub struct Resync {
    instances: Instances,
    queue: Queue,
    results: Results,
}

/// Whether a message is of a re-sync.
pub fn is_of_resync(message: &Map<String, Value>) -> bool {
    let kind = message.get("Type").and_then(Value::as_str);
    matches!(kind, Some("Resync" | "ResyncPage" | "ResyncWork"))
}

/// Whether a message is one of a worker to another, which comes from the queue itself.
pub fn is_errand(message: &Map<String, Value>) -> bool {
    let kind = message.get("Type").and_then(Value::as_str);
    matches!(kind, Some("ResyncPage" | "ResyncWork"))
}

impl Resync {
    /// Results go to the topic, if there is one.
    pub fn new(instances: Instances, queue: Queue, topic: Option<Topic>, metrics: Metrics) -> Self {
        Self {
            instances,
            queue,
            results: Results::new(topic, metrics),
        }
    }

    /// Carries one message out.
    pub async fn handle(&self, worker: &Worker, message: Map<String, Value>) -> ResyncEnd {
        let page = match Errand::read(&message) {
            None => Page {
                message: Value::Object(message),
                page: 0,
                from: None,
                has_found: false,
                sent: BTreeSet::new(),
            },
            Some(Ok(Errand::ResyncPage(page))) => *page,
            Some(Ok(Errand::ResyncWork(server))) => {
                info!(
                    server = server.key,
                    resync = server.resync_id,
                    "re-syncing a server"
                );
                return match server::resync_server(worker, &server, &self.results).await {
                    Ok(()) => ResyncEnd::Done,
                    Err(error) => give_back(&error),
                };
            }
            Some(Err(error)) => return ResyncEnd::Invalid(InvalidResync::Errand(error)),
        };
        let message = match ResyncMessage::parse(&page.message) {
            Ok(message) => message,
            Err(invalid) => return ResyncEnd::Invalid(InvalidResync::Message(invalid)),
        };
        info!(
            resync = message.id,
            mode = message.mode.as_str(),
            page = page.page,
            "expanding a re-sync"
        );
        let means = Means {
            logins: &worker.logins,
            instances: &self.instances,
            queue: &self.queue,
            results: &self.results,
        };
        let expanded = expand(&page, &message, means);
        match expanded.await {
            Ok(()) => ResyncEnd::Done,
            Err(error) => give_back(&error),
        }
    }
}

fn give_back(error: &dyn std::error::Error) -> ResyncEnd {
    warn!(error = %error, "given back, to be tried again");
    ResyncEnd::GiveBack(full_jitter(PAUSE))
}
