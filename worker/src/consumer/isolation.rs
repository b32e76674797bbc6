//! Processes a message alone if an earlier receive may have ended the process, so that it cannot end the processing of
//! others.
//!
//! SQS counts receives, and does not report how one ended. A message is suspect if it was received several times, and this
//! process never returned it to the queue: either another worker returned it, or a worker died. The time for suspects is
//! limited, because an outage of a database makes many messages suspect.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::Instant;
use tracing::warn;

/// The receive number from which on a message is suspect.
const SUSPECT_RECEIVE: u32 = 3;
/// How long a suspect is processed alone at most: a message that ends a process by its content does so at once.
const ALONE: Duration = Duration::from_secs(4);
/// Time that suspects may take in succession; after that, one second out of every [`ONE_OF`]. The author of a stack can
/// make messages suspect, with requests to a server that does not answer.
const BURST: Duration = Duration::from_secs(12);
const ONE_OF: u32 = 10;
/// If less time is left, the next suspect is processed together with others.
const LEAST: Duration = Duration::from_secs(1);
/// Number of returned messages that are remembered: above it all are forgotten.
const MAX_RETURNED: usize = 10_000;

/// Decides which messages are processed together.
#[derive(Debug)]
pub(super) struct Isolation {
    /// Locked for writing while a suspect is processed alone.
    together: RwLock<()>,
    returned: Mutex<HashSet<String>>,
    left: Mutex<(Duration, Instant)>,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            together: RwLock::default(),
            returned: Mutex::default(),
            left: Mutex::new((BURST, Instant::now())),
        }
    }
}

impl Isolation {
    /// Records that this process returned the message to the queue.
    pub(super) fn note_return(&self, id: &str) {
        let mut returned = self.returned.lock();
        if returned.len() >= MAX_RETURNED {
            returned.clear();
        }
        returned.insert(id.to_owned());
    }

    /// Runs `handling` together with that of other messages, or for a suspect alone for some time.
    pub(super) async fn run<T>(
        &self,
        id: &str,
        receive_count: u32,
        handling: impl Future<Output = T>,
    ) -> T {
        let mut handling = Box::pin(handling);
        if self.is_suspect(id, receive_count)
            && let Some(began) = self.may_be_alone()
        {
            // A suspect that waits for others to end delays all messages, so that this wait counts, too.
            let done = match tokio::time::timeout(ALONE, self.together.write()).await {
                Ok(alone) => Self::alone(alone, receive_count, &mut handling).await,
                Err(_) => None,
            };
            self.spend(began.elapsed());
            if let Some(done) = done {
                return done;
            }
        }
        let _together: RwLockReadGuard<'_, ()> = self.together.read().await;
        handling.await
    }

    async fn alone<T>(
        alone: RwLockWriteGuard<'_, ()>,
        receive_count: u32,
        handling: &mut (impl Future<Output = T> + Unpin),
    ) -> Option<T> {
        warn!(
            receive_count,
            "the process may have ended while it worked on this message: it is worked on alone"
        );
        let done = tokio::time::timeout(ALONE, handling).await;
        drop(alone);
        done.ok()
    }

    fn is_suspect(&self, id: &str, receive_count: u32) -> bool {
        receive_count >= SUSPECT_RECEIVE && !self.returned.lock().contains(id)
    }

    /// Whether suspects have time left.
    fn may_be_alone(&self) -> Option<Instant> {
        let now = Instant::now();
        let (left, since) = &mut *self.left.lock();
        *left = BURST.min(*left + now.saturating_duration_since(*since) / ONE_OF);
        *since = now;
        (*left >= LEAST).then_some(now)
    }

    fn spend(&self, time: Duration) {
        let (left, _) = &mut *self.left.lock();
        *left = left.saturating_sub(time);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    async fn is_alone(isolation: &Isolation, id: &str, receive_count: u32) -> bool {
        let probe = async { isolation.together.try_read().is_err() };
        isolation.run(id, receive_count, probe).await
    }

    #[tokio::test]
    async fn a_message_that_came_often_and_was_never_returned_is_alone() {
        let isolation = Isolation::default();
        assert!(!is_alone(&isolation, "new", 1).await);
        assert!(!is_alone(&isolation, "again", 2).await);
        assert!(is_alone(&isolation, "suspect", 3).await);
        isolation.note_return("returned");
        assert!(!is_alone(&isolation, "returned", 9).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_waits_for_no_long_work_and_others_wait_for_no_long_suspect() {
        let isolation = Isolation::default();
        let long = isolation.run("long", 1, pending::<()>());
        let both = async {
            tokio::time::sleep(SHORT).await;
            is_alone(&isolation, "suspect", 3).await
        };
        tokio::select! {
            () = long => unreachable!(),
            alone = both => assert!(!alone, "a read lock is held"),
        }
        let suspect = isolation.run("endless", 3, pending::<()>());
        let other = async {
            tokio::time::sleep(SHORT).await;
            isolation.run("other", 1, async {}).await;
        };
        tokio::select! {
            () = suspect => unreachable!(),
            () = other => {}
        }
    }

    #[tokio::test]
    async fn suspects_without_end_take_a_part_of_the_time() {
        let isolation = Isolation::default();
        isolation.spend(BURST);
        assert!(!is_alone(&isolation, "suspect", 3).await);
    }
}
