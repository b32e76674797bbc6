//! Groups deletions and visibility changes into calls of up to ten entries: a call costs the worker more than the work on a
//! message.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::aws::sqs::{EntryError, MAX_BATCH};

/// Batches the entries of one operation.
#[derive(Debug)]
pub(super) struct Batcher<T> {
    entries: mpsc::UnboundedSender<(T, Reply)>,
}

type Reply = oneshot::Sender<Result<(), EntryError>>;

impl<T: Send + 'static> Batcher<T> {
    /// Makes a call when there are ten entries, or when the first of them has waited for `linger`. `call` returns a result
    /// for each entry, in their order.
    pub(super) fn start<C, F>(linger: Duration, call: C) -> Self
    where
        C: Fn(Vec<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<Result<(), EntryError>>> + Send + 'static,
    {
        let (entries, mut arriving) = mpsc::unbounded_channel::<(T, Reply)>();
        tokio::spawn(async move {
            while let Some(first) = arriving.recv().await {
                let until = Instant::now() + linger;
                let (mut batch, mut replies) = (vec![first.0], vec![first.1]);
                while batch.len() < MAX_BATCH
                    && let Ok(Some((entry, reply))) = timeout_at(until, arriving.recv()).await
                {
                    batch.push(entry);
                    replies.push(reply);
                }
                let results = call(batch);
                // A slow call does not delay other calls.
                tokio::spawn(async move {
                    for (reply, answer) in replies.into_iter().zip(results.await) {
                        // A caller that was cancelled no longer waits.
                        drop(reply.send(answer));
                    }
                });
            }
        });
        Self { entries }
    }

    /// Adds an entry, and waits for its result.
    ///
    /// # Errors
    /// [`EntryError`].
    pub(super) async fn submit(&self, entry: T) -> Result<(), EntryError> {
        let (reply, replies) = oneshot::channel();
        let is_open = self.entries.send((entry, reply)).is_ok();
        match (is_open, replies.await) {
            (true, Ok(answer)) => answer,
            _ => Err(EntryError::unanswered()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_entries_are_a_call_and_fewer_wait_for_more() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let made = Arc::clone(&calls);
        let batches = Batcher::start(Duration::from_millis(100), move |batch: Vec<u32>| {
            made.lock().unwrap().push(batch.clone());
            async move {
                let odd = |entry: u32| {
                    if entry.is_multiple_of(2) {
                        Ok(())
                    } else {
                        Err(EntryError::unanswered())
                    }
                };
                batch.into_iter().map(odd).collect()
            }
        });
        let begun = Instant::now();
        let results = join_all((0..23).map(|entry| batches.submit(entry))).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(100));
        let sizes: Vec<usize> = calls.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 3]);
        for (entry, answer) in results.into_iter().enumerate() {
            assert_eq!(
                answer.is_ok(),
                entry % 2 == 0,
                "each entry has its own answer"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_under_way_delays_no_other() {
        let batches = Batcher::start(
            Duration::from_millis(100),
            |batch: Vec<Duration>| async move {
                let longest = batch.iter().max().copied().unwrap();
                tokio::time::sleep(longest).await;
                vec![Ok(()); batch.len()]
            },
        );
        let begun = Instant::now();
        let slow = async {
            batches.submit(Duration::from_secs(60)).await.unwrap();
            begun.elapsed()
        };
        let quick = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            batches.submit(Duration::ZERO).await.unwrap();
            begun.elapsed()
        };
        let linger = Duration::from_millis(100);
        let expected = (
            Duration::from_secs(60) + linger,
            Duration::from_secs(1) + linger,
        );
        assert_eq!(tokio::join!(slow, quick), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_the_call_has_no_answer_for_has_failed() {
        let batches = Batcher::start(Duration::ZERO, |_| std::future::ready(vec![]));
        let error = batches.submit(()).await.unwrap_err();
        assert_eq!(error.to_string(), EntryError::unanswered().to_string());
    }
}
