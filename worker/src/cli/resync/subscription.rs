//! A queue of one's own that the events of one re-sync come to, for as long as it is followed.

use std::time::Duration;

use crate::aws::sns::{Topic, TopicError};
use crate::aws::sqs::{QueueError, TemporaryQueue};

/// SQS's bound of a queue's name, less what makes two queues of the same re-sync differ.
const MAX_NAME: usize = 80 - 5;
/// What was not received by then is received no more: a queue that is left over holds nothing for long.
const RETENTION: Duration = Duration::from_secs(3600);

/// Why there is none, or why it is still there.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// SQS.
    #[error("the temporary queue {0}")]
    Queue(String, #[source] QueueError),
    /// SNS.
    #[error("the subscription of the temporary queue to {0}")]
    Topic(String, #[source] TopicError),
}

/// The queue, subscribed.
#[derive(Debug)]
pub(super) struct Subscription {
    /// To receive from.
    pub(super) queue: TemporaryQueue,
    results: Topic,
    arn: String,
}

impl Subscription {
    /// Makes the queue and subscribes it; `random` makes its name another than that of a queue that was just removed,
    /// which SQS does not give out for a minute.
    ///
    /// # Errors
    /// [`SubscriptionError`]; nothing is left over then, as far as that is possible.
    pub(super) async fn make(
        config: &aws_config::SdkConfig,
        results: Topic,
        filter: (&str, &str),
        random: u16,
    ) -> Result<Self, SubscriptionError> {
        let (_, id) = filter;
        let name = queue_name(id, random);
        let queue = TemporaryQueue::make(config, &name, results.arn(), RETENTION)
            .await
            .map_err(|error| SubscriptionError::Queue(name, error))?;
        match results.subscribe(queue.arn(), filter).await {
            Ok(arn) => Ok(Self {
                queue,
                results,
                arn,
            }),
            Err(error) => {
                // The first error is the one that is returned.
                drop(queue.remove().await);
                Err(SubscriptionError::Topic(results.arn().to_owned(), error))
            }
        }
    }

    /// Removes both; what cannot be removed does not keep the other.
    ///
    /// # Errors
    /// [`SubscriptionError`]: what is left over.
    pub(super) async fn remove(self) -> Result<(), SubscriptionError> {
        let unsubscribed = self.results.unsubscribe(&self.arn).await;
        let removed = self.queue.remove().await;
        removed.map_err(|error| {
            SubscriptionError::Queue(format!("{} is left over", self.queue.url()), error)
        })?;
        unsubscribed
            .map_err(|error| SubscriptionError::Topic(format!("{} is left over", self.arn), error))
    }
}

fn queue_name(id: &str, random: u16) -> String {
    let name: String = format!("extension-worker-resync-{id}")
        .chars()
        .map(|character| match character {
            '.' | ':' => '-',
            other => other,
        })
        .take(MAX_NAME)
        .collect();
    format!("{name}-{random:04x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_makes_a_name_that_sqs_takes() {
        assert_eq!(
            queue_name("weekly:2.1", 0xb1),
            "extension-worker-resync-weekly-2-1-00b1"
        );
        assert_eq!(queue_name(&"x".repeat(64), 1).len(), 80);
    }
}
