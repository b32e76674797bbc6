//! Receives messages from the queue while there are permits for them, and processes each or returns it to the queue.
//!
//! Only few received messages wait for processing: those that wait for their share, see [`crate::execution::fair_share`]. A
//! receive call is never cancelled: SQS may already have delivered a message to it, which would then stay invisible until
//! its visibility timeout ends.

mod ack_batchers;
mod batcher;
mod in_flight;
mod isolation;
mod lease;
mod message_span;
mod poller;
mod process;
mod shutdown;
pub mod task_protection;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info};

use self::ack_batchers::AckBatchers;
use self::in_flight::InFlight;
use self::isolation::Isolation;
use self::message_span::message_span;
use self::poller::Poller;
use self::process::MessageContext;
use self::shutdown::shut_down;
use self::task_protection::TaskProtection;
use crate::aws::sqs::Queue;
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::process::health::Heartbeat;

/// Settings of the consumer.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Messages that are processed at the same time.
    pub concurrency: usize,
    /// Visibility timeout of a message, by which each renewal extends its lease.
    pub visibility: Duration,
    /// Wait time of a receive.
    pub receive_wait: Duration,
    /// How long handlers may continue after SIGTERM.
    pub shutdown: Duration,
}

/// Receives and processes messages until `stop`; then lets those under way finish, for a limited time.
pub async fn run(
    settings: ConsumerSettings,
    queue: Queue,
    handler: Arc<Handler>,
    heartbeat: Heartbeat,
    metrics: Metrics,
    protection: Option<TaskProtection>,
    stop: CancellationToken,
) {
    let in_flight = InFlight::default();
    let context = Arc::new(MessageContext {
        batchers: AckBatchers::start(&queue, settings.visibility),
        visibility: settings.visibility,
        queue: queue.clone(),
        handler,
        isolation: Isolation::default(),
        metrics,
        stop: stop.clone(),
        cancel: CancellationToken::new(),
    });
    let watched = in_flight.clone();
    let protecting = protection
        .map(|protection| tokio::spawn(protection.renew_loop(move || watched.oldest_age())));
    let mut handlers = JoinSet::new();
    let (wait, visibility) = (settings.receive_wait, settings.visibility);
    let receive = move |count| {
        let queue = queue.clone();
        async move { queue.receive(count, wait, visibility).await }
    };
    let mut poller = Poller::new(settings.concurrency, receive, heartbeat, stop);
    while let Some((received, permits)) = poller.next().await {
        let ends = Instant::now() + settings.visibility;
        let mut permits = permits.into_iter();
        for message in received {
            // SQS returns no more messages than requested: there is a permit for each.
            let Some(permit) = permits.next() else { break };
            let span = message_span(&message);
            let Some(message) = in_flight.register(message, permit, ends) else {
                info!(parent: &span, "a message that is in hand was delivered again: it is worked on once");
                continue;
            };
            handlers.spawn(Arc::clone(&context).process(message).instrument(span));
        }
        while handlers.try_join_next().is_some() {}
    }
    info!(
        under_way = handlers.len(),
        "stopping: no more messages are received"
    );
    let until = poller.stopped_at() + settings.shutdown;
    shut_down(until, &mut handlers, &context.cancel, &context.metrics).await;
    if let Some(protecting) = protecting {
        protecting.abort();
    }
}
