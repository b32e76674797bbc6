//! Takes messages from the queue as long as there is room for them, and sees each through or gives it back.
//!
//! Few messages are held that cannot be started at once: those that wait for their share of the places, see
//! [`crate::shares`]. The receive call is never cut short: a long poll that is
//! cancelled can still be handed a message, which would then be hidden until its visibility ends.

mod batches;
mod hand;
mod isolation;
mod lease;
mod poller;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use self::batches::Batches;
use self::hand::{Hand, InHand};
use self::isolation::Isolation;
use self::poller::Poller;
use crate::handler::{Disposition, Handler};
use crate::health::Heartbeat;
use crate::metrics::Metrics;
use crate::patience::full_jitter;
use crate::protection::Protection;
use crate::queue::{EntryError, Message, Queue};
use crate::retry::{POLICY, Retry};
use crate::telemetry::message_span;

/// How long an acknowledgement waits for others to go with it.
const ACKNOWLEDGE_LINGER: Duration = Duration::from_millis(100);
/// How long at the most the extension of a lease does: see [`beat_linger`].
const BEAT_LINGER: Duration = Duration::from_secs(2);
/// How long a message that could not be put in the dead-letter queue stays hidden.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(60);
/// How long at the most one whose handler panicked does.
const PANIC_PAUSE: Duration = Duration::from_secs(60);
/// How long cancelled handlers have for giving their messages back, and acknowledgements for going out.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// The numbers of the consumer.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Messages that are worked on at the same time.
    pub concurrency: usize,
    /// For how long a message is hidden from others, and how far each beat extends that.
    pub visibility: Duration,
    /// How long a receive waits.
    pub receive_wait: Duration,
    /// How long handlers may go on once the process is told to stop.
    pub shutdown: Duration,
}

/// What a change of visibility is about.
#[derive(Debug)]
struct VisibilityChange {
    receipt_handle: String,
    visibility: Duration,
}

/// What is told to SQS about messages in hand.
#[derive(Debug)]
struct Answers {
    deletions: Batches<String>,
    returns: Batches<VisibilityChange>,
    beats: Batches<VisibilityChange>,
}

impl Answers {
    fn start(queue: &Queue, visibility: Duration) -> Self {
        let changes = |linger| {
            let queue = queue.clone();
            Batches::start(linger, move |batch: Vec<VisibilityChange>| {
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
            deletions: Batches::start(ACKNOWLEDGE_LINGER, move |handles| {
                let queue = deleting.clone();
                async move { queue.delete(handles).await }
            }),
            returns: changes(ACKNOWLEDGE_LINGER),
            beats: changes(beat_linger(visibility)),
        }
    }
}

/// What the handling of each message needs.
struct Shift {
    settings: ConsumerSettings,
    queue: Queue,
    handler: Arc<Handler>,
    answers: Answers,
    isolation: Isolation,
    metrics: Metrics,
    /// No more messages are received.
    stop: CancellationToken,
    /// Those in hand are given back.
    cancel: CancellationToken,
}

/// Takes and handles messages until `stop`; then lets what is under way finish, for a bounded time.
pub async fn run(
    settings: ConsumerSettings,
    queue: Queue,
    handler: Arc<Handler>,
    heartbeat: Heartbeat,
    metrics: Metrics,
    protection: Option<Protection>,
    stop: CancellationToken,
) {
    let in_hand = InHand::default();
    let shift = Arc::new(Shift {
        answers: Answers::start(&queue, settings.visibility),
        settings: settings.clone(),
        queue: queue.clone(),
        handler,
        isolation: Isolation::default(),
        metrics,
        stop: stop.clone(),
        cancel: CancellationToken::new(),
    });
    let watched = in_hand.clone();
    let protecting =
        protection.map(|protection| tokio::spawn(protection.keep_up(move || watched.longest())));
    let mut handlers = JoinSet::new();
    let mut poller = Poller::new(settings.clone(), queue, heartbeat, stop.clone());
    while let Some((received, places)) = poller.next().await {
        let ends = Instant::now() + settings.visibility;
        let mut places = places.into_iter();
        for message in received {
            // SQS gives no more than it was asked for: a place for each.
            let Some(place) = places.next() else { break };
            let span = message_span(&message);
            let Some(hand) = in_hand.take(message, place, ends) else {
                info!(parent: &span, "a message that is in hand was delivered again: it is worked on once");
                continue;
            };
            handlers.spawn(Arc::clone(&shift).see_through(hand).instrument(span));
        }
        while handlers.try_join_next().is_some() {}
    }
    info!(
        under_way = handlers.len(),
        "stopping: no more messages are received"
    );
    wind_up(&shift, poller.stopped_at(), &mut handlers).await;
    if let Some(protecting) = protecting {
        protecting.abort();
    }
}

/// Lets handlers finish, cancels those that do not, and lets these give their messages back.
async fn wind_up(shift: &Shift, stopped_at: Instant, handlers: &mut JoinSet<()>) {
    let until = stopped_at + shift.settings.shutdown;
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
    shift.cancel.cancel();
    let finished = async { while handlers.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, finished).await.is_err() {
        warn!(
            under_way = handlers.len(),
            "messages come again when their visibility ends"
        );
        handlers.shutdown().await;
        shift.metrics.stopped();
    }
}

impl Shift {
    /// Handles a message under its lease, then acknowledges it or gives it back.
    async fn see_through(self: Arc<Self>, mut hand: Hand) {
        if self.stop.is_cancelled() {
            self.give_back(&hand, Duration::ZERO).await;
            return;
        }
        // A panic is a failure of this message alone.
        let handling = AssertUnwindSafe(self.handler.handle(&hand.message)).catch_unwind();
        let Message {
            id, receive_count, ..
        } = &hand.message;
        let handling = self.isolation.run(id, *receive_count, handling);
        let disposition = tokio::select! {
            disposition = handling => match disposition {
                Ok(disposition) => disposition,
                Err(_) => {
                    error!("the handler panicked: its message comes again");
                    Disposition::GiveBack(full_jitter(PANIC_PAUSE))
                }
            },
            () = lease::hold(&self.answers.beats, &hand, self.settings.visibility) => {
                self.metrics.lease_lost();
                warn!("the lease is lost: another worker may have the message");
                return;
            }
            () = self.cancel.cancelled() => {
                self.metrics.stopped();
                Disposition::GiveBack(Duration::ZERO)
            }
        };
        hand.make_room();
        match disposition {
            Disposition::Done => self.acknowledge(&hand).await,
            Disposition::GiveBack(pause) => {
                // Another worker need not wait when this one stops.
                let pause = if self.stop.is_cancelled() {
                    Duration::ZERO
                } else {
                    pause
                };
                self.give_back(&hand, pause).await;
            }
            Disposition::DeadLetter(reason) => self.dead_letter(&hand, &reason).await,
        }
    }

    /// Puts a copy in the dead-letter queue, and only then lets go of the original.
    async fn dead_letter(&self, hand: &Hand, reason: &str) {
        match self.queue.dead_letter(&hand.message, reason).await {
            Ok(true) => {
                error!(reason, "put in the dead-letter queue");
                self.acknowledge(hand).await;
            }
            Ok(false) => {
                error!(
                    reason,
                    "left to the queue's redrive policy: there is no WORKER_DEAD_LETTER_QUEUE_URL"
                );
                self.give_back(hand, DEAD_LETTER_PAUSE).await;
            }
            Err(fault) => {
                error!(reason, error = %fault, "could not be put in the dead-letter queue");
                self.give_back(hand, DEAD_LETTER_PAUSE).await;
            }
        }
    }

    /// Deletes the message, again where SQS does not, as long as nobody else can have it.
    async fn acknowledge(&self, hand: &Hand) {
        let mut pauses = Retry::new(POLICY, hand.lease_ends());
        loop {
            let Err(fault) = self.answers.deletions.submit(hand.receipt_handle()).await else {
                return;
            };
            if is_gone(&fault) || !pauses.pause().await {
                warn!(
                    error = %fault,
                    "not acknowledged: it comes again, and is answered the same"
                );
                return;
            }
        }
    }

    async fn give_back(&self, hand: &Hand, pause: Duration) {
        self.isolation.note_return(&hand.message.id);
        let change = VisibilityChange {
            receipt_handle: hand.receipt_handle(),
            visibility: pause,
        };
        if let Err(fault) = self.answers.returns.submit(change).await {
            warn!(
                error = %fault,
                "not given back: it comes again when its visibility ends"
            );
        }
    }
}

/// About a third of the visibility timeout, or more, lies between a beat and the moment at which the work is given up. What
/// the last beat waited, and what this one waits, must leave most of it to SQS.
fn beat_linger(visibility: Duration) -> Duration {
    BEAT_LINGER.min(visibility / 20)
}

/// Whether SQS says that the delivery is no longer this worker's.
fn is_gone(fault: &EntryError) -> bool {
    [
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "MessageNotInflight",
    ]
    .iter()
    .any(|code| fault.code.contains(code))
}
