//! Receives as many messages as there are permits.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::aws::sqs::{MAX_BATCH, Message, QueueError};
use crate::execution::fair_share::waiting_room;
use crate::process::health::Heartbeat;

/// Pause after a failed receive; doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Pause after a refused receive, which an operator has to correct.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long a receive waits for the permits of a whole batch if it has some: a call for one message costs as much as one
/// for ten. If nothing is under way, all permits are free.
const BATCH_FILL_TIMEOUT: Duration = Duration::from_millis(100);
/// Receives at the same time, if the queue has more messages than one receive returns.
const MAX_RECEIVES: usize = 4;
/// Number of full batches in a row after which the queue counts as having more messages.
const FULL_BATCHES: u32 = 3;

/// Permits to hold messages, one for each message that may be received.
type Permits = Vec<OwnedSemaphorePermit>;
type Received = (Result<Vec<Message>, QueueError>, Permits);

/// Receives with `R`, which gets the maximum number of messages.
pub(super) struct Poller<R> {
    concurrency: usize,
    receive: R,
    heartbeat: Heartbeat,
    stop: CancellationToken,
    stopped_at: Option<Instant>,
    room: Arc<Semaphore>,
    receives: JoinSet<Received>,
    full_in_a_row: u32,
    pause: Duration,
}

impl<R, Receive> Poller<R>
where
    R: Fn(usize) -> Receive,
    Receive: Future<Output = Result<Vec<Message>, QueueError>> + Send + 'static,
{
    pub(super) fn new(
        concurrency: usize,
        receive: R,
        heartbeat: Heartbeat,
        stop: CancellationToken,
    ) -> Self {
        Self {
            // Messages that wait for a permit are received, too, so that the stacks that wait are known.
            room: Arc::new(Semaphore::new(concurrency + waiting_room(concurrency))),
            concurrency,
            receive,
            heartbeat,
            stop,
            stopped_at: None,
            receives: JoinSet::new(),
            full_in_a_row: 0,
            pause: FIRST_PAUSE,
        }
    }

    /// When the process began to stop.
    pub(super) fn stopped_at(&self) -> Instant {
        self.stopped_at.unwrap_or_else(Instant::now)
    }

    /// The next messages, with a permit for each; `None` once the process stops and no receive is under way.
    pub(super) async fn next(&mut self) -> Option<(Vec<Message>, Permits)> {
        loop {
            let wanted = match self.full_in_a_row {
                0..FULL_BATCHES => 1,
                _ => MAX_RECEIVES,
            };
            let stop = self.stop.clone();
            if stop.is_cancelled() && self.stopped_at.is_none() {
                self.stopped_at = Some(Instant::now());
            }
            let may_ask = !stop.is_cancelled() && self.receives.len() < wanted;
            let room = Arc::clone(&self.room);
            let batch = MAX_BATCH.min(self.concurrency);
            let is_idle = self.receives.is_empty();
            if !may_ask && is_idle {
                return None;
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if self.stopped_at.is_none() => {}
                received = self.receives.join_next(), if !is_idle => {
                    if let Some(taken) = self.taken(received).await {
                        return Some(taken);
                    }
                }
                permits = permits(&room, batch), if may_ask => self.ask(permits),
            }
        }
    }

    fn ask(&mut self, permits: Permits) {
        let receive = (self.receive)(permits.len());
        let heartbeat = self.heartbeat.clone();
        self.receives.spawn(async move {
            heartbeat.polling();
            let received = receive.await;
            heartbeat.polled(received.is_ok());
            (received, permits)
        });
    }

    /// The messages of a receive; none if it failed, after a pause.
    async fn taken(
        &mut self,
        received: Option<Result<Received, tokio::task::JoinError>>,
    ) -> Option<(Vec<Message>, Permits)> {
        let (received, permits) = received?.ok()?;
        match received {
            Ok(messages) => {
                self.pause = FIRST_PAUSE;
                self.full_in_a_row = match messages.len() {
                    MAX_BATCH => self.full_in_a_row.saturating_add(1),
                    _ => 0,
                };
                Some((messages, permits))
            }
            Err(error) => {
                drop(permits);
                self.full_in_a_row = 0;
                self.wait_after(&error).await;
                None
            }
        }
    }

    async fn wait_after(&mut self, error: &QueueError) {
        let refused =
            error.code.contains("AccessDenied") || error.code.contains("NonExistentQueue");
        error!(error = %error, "no messages can be received");
        let longest = if refused { MAX_PAUSE } else { self.pause };
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        // A refusal lasts until an operator corrects it: the pause needs no jitter.
        let share = if refused { 1.0 } else { fastrand::f64() };
        tokio::select! {
            () = tokio::time::sleep(longest.mul_f64(share)) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Acquires as many permits as are free, at least one, and at most a batch.
async fn permits(room: &Arc<Semaphore>, batch: usize) -> Permits {
    let mut permits = Vec::new();
    // The semaphore is never closed.
    permits.extend(Arc::clone(room).acquire_owned().await);
    let until = Instant::now() + BATCH_FILL_TIMEOUT;
    while permits.len() < batch {
        let next = tokio::time::timeout_at(until, Arc::clone(room).acquire_owned()).await;
        let Ok(Ok(permit)) = next else { break };
        permits.push(permit);
    }
    permits
}
