//! The answer to each entry of a batch.

use aws_sdk_sqs::types::BatchResultErrorEntry;

use super::QueueError;

/// An entry of a batch that SQS did not take.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct EntryError {
    /// SQS's error code, empty where there was no answer.
    pub code: String,
    text: String,
}

impl EntryError {
    /// Nobody answered for the entry.
    pub fn unanswered() -> Self {
        Self {
            code: String::new(),
            text: "no answer".to_owned(),
        }
    }
}

/// What became of each of `count` entries, which have their index for an id: a message can be in a batch twice.
pub(super) fn answers(
    count: usize,
    sent: Result<Vec<BatchResultErrorEntry>, QueueError>,
) -> Vec<Result<(), EntryError>> {
    match sent {
        Ok(failed) => {
            let mut answers = vec![Ok(()); count];
            for entry in failed {
                let index = entry.id.parse::<usize>().ok();
                if let Some(answer) = index.and_then(|index| answers.get_mut(index)) {
                    *answer = Err(EntryError {
                        text: format!("{}: {}", entry.code, entry.message.unwrap_or_default()),
                        code: entry.code,
                    });
                }
            }
            answers
        }
        Err(error) => {
            let entry = EntryError {
                text: error.to_string(),
                code: error.code,
            };
            vec![Err(entry); count]
        }
    }
}
