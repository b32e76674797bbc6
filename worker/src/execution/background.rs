//! A limit on the databases that re-syncs begin, so that requests of stacks go first: one thread does the work of both, and a
//! database of a re-sync takes as much of it as a request.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Databases at the same time, of all servers together. A database takes 2 ms of the thread and about 20 ms in all: more would
/// take most of the thread, and no longer be faster.
const AT_ONCE: usize = 4;
/// A database that takes longer waits for its server, and is no load: another may begin.
const LONG: Duration = Duration::from_millis(500);
/// A request that takes longer waits too.
const LONG_REQUEST: Duration = Duration::from_secs(1);
/// How long a database waits for requests: a re-sync goes on where there are always some.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// What may begin.
#[derive(Debug)]
pub(crate) struct BackgroundLimit {
    permits: Semaphore,
    /// How many requests are worked on, those that take long excepted.
    requests: watch::Sender<usize>,
}

impl Default for BackgroundLimit {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(AT_ONCE),
            requests: watch::Sender::default(),
        }
    }
}

impl BackgroundLimit {
    /// Works on a request: until it is over, or takes long, nothing begins in the background.
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

    /// Works on a database in the background, once that may begin.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // A semaphore that is never closed always gives one in the end.
        let permit = self.permits.acquire().await;
        let mut requests = self.requests.subscribe();
        // Neither the end of the wait nor of the sender, which is this one's, matters.
        drop(timeout(MAX_WAIT, requests.wait_for(|count| *count == 0)).await);
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

/// One more, while it is there.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::{Instant, sleep};

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
    async fn a_few_begin_at_a_time_and_what_takes_long_makes_room() {
        let limit = BackgroundLimit::default();
        let begun_at = begun(&limit, AT_ONCE + 1, ms(20)).await;
        assert_eq!(begun_at[AT_ONCE - 1], ms(0));
        assert_eq!(begun_at[AT_ONCE], ms(20));
        let begun_at = begun(&limit, AT_ONCE + 1, ms(60_000)).await;
        assert_eq!(begun_at[AT_ONCE], LONG);
    }
}
