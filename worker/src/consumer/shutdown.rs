//! Shutdown: handlers may finish for some time, are then cancelled, and are finally aborted.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::Metrics;

/// Time for cancelled handlers to return their messages to the queue, and for acknowledgements to be sent.
const CANCEL_GRACE: Duration = Duration::from_secs(20);

/// Waits for handlers until `until`, then cancels the others, which return their messages to the queue.
pub(super) async fn shut_down(
    until: Instant,
    handlers: &mut JoinSet<()>,
    cancel: &CancellationToken,
    metrics: &Metrics,
) {
    if timeout_at(until, all(handlers)).await.is_ok() {
        return;
    }
    warn!(
        under_way = handlers.len(),
        "handlers are cancelled, and their messages given back"
    );
    cancel.cancel();
    if timeout(CANCEL_GRACE, all(handlers)).await.is_err() {
        warn!(
            under_way = handlers.len(),
            "messages come again when their visibility ends"
        );
        handlers.shutdown().await;
        metrics.stopped();
    }
}

async fn all(handlers: &mut JoinSet<()>) {
    while handlers.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::*;

    const SHUTDOWN: Duration = Duration::from_secs(30);

    /// Handlers, the token that cancels them, and how each ended.
    struct Scene {
        began: Instant,
        handlers: JoinSet<()>,
        cancel: CancellationToken,
        ends: mpsc::UnboundedSender<(Duration, &'static str)>,
        ended: mpsc::UnboundedReceiver<(Duration, &'static str)>,
    }

    impl Scene {
        fn new() -> Self {
            let (ends, ended) = mpsc::unbounded_channel();
            Self {
                began: Instant::now(),
                handlers: JoinSet::new(),
                cancel: CancellationToken::new(),
                ends,
                ended,
            }
        }

        /// A handler that takes some time, or returns its message when it is cancelled, for which it takes some time too.
        fn spawn(&mut self, takes: Duration, returning: Duration) {
            let (cancel, ends, began) = (self.cancel.clone(), self.ends.clone(), self.began);
            self.handlers.spawn(async move {
                let end = tokio::select! {
                    () = sleep(takes) => "finished",
                    () = cancel.cancelled() => {
                        sleep(returning).await;
                        "returned"
                    }
                };
                ends.send((began.elapsed(), end)).unwrap();
            });
        }

        /// When the shutdown is over, and the ends of handlers until then.
        async fn shut_down(mut self) -> (Duration, Vec<(Duration, &'static str)>) {
            let until = self.began + SHUTDOWN;
            let metrics = Metrics::default();
            shut_down(until, &mut self.handlers, &self.cancel, &metrics).await;
            assert!(self.handlers.is_empty());
            let over = self.began.elapsed();
            let mut ends = Vec::new();
            while let Ok(end) = self.ended.try_recv() {
                ends.push(end);
            }
            (over, ends)
        }
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[tokio::test(start_paused = true)]
    async fn handlers_that_finish_in_time_are_waited_for_and_not_cancelled() {
        let mut scene = Scene::new();
        scene.spawn(seconds(29), seconds(1));
        scene.spawn(seconds(5), seconds(1));
        let (over, ends) = scene.shut_down().await;
        assert_eq!(over, seconds(29));
        assert_eq!(ends, [(seconds(5), "finished"), (seconds(29), "finished")]);
    }

    #[tokio::test(start_paused = true)]
    async fn handlers_that_do_not_finish_are_cancelled_and_return_their_messages() {
        let mut scene = Scene::new();
        scene.spawn(seconds(5), seconds(1));
        scene.spawn(seconds(3600), seconds(2));
        let (over, ends) = scene.shut_down().await;
        assert_eq!(over, SHUTDOWN + seconds(2));
        assert_eq!(ends, [(seconds(5), "finished"), (seconds(32), "returned")]);
    }

    #[tokio::test(start_paused = true)]
    async fn handlers_that_do_not_obey_are_ended() {
        let mut scene = Scene::new();
        scene.spawn(seconds(3600), seconds(3600));
        scene.handlers.spawn(pending());
        let (over, ends) = scene.shut_down().await;
        assert_eq!(over, SHUTDOWN + CANCEL_GRACE);
        assert_eq!(ends, []);
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_under_way_the_end_comes_at_once() {
        assert_eq!(Scene::new().shut_down().await, (seconds(0), vec![]));
    }
}
