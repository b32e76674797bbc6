//! A topic. The only module that knows aws-sdk-sns; it decides nothing.

use std::collections::HashMap;

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_sns::types::{BatchResultErrorEntry, MessageAttributeValue, PublishBatchRequestEntry};
use serde_json::json;

/// SNS's bound of one batch.
pub const MAX_BATCH: usize = 10;
/// SNS's bound of one message, and of all messages of a batch together.
pub const MAX_BYTES: usize = 262_144;

/// A call that SNS did not answer as asked, or a message that it did not take.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {text}")]
pub struct TopicError {
    call: &'static str,
    /// SNS's error code, empty where there was no answer.
    pub code: String,
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
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Publishes a text with attributes.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn publish(&self, text: &str, attributes: &[(&str, &str)]) -> Result<(), TopicError> {
        let call = "Publish";
        let attributes =
            attributes_of(attributes.iter().copied()).map_err(|error| malformed(call, &error))?;
        self.client
            .publish()
            .topic_arn(&self.arn)
            .message(text)
            .set_message_attributes(attributes)
            .send()
            .await
            .map(drop)
            .map_err(|error| fault(call, &error))
    }

    /// Publishes up to ten texts with attributes, of [`MAX_BYTES`] together; the answer to each, in their order.
    pub async fn publish_batch(
        &self,
        entries: Vec<(String, Vec<(&'static str, String)>)>,
    ) -> Vec<Result<(), TopicError>> {
        let call = "PublishBatch";
        let count = entries.len();
        let entries = entries
            .into_iter()
            .enumerate()
            .map(|(index, (text, attributes))| {
                let attributes = attributes
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()));
                PublishBatchRequestEntry::builder()
                    .id(index.to_string())
                    .message(text)
                    .set_message_attributes(attributes_of(attributes)?)
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
                .map_err(|error| fault(call, &error)),
            Err(error) => Err(malformed(call, &error)),
        };
        answers(call, count, sent)
    }

    /// Has a queue be sent what is published with an attribute of this name and value, without an envelope; the
    /// subscription's ARN.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn subscribe(
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
            .attributes("FilterPolicy", json!({name: [value]}).to_string())
            .return_subscription_arn(true)
            .send()
            .await
            .map_err(|error| fault(call, &error))?;
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
    pub async fn unsubscribe(&self, subscription_arn: &str) -> Result<(), TopicError> {
        self.client
            .unsubscribe()
            .subscription_arn(subscription_arn)
            .send()
            .await
            .map(drop)
            .map_err(|error| fault("Unsubscribe", &error))
    }
}

/// None where there are none: SNS refuses an empty map.
fn attributes_of<'a>(
    attributes: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Option<HashMap<String, MessageAttributeValue>>, BuildError> {
    let attributes = attributes
        .map(|(name, value)| {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()?;
            Ok((name.to_owned(), value))
        })
        .collect::<Result<HashMap<_, _>, BuildError>>()?;
    Ok(Some(attributes).filter(|attributes| !attributes.is_empty()))
}

/// What became of each of `count` entries, which have their index for an id.
fn answers(
    call: &'static str,
    count: usize,
    sent: Result<Vec<BatchResultErrorEntry>, TopicError>,
) -> Vec<Result<(), TopicError>> {
    match sent {
        Ok(failed) => {
            let mut answers = vec![Ok(()); count];
            for entry in failed {
                let index = entry.id.parse::<usize>().ok();
                if let Some(answer) = index.and_then(|index| answers.get_mut(index)) {
                    *answer = Err(TopicError {
                        call,
                        text: format!("{}: {}", entry.code, entry.message.unwrap_or_default()),
                        code: entry.code,
                    });
                }
            }
            answers
        }
        Err(error) => vec![Err(error); count],
    }
}

fn malformed(call: &'static str, error: &dyn std::error::Error) -> TopicError {
    TopicError {
        call,
        code: String::new(),
        text: error.to_string(),
    }
}

fn fault<E>(call: &'static str, error: &E) -> TopicError
where
    E: ProvideErrorMetadata + std::error::Error,
{
    TopicError {
        call,
        code: error.code().unwrap_or_default().to_owned(),
        text: DisplayErrorContext(error).to_string(),
    }
}
