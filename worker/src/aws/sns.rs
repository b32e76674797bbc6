//! A topic. The only module that knows aws-sdk-sns; it decides nothing.

use aws_sdk_sns::Client;
use aws_sdk_sns::error::ProvideErrorMetadata;
use aws_sdk_sns::types::{BatchResultErrorEntry, PublishBatchRequestEntry};
use serde_json::json;

use super::batch;
use crate::process::error_chain::with_causes;

/// SNS's bound of one batch.
pub(crate) const MAX_BATCH: usize = 10;
/// SNS's bound of one message, and of all messages of a batch together.
pub(crate) const MAX_BYTES: usize = 262_144;

/// A call that SNS did not answer as asked, or a message that it did not take.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {text}")]
pub struct TopicError {
    call: &'static str,
    /// SNS's error code, empty where there was no answer.
    pub(crate) code: String,
    text: String,
}

/// A topic.
#[derive(Debug, Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// Calls SNS with the SDK's configuration.
    pub fn new(config: &aws_config::SdkConfig, arn: String) -> Self {
        Self {
            client: Client::new(config),
            arn,
        }
    }

    /// The topic's ARN.
    pub(crate) fn arn(&self) -> &str {
        &self.arn
    }

    /// Publishes a text.
    ///
    /// # Errors
    /// [`TopicError`].
    pub(crate) async fn publish(&self, text: &str) -> Result<(), TopicError> {
        self.client
            .publish()
            .topic_arn(&self.arn)
            .message(text)
            .send()
            .await
            .map(drop)
            .map_err(|error| call_error("Publish", &error))
    }

    /// Publishes up to ten texts, of [`MAX_BYTES`] together; the answer to each, in their order.
    pub(crate) async fn publish_batch(&self, texts: &[String]) -> Vec<Result<(), TopicError>> {
        let call = "PublishBatch";
        let entries = texts.iter().enumerate().map(|(index, text)| {
            PublishBatchRequestEntry::builder()
                .id(index.to_string())
                .message(text)
                .build()
        });
        let sent = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => self
                .client
                .publish_batch()
                .topic_arn(&self.arn)
                .set_publish_batch_request_entries(Some(entries))
                .send()
                .await
                .map(|output| output.failed.unwrap_or_default())
                .map_err(|error| call_error(call, &error)),
            Err(error) => Err(TopicError {
                call,
                code: String::new(),
                text: error.to_string(),
            }),
        };
        let refused = |entry| refused(call, entry);
        batch::answers(
            texts.len(),
            sent.map(|failed| failed.into_iter().map(refused)),
        )
    }

    /// Has a queue be sent what is published as a JSON object with this field and value, without an envelope; the
    /// subscription's ARN.
    ///
    /// # Errors
    /// [`TopicError`].
    pub(crate) async fn subscribe(
        &self,
        queue_arn: &str,
        (name, value): (&str, &str),
    ) -> Result<String, TopicError> {
        let call = "Subscribe";
        let subscribed = self
            .client
            .subscribe()
            .topic_arn(&self.arn)
            .protocol("sqs")
            .endpoint(queue_arn)
            .attributes("RawMessageDelivery", "true")
            .attributes("FilterPolicyScope", "MessageBody")
            .attributes("FilterPolicy", json!({name: [value]}).to_string())
            .return_subscription_arn(true)
            .send()
            .await
            .map_err(|error| call_error(call, &error))?;
        subscribed.subscription_arn.ok_or_else(|| TopicError {
            call,
            code: String::new(),
            text: "the answer has no SubscriptionArn".to_owned(),
        })
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`TopicError`].
    pub(crate) async fn unsubscribe(&self, subscription_arn: &str) -> Result<(), TopicError> {
        self.client
            .unsubscribe()
            .subscription_arn(subscription_arn)
            .send()
            .await
            .map(drop)
            .map_err(|error| call_error("Unsubscribe", &error))
    }
}

/// An entry of a batch that SNS did not take, by its id.
fn refused(call: &'static str, entry: BatchResultErrorEntry) -> (String, TopicError) {
    let error = TopicError {
        call,
        text: format!("{}: {}", entry.code, entry.message.unwrap_or_default()),
        code: entry.code,
    };
    (entry.id, error)
}

fn call_error<E>(call: &'static str, error: &E) -> TopicError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    TopicError {
        call,
        code: error.code().unwrap_or_default().to_owned(),
        text: with_causes(error),
    }
}
