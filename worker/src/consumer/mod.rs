//! Takes messages from the queue as long as there is room for them, and sees each through or gives it back.
//!
//! No message is held that cannot be started at once. The receive call is never cut short: a long poll that is
//! cancelled can still be handed a message, which would then be hidden until its visibility ends.

mod lease;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use crate::causes::with_causes;
use crate::handler::{Disposition, Handler};
use crate::health::Heartbeat;
use crate::metrics::Metrics;
use crate::queue::{MAX_BATCH, Message, Queue};
use crate::telemetry::message_span;

/// The pause after a receive that failed; doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The pause after a receive that is refused, which somebody has to mend.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long a message that could not be put in the dead-letter queue stays hidden.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(60);

/// The messages that are being handled, by id.
type InHand = Arc<Mutex<HashMap<String, Message>>>;

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

/// Takes and handles messages until `stop`; then lets what is under way finish, for a bounded time.
pub async fn run(
    settings: ConsumerSettings,
    queue: Queue,
    handler: Arc<Handler>,
    heartbeat: Heartbeat,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(settings.concurrency));
    let in_hand = InHand::default();
    let mut handlers = JoinSet::new();
    let mut pause = FIRST_PAUSE;
    loop {
        reap(&mut handlers);
        let Some(mut permits) = permits(&room, &stop).await else {
            break;
        };
        heartbeat.polling();
        let received = queue
            .receive(permits.len(), settings.receive_wait, settings.visibility)
            .await;
        heartbeat.polled(received.is_ok());
        let messages = match received {
            Ok(messages) => messages,
            Err(fault) => {
                let refused =
                    fault.code.contains("AccessDenied") || fault.code.contains("NonExistentQueue");
                error!(error = with_causes(&fault), "no messages can be received");
                let longest = if refused { MAX_PAUSE } else { pause };
                pause = (pause * 2).min(MAX_PAUSE);
                // Somebody has to mend a refusal: there is no herd to spread.
                let share = if refused { 1.0 } else { fastrand::f64() };
                tokio::select! {
                    () = tokio::time::sleep(longest.mul_f64(share)) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
        };
        pause = FIRST_PAUSE;
        for message in messages {
            let span = message_span(&message);
            if stop.is_cancelled() {
                give_back(&queue, &message, Duration::ZERO)
                    .instrument(span)
                    .await;
                continue;
            }
            let Some(permit) = permits.pop() else {
                give_back(&queue, &message, Duration::ZERO)
                    .instrument(span)
                    .await;
                continue;
            };
            in_hand
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(message.id.clone(), message.clone());
            let (queue, handler, stop) = (queue.clone(), Arc::clone(&handler), stop.clone());
            let (in_hand, visibility) = (Arc::clone(&in_hand), settings.visibility);
            let metrics = metrics.clone();
            handlers.spawn(async move {
                see_through(visibility, &queue, &handler, &message, &metrics, &stop)
                    .instrument(span)
                    .await;
                in_hand
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&message.id);
                drop(permit);
            });
        }
    }
    info!(
        under_way = handlers.len(),
        "stopping: no more messages are received"
    );
    let finished = async { while handlers.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.shutdown, finished)
        .await
        .is_err()
    {
        warn!(
            under_way = handlers.len(),
            "handlers are cancelled, and their messages given back"
        );
        handlers.shutdown().await;
        metrics.stopped();
        let left = std::mem::take(&mut *in_hand.lock().unwrap_or_else(PoisonError::into_inner));
        for message in left.values() {
            give_back(&queue, message, Duration::ZERO)
                .instrument(message_span(message))
                .await;
        }
    }
}

/// As many permits as there is room for, one at least, a batch at most; none once the process is told to stop.
async fn permits(
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        permit = Arc::clone(room).acquire_owned() => permit.ok()?,
    };
    let mut permits = vec![first];
    while permits.len() < MAX_BATCH
        && let Ok(permit) = Arc::clone(room).try_acquire_owned()
    {
        permits.push(permit);
    }
    Some(permits)
}

/// Handles a message under its lease, then acknowledges it or gives it back.
async fn see_through(
    visibility: Duration,
    queue: &Queue,
    handler: &Handler,
    message: &Message,
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let disposition = tokio::select! {
        disposition = handler.handle(message) => Some(disposition),
        () = lease::hold(queue, message, visibility) => None,
    };
    match disposition {
        Some(Disposition::Done) => acknowledge(queue, message).await,
        Some(Disposition::GiveBack(pause)) => {
            // Another worker need not wait when this one stops.
            let pause = if stop.is_cancelled() {
                Duration::ZERO
            } else {
                pause
            };
            give_back(queue, message, pause).await;
        }
        Some(Disposition::DeadLetter(reason)) => match queue.dead_letter(message, &reason).await {
            Ok(true) => {
                error!(
                    message_id = message.id,
                    reason, "put in the dead-letter queue"
                );
                acknowledge(queue, message).await;
            }
            Ok(false) => {
                error!(
                    message_id = message.id,
                    reason,
                    "left to the queue's redrive policy: there is no WORKER_DEAD_LETTER_QUEUE_URL"
                );
                give_back(queue, message, DEAD_LETTER_PAUSE).await;
            }
            Err(fault) => {
                error!(
                    message_id = message.id,
                    reason,
                    error = with_causes(&fault),
                    "could not be put in the dead-letter queue"
                );
                give_back(queue, message, DEAD_LETTER_PAUSE).await;
            }
        },
        None => {
            metrics.lease_lost();
            warn!(
                message_id = message.id,
                "the lease is lost: another worker may have the message"
            );
        }
    }
}

async fn acknowledge(queue: &Queue, message: &Message) {
    if let Err(fault) = queue.delete(message).await {
        warn!(
            message_id = message.id,
            error = with_causes(&fault),
            "not acknowledged: it comes again, and is answered the same"
        );
    }
}

async fn give_back(queue: &Queue, message: &Message, pause: Duration) {
    if let Err(fault) = queue.change_visibility(message, pause).await {
        warn!(
            message_id = message.id,
            error = with_causes(&fault),
            "not given back: it comes again when its visibility ends"
        );
    }
}

/// A handler that panicked loses its message to the visibility timeout, and nothing else.
fn reap(handlers: &mut JoinSet<()>) {
    while let Some(result) = handlers.try_join_next() {
        if let Err(failed) = result {
            error!(
                error = with_causes(&failed),
                "a handler failed; its message comes again"
            );
        }
    }
}
