//! The calls about messages in flight: deletions, returns to the queue and extensions of leases, each with its own batcher.

use std::time::Duration;

use super::batcher::Batcher;
use crate::aws::sqs::{EntryError, Queue};

/// How long an acknowledgement waits for others, to be sent in the same call.
const ACKNOWLEDGE_LINGER: Duration = Duration::from_millis(100);
/// How long an extension of a lease waits at most: see [`extension_linger`].
const EXTENSION_LINGER: Duration = Duration::from_secs(2);

/// The purpose of a change of visibility.
#[derive(Debug)]
pub(super) struct VisibilityChange {
    pub(super) receipt_handle: String,
    pub(super) visibility: Duration,
}

/// The batchers.
#[derive(Debug)]
pub(super) struct AckBatchers {
    pub(super) deletions: Batcher<String>,
    pub(super) returns: Batcher<VisibilityChange>,
    pub(super) extensions: Batcher<VisibilityChange>,
}

impl AckBatchers {
    pub(super) fn start(queue: &Queue, visibility: Duration) -> Self {
        let changes = |linger| {
            let queue = queue.clone();
            Batcher::start(linger, move |batch: Vec<VisibilityChange>| {
                let queue = queue.clone();
                let changes = batch
                    .into_iter()
                    .map(|change| (change.receipt_handle, change.visibility))
                    .collect();
                async move { queue.change_visibility(changes).await }
            })
        };
        let deleting = queue.clone();
        Self {
            deletions: Batcher::start(ACKNOWLEDGE_LINGER, move |handles| {
                let queue = deleting.clone();
                async move { queue.delete(handles).await }
            }),
            returns: changes(ACKNOWLEDGE_LINGER),
            extensions: changes(extension_linger(visibility)),
        }
    }
}

/// About a third of the visibility timeout or more lies between a renewal and the time at which the message's processing is
/// cancelled. The lingers of the previous renewal and of this one must leave most of it to SQS.
pub(super) fn extension_linger(visibility: Duration) -> Duration {
    EXTENSION_LINGER.min(visibility / 20)
}

/// Whether SQS reports that the receipt handle is no longer valid.
pub(super) fn is_gone(error: &EntryError) -> bool {
    [
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "MessageNotInflight",
    ]
    .iter()
    .any(|code| error.code.contains(code))
}
