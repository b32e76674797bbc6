//! The wait for a re-sync's events.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::ResyncCommandError;
use super::progress::ProgressPrinter;
use super::subscription::Subscription;
use super::tracker::ResyncTracker;
use crate::aws::sqs::MAX_BATCH;
use crate::process::retry::{Policy, Retry};
use crate::resync_protocol::event::Event;

/// SQS's bound of one wait.
const RECEIVE_WAIT: Duration = Duration::from_secs(20);
/// No message is received twice while its receipt is under way.
const VISIBILITY: Duration = Duration::from_secs(60);
/// For receives that fail.
const RECEIVE_POLICY: Policy = Policy {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(5),
};
/// How long receives may fail before the command ends.
const RECEIVE_RETRY_BUDGET: Duration = Duration::from_secs(60);

/// Receives events until all are there, time is up, or `stop` is cancelled.
pub(super) async fn follow(
    subscription: &Subscription,
    id: &str,
    timeout: Duration,
    stop: &CancellationToken,
) -> Result<ResyncTracker, ResyncCommandError> {
    let until = Instant::now() + timeout;
    let mut tracker = ResyncTracker::new(id);
    let mut printer = ProgressPrinter::new();
    let mut failing: Option<Retry> = None;
    while !tracker.is_complete() {
        printer.print(&tracker.progress());
        let queue = &subscription.queue.queue;
        let left = until.saturating_duration_since(Instant::now());
        let wait = left.clamp(Duration::from_secs(1), RECEIVE_WAIT);
        let received = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(until.into()) => break,
            received = queue.receive(MAX_BATCH, wait, VISIBILITY) => received,
        };
        match received {
            Ok(messages) => {
                failing = None;
                let handles: Vec<String> = messages
                    .iter()
                    .map(|message| message.receipt_handle.clone())
                    .collect();
                for message in messages {
                    match serde_json::from_str::<Event>(&message.body) {
                        Ok(event) => tracker.record(event),
                        Err(error) => warn!(%error, "not an event"),
                    }
                }
                if !handles.is_empty() {
                    // What comes again is taken for what it is.
                    drop(queue.delete(handles).await);
                }
            }
            Err(error) => {
                let retry = failing.get_or_insert_with(|| {
                    Retry::new(RECEIVE_POLICY, Instant::now() + RECEIVE_RETRY_BUDGET)
                });
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    again = retry.pause() => if !again {
                        return Err(ResyncCommandError::Receive(id.to_owned(), error));
                    },
                }
            }
        }
    }
    printer.finish(&tracker.progress());
    Ok(tracker)
}
