//! The answer to each entry of a batch.

use aws_sdk_sqs::types::BatchResultErrorEntry;

use super::QueueError;
use crate::aws::batch;

/// An entry of a batch that SQS did not take.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct EntryError {
    /// SQS's error code, empty where there was no answer.
    pub(crate) code: String,
    text: String,
}

impl EntryError {
    /// SQS's reply has no result for the entry.
    pub(crate) fn unanswered() -> Self {
        Self {
            code: String::new(),
            text: "no answer".to_owned(),
        }
    }
}

impl From<QueueError> for EntryError {
    fn from(error: QueueError) -> Self {
        Self {
            text: error.to_string(),
            code: error.code,
        }
    }
}

/// What became of each of `count` entries, which have their index for an id.
pub(super) fn answers(
    count: usize,
    sent: Result<Vec<BatchResultErrorEntry>, QueueError>,
) -> Vec<Result<(), EntryError>> {
    let sent = sent.map_err(EntryError::from);
    batch::answers(count, sent.map(|failed| failed.into_iter().map(refused)))
}

fn refused(entry: BatchResultErrorEntry) -> (String, EntryError) {
    let error = EntryError {
        text: format!("{}: {}", entry.code, entry.message.unwrap_or_default()),
        code: entry.code,
    };
    (entry.id, error)
}
