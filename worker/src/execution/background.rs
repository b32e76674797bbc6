//! A limit on the databases of re-syncs while stacks' requests arrive, so that requests go first: one thread processes
//! both, and a database of a re-sync takes as much of its time as a request.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// How long after a request the next one is expected: CloudFormation updates the resources of a stack one after the other.
const EXPECTED: Duration = Duration::from_secs(5);
/// A database that takes longer is waiting for its server, and uses no CPU time: another may begin.
const LONG: Duration = Duration::from_millis(500);
/// A request that takes longer is waiting for its server, too.
const LONG_REQUEST: Duration = Duration::from_secs(1);
/// How long a database waits for requests to end, so that a re-sync makes progress even if there are always some.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// The limit.
#[derive(Debug)]
pub(crate) struct BackgroundLimit {
    /// The permit for a database while requests are expected.
    single: Semaphore,
    requests: watch::Sender<Requests>,
}

/// The stacks' requests of this process.
#[derive(Debug, Clone, Copy, Default)]
struct Requests {
    /// Requests under way, except those that take longer than [`LONG_REQUEST`].
    count: usize,
    /// The time until which another request is expected; `None` before the first one.
    expected_until: Option<Instant>,
}

impl Requests {
    fn expect_another(&mut self) {
        self.expected_until = Some(Instant::now() + EXPECTED);
    }
}

impl Default for BackgroundLimit {
    fn default() -> Self {
        Self {
            single: Semaphore::new(1),
            requests: watch::Sender::default(),
        }
    }
}

impl BackgroundLimit {
    /// Runs a request. Until it ends or takes longer than [`LONG_REQUEST`], no database of a re-sync begins.
    pub(crate) async fn prefer<T>(&self, request: impl Future<Output = T>) -> T {
        let counted = Counted::new(&self.requests);
        let mut request = pin!(request);
        match timeout(LONG_REQUEST, &mut request).await {
            Ok(done) => done,
            Err(_) => {
                drop(counted);
                request.await
            }
        }
    }

    /// Runs the work on a database of a re-sync when it may begin: at once if no request is expected.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let permit = loop {
            let expected_until = self.requests.borrow().expected_until;
            let Some(until) = expected_until.filter(|until| *until > Instant::now()) else {
                return work.await;
            };
            // The semaphore is never closed: it returns a permit, or the timeout ends the wait.
            if let Ok(permit) = timeout_at(until, self.single.acquire()).await {
                break permit;
            }
        };
        let mut requests = self.requests.subscribe();
        // The result does not matter: the wait is over, or the timeout has ended it; the sender is this one's.
        drop(timeout(MAX_WAIT, requests.wait_for(|requests| requests.count == 0)).await);
        let mut work = pin!(work);
        match timeout(LONG, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                drop(permit);
                work.await
            }
        }
    }
}

/// A request under way, which counts while this exists.
struct Counted<'a>(&'a watch::Sender<Requests>);

impl<'a> Counted<'a> {
    fn new(requests: &'a watch::Sender<Requests>) -> Self {
        requests.send_modify(|requests| {
            requests.count += 1;
            requests.expect_another();
        });
        Self(requests)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|requests| {
            requests.count = requests.count.saturating_sub(1);
            requests.expect_another();
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    /// When work in the background began that takes so long each.
    async fn begun(limit: &BackgroundLimit, count: usize, takes: Duration) -> Vec<Duration> {
        let since = Instant::now();
        let works = (0..count).map(|_| {
            limit.run(async move {
                let begun = since.elapsed();
                sleep(takes).await;
                begun
            })
        });
        join_all(works).await
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_where_there_are_no_requests() {
        let limit = BackgroundLimit::default();
        assert_eq!(begun(&limit, 100, ms(20)).await, [ms(0); 100]);
        limit.prefer(sleep(ms(1))).await;
        sleep(EXPECTED).await;
        assert_eq!(begun(&limit, 100, ms(20)).await, [ms(0); 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_in_the_background_while_a_request_is_worked_on() {
        let limit = BackgroundLimit::default();
        let (begun, ()) = tokio::join!(
            biased;
            async {
                tokio::task::yield_now().await;
                begun(&limit, 1, ms(10)).await
            },
            limit.prefer(sleep(ms(100)))
        );
        assert_eq!(begun, [ms(100)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_long_and_requests_without_an_end_keep_nothing_waiting() {
        let limit = BackgroundLimit::default();
        let requests = async {
            limit.prefer(sleep(ms(5_000))).await;
        };
        let works = async {
            tokio::task::yield_now().await;
            let first = begun(&limit, 1, ms(10)).await;
            sleep(ms(1_000)).await;
            (first, begun(&limit, 1, ms(10)).await)
        };
        let ((first, later), ()) = tokio::join!(biased; works, requests);
        assert_eq!(first, [MAX_WAIT]);
        assert_eq!(later, [ms(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_request_one_begins_at_a_time_until_no_more_are_expected() {
        let limit = BackgroundLimit::default();
        limit.prefer(sleep(ms(1))).await;
        assert_eq!(begun(&limit, 3, ms(20)).await, [ms(0), ms(20), ms(40)]);
        limit.prefer(sleep(ms(1))).await;
        // What takes long makes room.
        assert_eq!(begun(&limit, 2, ms(60_000)).await, [ms(0), LONG]);
        limit.prefer(sleep(ms(1))).await;
        let begun_at = begun(&limit, 100, ms(400)).await;
        assert_eq!(begun_at[12], ms(4_800));
        assert_eq!(begun_at[13..], [EXPECTED; 87]);
    }
}
