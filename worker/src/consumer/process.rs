//! Processes one message under its lease, then acknowledges it, returns it to the queue or moves it to the dead-letter
//! queue.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::ack_batchers::{AckBatchers, VisibilityChange, is_gone};
use super::in_flight::InFlightMessage;
use super::isolation::Isolation;
use super::lease;
use crate::aws::sqs::{Message, Queue};
use crate::handler::{Disposition, Handler};
use crate::metrics::Metrics;
use crate::process::retry::{POLICY, Retry, full_jitter};

/// How long a message stays invisible if it could not be moved to the dead-letter queue.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(60);
/// How long a message stays invisible at most after its handler panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(60);

/// Parameters of the processing of each message.
pub(super) struct MessageContext {
    /// Visibility timeout by which a lease is extended.
    pub(super) visibility: Duration,
    pub(super) queue: Queue,
    pub(super) handler: Arc<Handler>,
    pub(super) batchers: AckBatchers,
    pub(super) isolation: Isolation,
    pub(super) metrics: Metrics,
    /// Cancelled when no more messages are received.
    pub(super) stop: CancellationToken,
    /// Cancelled when messages in flight are returned to the queue.
    pub(super) cancel: CancellationToken,
}

impl MessageContext {
    /// Processes a message under its lease, then acknowledges it or returns it to the queue.
    pub(super) async fn process(self: Arc<Self>, mut message: InFlightMessage) {
        if self.stop.is_cancelled() {
            self.return_to_queue(&message, Duration::ZERO).await;
            return;
        }
        // A panic fails only this message.
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
            () = lease::renew_loop(&self.batchers.extensions, &message, self.visibility) => {
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
                // The message becomes visible to other workers at once when this one stops.
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

    /// Sends a copy to the dead-letter queue, and only then acknowledges the original.
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

    /// Deletes the message, and retries as long as the lease lasts.
    async fn acknowledge(&self, message: &InFlightMessage) {
        let mut pauses = Retry::new(POLICY, message.lease_ends().into_std());
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
