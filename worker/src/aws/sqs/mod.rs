//! The queue. The only module that knows aws-sdk-sqs; it decides nothing.

mod batch_error;
mod message;
mod temporary;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Config;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName,
    SendMessageBatchRequestEntry,
};
use futures_util::TryFutureExt;

use self::batch_error::answers;
use self::message::message;
use crate::metrics::{Label, Metrics, SqsCall};
use crate::process::error_chain::with_causes;
use crate::process::failpoint;
use crate::request::TRACEPARENT;

pub(crate) use self::batch_error::EntryError;
pub use self::message::Message;
pub(crate) use self::temporary::TemporaryQueue;

/// SQS's bound of one receive.
pub(crate) const MAX_BATCH: usize = 10;
/// SQS's bound of one message, and of all messages of a batch together, whatever the queue's own is.
pub(crate) const MAX_BYTES: usize = 262_144;

/// How much longer than it waits a receive may take. The consumer tries again by itself.
const RECEIVE_ALLOWANCE: Duration = Duration::from_secs(10);

/// The DLQ's attribute that says why a message is there.
const REASON_ATTRIBUTE: &str = "Reason";

/// A call that SQS did not answer as asked.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {text}")]
pub struct QueueError {
    call: &'static str,
    /// SQS's error code, empty where there was no answer.
    pub(crate) code: String,
    text: String,
}

#[cfg(test)]
impl QueueError {
    /// A receive that SQS answered with an error code.
    pub(crate) fn with_code(code: &str) -> Self {
        Self {
            call: "ReceiveMessage",
            code: code.to_owned(),
            text: code.to_owned(),
        }
    }
}

/// The queue and its dead-letter queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
    dead_letter_url: Option<String>,
    metrics: Metrics,
}

impl Queue {
    /// Calls SQS with the SDK's configuration.
    pub fn new(
        config: &aws_config::SdkConfig,
        url: String,
        dead_letter_url: Option<String>,
        metrics: Metrics,
    ) -> Self {
        Self {
            client: Client::new(config),
            url,
            dead_letter_url,
            metrics,
        }
    }

    /// Waits up to `wait` for up to `count` messages (1 to 10), and hides them from others for `visibility`.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(crate) async fn receive(
        &self,
        count: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        self.metrics.sqs_calls.inc(SqsCall::ReceiveMessage);
        let output = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(count.clamp(1, MAX_BATCH)).unwrap_or(1))
            .wait_time_seconds(whole_seconds(wait))
            .visibility_timeout(whole_seconds(visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::AwsTraceHeader)
            .message_system_attribute_names(MessageSystemAttributeName::SenderId)
            .message_attribute_names(TRACEPARENT)
            .customize()
            .config_override(
                Config::builder()
                    .timeout_config(
                        TimeoutConfig::builder()
                            .operation_attempt_timeout(wait + RECEIVE_ALLOWANCE)
                            .build(),
                    )
                    .retry_config(RetryConfig::disabled()),
            )
            .send()
            .await
            .map_err(|error| {
                self.metrics.receive_failures.inc();
                call_error("ReceiveMessage", &error)
            })?;
        let messages = output.messages.unwrap_or_default();
        self.metrics.messages_received.add(messages.len());
        Ok(messages.into_iter().filter_map(message).collect())
    }

    /// Acknowledges up to ten messages, by their receipt handles; the answer to each, in their order.
    pub(crate) async fn delete(&self, receipt_handles: Vec<String>) -> Vec<Result<(), EntryError>> {
        let entry = |id, handle| {
            DeleteMessageBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(handle)
                .build()
        };
        let send = |entries| {
            let call = self.client.delete_message_batch().queue_url(&self.url);
            let sent = call.set_entries(Some(entries)).send();
            sent.map_ok(|output| output.failed)
        };
        let call = SqsCall::DeleteMessageBatch;
        let answers = self.call_batch(call, receipt_handles, entry, send).await;
        failpoint::at("after-deletion");
        answers
    }

    /// Changes the visibility timeouts of up to ten messages, or returns them to the queue with zero: receipt handles with
    /// durations; the answer to each, in their order.
    pub(crate) async fn change_visibility(
        &self,
        changes: Vec<(String, Duration)>,
    ) -> Vec<Result<(), EntryError>> {
        let entry = |id, (handle, visibility)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(handle)
                .visibility_timeout(whole_seconds(visibility))
                .build()
        };
        let send = |entries| {
            let call = self.client.change_message_visibility_batch();
            let call = call.queue_url(&self.url).set_entries(Some(entries));
            call.send().map_ok(|output| output.failed)
        };
        let call = SqsCall::ChangeMessageVisibilityBatch;
        self.call_batch(call, changes, entry, send).await
    }

    /// Sends up to ten messages of one tenant, each to be received after a delay of up to 15 minutes; the answer to each, in
    /// their order. Where one tenant has many messages, a fair queue hands out those of others first.
    pub(crate) async fn send(
        &self,
        tenant: &str,
        bodies: Vec<(String, Duration)>,
    ) -> Vec<Result<(), EntryError>> {
        let entry = |id, (body, delay)| {
            SendMessageBatchRequestEntry::builder()
                .id(id)
                .message_body(body)
                .delay_seconds(whole_seconds(delay))
                .message_group_id(tenant)
                .build()
        };
        let send = |entries| {
            let call = self.client.send_message_batch().queue_url(&self.url);
            let sent = call.set_entries(Some(entries)).send();
            sent.map_ok(|output| output.failed)
        };
        let call = SqsCall::SendMessageBatch;
        self.call_batch(call, bodies, entry, send).await
    }

    /// Makes an entry of each item, with its index for an id, and one call of all; the answer to each, in their order.
    async fn call_batch<T, Entry, Sent, E>(
        &self,
        call: SqsCall,
        items: Vec<T>,
        entry: impl Fn(String, T) -> Result<Entry, BuildError>,
        send: impl FnOnce(Vec<Entry>) -> Sent,
    ) -> Vec<Result<(), EntryError>>
    where
        Sent: Future<Output = Result<Vec<BatchResultErrorEntry>, E>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.metrics.sqs_calls.inc(call);
        let count = items.len();
        let entries = items.into_iter().enumerate();
        let entries = entries.map(|(index, item)| entry(index.to_string(), item));
        let sent = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => send(entries)
                .await
                .map_err(|error| call_error(call.as_str(), &error)),
            Err(error) => Err(malformed(call.as_str(), &error)),
        };
        answers(count, sent)
    }

    /// Puts a copy of a message in the dead-letter queue, with the reason as an attribute, and the trace as another.
    /// Without a dead-letter queue of its own, the worker leaves that to the queue's redrive policy: `false`.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(crate) async fn dead_letter(
        &self,
        message: &Message,
        reason: &str,
    ) -> Result<bool, QueueError> {
        let Some(url) = &self.dead_letter_url else {
            return Ok(false);
        };
        let mut attributes = HashMap::from([(REASON_ATTRIBUTE.to_owned(), attribute(reason)?)]);
        if let Some(trace) = &message.trace {
            attributes.insert(TRACEPARENT.to_owned(), attribute(&trace.to_string())?);
        }
        self.metrics.sqs_calls.inc(SqsCall::SendMessage);
        self.client
            .send_message()
            .queue_url(url)
            .message_body(&message.body)
            .set_message_attributes(Some(attributes))
            .send()
            .await
            .map_err(|error| call_error("SendMessage", &error))?;
        self.metrics.dead_letters.inc();
        Ok(true)
    }
}

fn attribute(text: &str) -> Result<MessageAttributeValue, QueueError> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(text)
        .build()
        .map_err(|error| malformed("SendMessage", &error))
}

fn malformed(call: &'static str, error: &BuildError) -> QueueError {
    QueueError {
        call,
        code: String::new(),
        text: error.to_string(),
    }
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// Without the answer itself, which the SDK's `Debug` prints whole: it may hold requests, with their presigned URLs.
fn call_error<E>(call: &'static str, error: &E) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    QueueError {
        call,
        code: error.code().unwrap_or_default().to_owned(),
        text: with_causes(error),
    }
}
