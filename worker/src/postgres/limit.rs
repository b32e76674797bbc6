//! How many connections the process may have, all databases together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a new connection waits for another one's end.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A number of connections. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: usize,
    permits: Arc<Semaphore>,
    /// How many wait for a connection's end.
    waiting: Arc<AtomicUsize>,
}

/// Lasts as long as a connection.
pub(super) type Permit = OwnedSemaphorePermit;

impl Budget {
    /// So many, and none yet.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            permits: Arc::new(Semaphore::new(limit)),
            waiting: Arc::default(),
        }
    }

    /// Connections that are open or being made, those at rest included.
    pub fn open(&self) -> usize {
        self.limit.saturating_sub(self.permits.available_permits())
    }

    /// Whether somebody waits for a connection's end: no one that is given back is kept then.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Allows one more connection; where there are too many, once `make_room` or the end of a session closed one. None
    /// where that takes too long.
    pub(super) async fn permit(&self, make_room: impl FnOnce()) -> Option<Permit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        // Before the look at what is at rest: what is given back after it is seen to be wanted.
        let _waiting = Waiting::new(&self.waiting);
        make_room();
        let permit = Arc::clone(&self.permits).acquire_owned();
        tokio::time::timeout(WAIT_TIMEOUT, permit).await.ok()?.ok()
    }
}

/// Counts while it is there.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_connection_more_waits_for_anothers_end() {
        let budget = Budget::new(2);
        let first = budget.permit(|| panic!("there is room")).await;
        let second = budget.permit(|| panic!("there is room")).await;
        assert!(first.is_some() && second.is_some());
        assert_eq!(budget.open(), 2);
        assert!(!budget.is_wanted());
        let third = budget.permit(|| assert!(budget.is_wanted()));
        let ends = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (third, ()) = futures_util::future::join(third, ends).await;
        assert!(third.is_some() && !budget.is_wanted());
        assert_eq!(budget.open(), 2);
        drop((second, third));
        assert_eq!(budget.open(), 0);
    }

    #[tokio::test]
    async fn who_no_longer_waits_is_not_counted() {
        let budget = Budget::new(1);
        let _first = budget.permit(|| ()).await;
        let mut second = Box::pin(budget.permit(|| ()));
        assert!((&mut second).now_or_never().is_none());
        assert!(budget.is_wanted());
        drop(second);
        assert!(!budget.is_wanted());
    }
}
