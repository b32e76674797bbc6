//! A queue that exists while a command listens to a topic.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use super::{Queue, QueueError, call_error};
use crate::metrics::Metrics;

/// Says who made the queue, where one is left over.
const TAG: (&str, &str) = ("made-by", "extension-worker resync");

/// A queue that only one topic can send to.
#[derive(Debug, Clone)]
pub(crate) struct TemporaryQueue {
    client: Client,
    url: String,
    arn: String,
    /// To receive from.
    pub(crate) queue: Queue,
}

impl TemporaryQueue {
    /// Makes it. What is not received within `retention` is gone.
    ///
    /// # Errors
    /// [`QueueError`]; a queue that was made and is not as it should be is removed.
    pub(crate) async fn make(
        config: &aws_config::SdkConfig,
        name: &str,
        topic_arn: &str,
        retention: Duration,
    ) -> Result<Self, QueueError> {
        let client = Client::new(config);
        let (key, value) = TAG;
        let made = client
            .create_queue()
            .queue_name(name)
            .attributes(
                QueueAttributeName::MessageRetentionPeriod,
                retention.as_secs().to_string(),
            )
            .tags(key, value)
            .send()
            .await
            .map_err(|error| call_error("CreateQueue", &error))?;
        let url = made.queue_url.ok_or_else(|| unsaid("CreateQueue"))?;
        let mut temporary = Self {
            queue: Queue::new(config, url.clone(), None, Metrics::default()),
            arn: String::new(),
            client,
            url,
        };
        match temporary.let_send(topic_arn).await {
            Ok(arn) => {
                temporary.arn = arn;
                Ok(temporary)
            }
            Err(error) => {
                // The first error is the one that is returned.
                drop(temporary.remove().await);
                Err(error)
            }
        }
    }

    /// The queue's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The queue's ARN.
    pub(crate) fn arn(&self) -> &str {
        &self.arn
    }

    /// Removes it, with all that is in it.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(crate) async fn remove(&self) -> Result<(), QueueError> {
        self.client
            .delete_queue()
            .queue_url(&self.url)
            .send()
            .await
            .map(drop)
            .map_err(|error| call_error("DeleteQueue", &error))
    }

    /// Lets this topic alone send; the queue's ARN, which a policy has to name.
    async fn let_send(&self, topic_arn: &str) -> Result<String, QueueError> {
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .map_err(|error| call_error("GetQueueAttributes", &error))?;
        let arn = attributes
            .attributes
            .and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn))
            .ok_or_else(|| unsaid("GetQueueAttributes"))?;
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }],
        });
        self.client
            .set_queue_attributes()
            .queue_url(&self.url)
            .attributes(QueueAttributeName::Policy, policy.to_string())
            .send()
            .await
            .map_err(|error| call_error("SetQueueAttributes", &error))?;
        Ok(arn)
    }
}

fn unsaid(call: &'static str) -> QueueError {
    QueueError {
        call,
        code: String::new(),
        text: "the answer does not say what it is asked for".to_owned(),
    }
}
