//! Takes messages from the queue as long as there is room for them, and processes each or returns it to the queue.
//!
//! Few messages are held that cannot be started at once: those that wait for their share of the places, see
//! [`crate::execution::fair_share`]. The receive call is never cut short: a long poll that is
//! cancelled can still be handed a message, which would then be hidden until its visibility ends.

mod batcher;
mod in_flight;
mod isolation;
mod lease;
mod message_span;
mod poller;
pub mod task_protection;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use self::batcher::Batcher;
use self::in_flight::{InFlight, InFlightMessage};
use self::isolation::Isolation;
use self::message_span::message_span;
use self::poller::Poller;
use self::task_protection::TaskProtection;
use crate::aws::sqs::{EntryError, Message, Queue};
use crate::handler::{Disposition, Handler};
use crate::metrics::Metrics;
use crate::process::health::Heartbeat;
use crate::process::retry::{POLICY, Retry, full_jitter};

/// How long an acknowledgement waits for others to go with it.
const ACKNOWLEDGE_LINGER: Duration = Duration::from_millis(100);
/// How long at the most the extension of a lease does: see [`extension_linger`].
const EXTENSION_LINGER: Duration = Duration::from_secs(2);
/// How long a message that could not be put in the dead-letter queue stays hidden.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(60);
/// How long at the most one whose handler panicked does.
const PANIC_PAUSE: Duration = Duration::from_secs(60);
/// How long cancelled handlers have for giving their messages back, and acknowledgements for going out.
const CANCEL_GRACE: Duration = Duration::from_secs(20);

/// The numbers of the consumer.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Messages that are worked on at the same time.
    pub concurrency: usize,
    /// For how long a message is hidden from others, and how far each beat extends that.
    pub visibility: Duration,
    /// How long a receive waits.
    pub receive_wait: Duration,
    /// How long handlers may go on once the process is to stop.
    pub shutdown: Duration,
}

/// What a change of visibility is about.
#[derive(Debug)]
struct VisibilityChange {
    receipt_handle: String,
    visibility: Duration,
}

/// Batchers of the calls about messages in flight.
#[derive(Debug)]
struct AckBatchers {
    deletions: Batcher<String>,
    returns: Batcher<VisibilityChange>,
    extensions: Batcher<VisibilityChange>,
}

impl AckBatchers {
    fn start(queue: &Queue, visibility: Duration) -> Self {
        let changes = |linger| {
            let queue = queue.clone();
            Batcher::start(linger, move |batch: Vec<VisibilityChange>| {
                let queue = queue.clone();
                let changes = batch
                    .into_iter()
                    .map(|change| (change.receipt_handle, change.visibility))
                    .collect();
                async move { queue.change_visibility(changes).await }
            })
        };
        let deleting = queue.clone();
        Self {
            deletions: Batcher::start(ACKNOWLEDGE_LINGER, move |handles| {
                let queue = deleting.clone();
                async move { queue.delete(handles).await }
            }),
            returns: changes(ACKNOWLEDGE_LINGER),
            extensions: changes(extension_linger(visibility)),
        }
    }
}

/// What the processing of each message needs.
struct MessageContext {
    settings: ConsumerSettings,
    queue: Queue,
    handler: Arc<Handler>,
    batchers: AckBatchers,
    isolation: Isolation,
    metrics: Metrics,
    /// No more messages are received.
    stop: CancellationToken,
    /// Messages in flight are returned to the queue.
    cancel: CancellationToken,
}

/// Takes and handles messages until `stop`; then lets what is under way finish, for a bounded time.
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
        settings: settings.clone(),
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
    let mut poller = Poller::new(settings.clone(), queue, heartbeat, stop.clone());
    while let Some((received, permits)) = poller.next().await {
        let ends = Instant::now() + settings.visibility;
        let mut permits = permits.into_iter();
        for message in received {
            // SQS gives no more than it was asked for: a place for each.
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
    shut_down(&context, poller.stopped_at(), &mut handlers).await;
    if let Some(protecting) = protecting {
        protecting.abort();
    }
}

/// Lets handlers finish, cancels those that do not, and lets these give their messages back.
async fn shut_down(context: &MessageContext, stopped_at: Instant, handlers: &mut JoinSet<()>) {
    let until = stopped_at + context.settings.shutdown;
    let finished = async { while handlers.join_next().await.is_some() {} };
    if tokio::time::timeout_at(until.into(), finished)
        .await
        .is_ok()
    {
        return;
    }
    warn!(
        under_way = handlers.len(),
        "handlers are cancelled, and their messages given back"
    );
    context.cancel.cancel();
    let finished = async { while handlers.join_next().await.is_some() {} };
    if tokio::time::timeout(CANCEL_GRACE, finished).await.is_err() {
        warn!(
            under_way = handlers.len(),
            "messages come again when their visibility ends"
        );
        handlers.shutdown().await;
        context.metrics.stopped();
    }
}

impl MessageContext {
    /// Handles a message under its lease, then acknowledges it or gives it back.
    async fn process(self: Arc<Self>, mut message: InFlightMessage) {
        if self.stop.is_cancelled() {
            self.return_to_queue(&message, Duration::ZERO).await;
            return;
        }
        // A panic is a failure of this message alone.
        let handling = AssertUnwindSafe(self.handler.handle(&message.received)).catch_unwind();
        let Message {
            id, receive_count, ..
        } = &message.received;
        let handling = self.isolation.run(id, *receive_count, handling);
        let disposition = tokio::select! {
            disposition = handling => match disposition {
                Ok(disposition) => disposition,
                Err(_) => {
                    error!("the handler panicked: its message comes again");
                    Disposition::ReturnToQueue(full_jitter(PANIC_PAUSE))
                }
            },
            () = lease::renew_loop(&self.batchers.extensions, &message, self.settings.visibility) => {
                self.metrics.lease_lost();
                warn!("the lease is lost: another worker may have the message");
                return;
            }
            () = self.cancel.cancelled() => {
                self.metrics.stopped();
                Disposition::ReturnToQueue(Duration::ZERO)
            }
        };
        message.release_permit();
        match disposition {
            Disposition::Done => self.acknowledge(&message).await,
            Disposition::ReturnToQueue(pause) => {
                // Another worker need not wait when this one stops.
                let pause = if self.stop.is_cancelled() {
                    Duration::ZERO
                } else {
                    pause
                };
                self.return_to_queue(&message, pause).await;
            }
            Disposition::DeadLetter(reason) => self.dead_letter(&message, &reason).await,
        }
    }

    /// Puts a copy in the dead-letter queue, and only then lets go of the original.
    async fn dead_letter(&self, message: &InFlightMessage, reason: &str) {
        match self.queue.dead_letter(&message.received, reason).await {
            Ok(true) => {
                error!(reason, "put in the dead-letter queue");
                self.acknowledge(message).await;
            }
            Ok(false) => {
                error!(
                    reason,
                    "left to the queue's redrive policy: there is no WORKER_DEAD_LETTER_QUEUE_URL"
                );
                self.return_to_queue(message, DEAD_LETTER_PAUSE).await;
            }
            Err(error) => {
                error!(reason, error = %error, "could not be put in the dead-letter queue");
                self.return_to_queue(message, DEAD_LETTER_PAUSE).await;
            }
        }
    }

    /// Deletes the message, again where SQS does not, as long as the lease lasts.
    async fn acknowledge(&self, message: &InFlightMessage) {
        let mut pauses = Retry::new(POLICY, message.lease_ends());
        loop {
            let Err(error) = self
                .batchers
                .deletions
                .submit(message.receipt_handle())
                .await
            else {
                return;
            };
            if is_gone(&error) || !pauses.pause().await {
                warn!(
                    error = %error,
                    "not acknowledged: it comes again, and is answered the same"
                );
                return;
            }
        }
    }

    async fn return_to_queue(&self, message: &InFlightMessage, pause: Duration) {
        self.isolation.note_return(&message.received.id);
        let change = VisibilityChange {
            receipt_handle: message.receipt_handle(),
            visibility: pause,
        };
        if let Err(error) = self.batchers.returns.submit(change).await {
            warn!(
                error = %error,
                "not given back: it comes again when its visibility ends"
            );
        }
    }
}

/// About a third of the visibility timeout, or more, lies between a beat and the moment at which the work is given up. What
/// the last beat waited, and what this one waits, must leave most of it to SQS.
fn extension_linger(visibility: Duration) -> Duration {
    EXTENSION_LINGER.min(visibility / 20)
}

/// Whether SQS says that the delivery is no longer this worker's.
fn is_gone(error: &EntryError) -> bool {
    [
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "MessageNotInflight",
    ]
    .iter()
    .any(|code| error.code.contains(code))
}
