//! The limit on the connections of the process to all databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a new connection waits until another one ends.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The limit. Clones share it.
#[derive(Debug, Clone)]
pub struct ConnectionLimit {
    limit: usize,
    permits: Arc<Semaphore>,
    /// Callers that wait until a connection ends.
    waiting: Arc<AtomicUsize>,
}

/// The permit of a connection, held as long as the connection lasts.
pub(super) type Permit = OwnedSemaphorePermit;

impl ConnectionLimit {
    /// Makes a limit of this number of connections.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            permits: Arc::new(Semaphore::new(limit)),
            waiting: Arc::default(),
        }
    }

    /// Connections that are open or being opened, idle ones included.
    pub fn open(&self) -> usize {
        self.limit.saturating_sub(self.permits.available_permits())
    }

    /// Whether a caller waits until a connection ends: then a returned connection is closed instead of kept.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Acquires a permit for one more connection. If there is none, waits until `close_idle` or the end of a session
    /// releases one; `None` after [`WAIT_TIMEOUT`].
    pub(super) async fn permit(&self, close_idle: impl FnOnce()) -> Option<Permit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        // Counted before idle connections are closed, so that one returned afterwards is closed, too.
        let _waiting = Waiting::new(&self.waiting);
        close_idle();
        let permit = Arc::clone(&self.permits).acquire_owned();
        tokio::time::timeout(WAIT_TIMEOUT, permit).await.ok()?.ok()
    }
}

/// Counts a waiting caller while it exists.
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
        let connection_limit = ConnectionLimit::new(2);
        let first = connection_limit.permit(|| panic!("there is room")).await;
        let second = connection_limit.permit(|| panic!("there is room")).await;
        assert!(first.is_some() && second.is_some());
        assert_eq!(connection_limit.open(), 2);
        assert!(!connection_limit.is_wanted());
        let third = connection_limit.permit(|| assert!(connection_limit.is_wanted()));
        let ends = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (third, ()) = futures_util::future::join(third, ends).await;
        assert!(third.is_some() && !connection_limit.is_wanted());
        assert_eq!(connection_limit.open(), 2);
        drop((second, third));
        assert_eq!(connection_limit.open(), 0);
    }

    #[tokio::test]
    async fn who_no_longer_waits_is_not_counted() {
        let connection_limit = ConnectionLimit::new(1);
        let _first = connection_limit.permit(|| ()).await;
        let mut second = Box::pin(connection_limit.permit(|| ()));
        assert!((&mut second).now_or_never().is_none());
        assert!(connection_limit.is_wanted());
        drop(second);
        assert!(!connection_limit.is_wanted());
    }
}
