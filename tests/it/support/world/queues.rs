//! Messages in the queue and in the dead-letter queue, without SNS.

use std::collections::HashMap;

use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry,
};

use super::World;
use crate::support::eventually;

impl World {
    /// Sends a text straight to the queue, from another account.
    pub(crate) async fn send_raw_from_another_account(&self, text: &str) {
        let config = self.aws.sqs.config().to_builder();
        // LocalStack's account is the access key.
        let theirs = Credentials::new("111111111111", "theirs", None, None, "another account");
        aws_sdk_sqs::Client::from_conf(config.credentials_provider(theirs).build())
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(text)
            .send()
            .await
            .unwrap();
    }

    /// Sends a text straight to the queue, with the attributes that W3C and X-Ray have for its trace; its id.
    pub(crate) async fn send_raw_traced(
        &self,
        text: &str,
        traceparent: Option<&str>,
        xray: Option<&str>,
    ) -> String {
        let attribute = |value| {
            MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .unwrap()
        };
        let of_system = |value| {
            MessageSystemAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .unwrap()
        };
        let sent = self
            .aws
            .sqs
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(text)
            .set_message_attributes(
                traceparent.map(|value| [("traceparent".to_owned(), attribute(value))].into()),
            )
            .set_message_system_attributes(xray.map(|value| {
                let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
                [(name, of_system(value))].into()
            }))
            .send()
            .await
            .unwrap();
        sent.message_id.unwrap()
    }

    /// Sends a text straight to the queue, as raw delivery would.
    pub(crate) async fn send_raw(&self, text: &str) {
        self.aws
            .sqs
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(text)
            .send()
            .await
            .unwrap();
    }

    /// Sends up to ten texts straight to the queue.
    pub(crate) async fn send_raw_batch(&self, texts: Vec<String>) {
        let entries = texts.into_iter().enumerate().map(|(index, text)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(text)
                .build()
                .unwrap()
        });
        let sent = self
            .aws
            .sqs
            .send_message_batch()
            .queue_url(&self.queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .unwrap();
        assert!(sent.failed.is_empty());
    }

    /// Waits for a message in the dead-letter queue; returns its body and why it is there.
    pub(crate) async fn dead_letter(&self) -> (String, String) {
        let (body, mut attributes) = self.dead_letter_with_attributes().await;
        (body, attributes.remove("Reason").unwrap())
    }

    /// Waits for a message in the dead-letter queue; returns its body and its attributes.
    pub(crate) async fn dead_letter_with_attributes(&self) -> (String, HashMap<String, String>) {
        let message = self.receive(&self.dead_letter_queue_url).await;
        let attributes = message.message_attributes.unwrap().into_iter();
        (
            message.body.unwrap(),
            attributes
                .map(|(name, value)| (name, value.string_value.unwrap()))
                .collect(),
        )
    }

    /// Takes the next message from the queue in the worker's stead.
    pub(crate) async fn receive_and_delete(&self) -> String {
        let message = self.receive(&self.queue_url).await;
        self.aws
            .sqs
            .delete_message()
            .queue_url(&self.queue_url)
            .receipt_handle(message.receipt_handle.unwrap())
            .send()
            .await
            .unwrap();
        message.body.unwrap()
    }

    /// Takes the next message from the queue in the worker's stead, and does nothing with it.
    pub(crate) async fn receive_and_hold(&self) -> Message {
        self.receive(&self.queue_url).await
    }

    /// Messages in the queue, hidden ones too, and in the dead-letter queue.
    pub(crate) async fn depths(&self) -> (u32, u32) {
        (
            self.depth(&self.queue_url).await,
            self.depth(&self.dead_letter_queue_url).await,
        )
    }

    /// Moves what is in a dead-letter queue to another queue, or to the queues it came from; named by their ARNs.
    pub(crate) async fn redrive(&self, dead_letter_queue: &str, destination: Option<&str>) {
        let task = self.aws.sqs.start_message_move_task();
        let task = task.source_arn(dead_letter_queue);
        let task = task.set_destination_arn(destination.map(str::to_owned));
        task.send().await.unwrap();
    }

    /// Takes a queue away.
    pub(crate) async fn delete_queue(&self, url: &str) {
        let deleted = self.aws.sqs.delete_queue().queue_url(url).send().await;
        deleted.unwrap();
    }

    /// How the last redrive stands.
    pub(crate) async fn redrive_status(&self, dead_letter_queue: &str) -> String {
        let tasks = self.aws.sqs.list_message_move_tasks();
        let tasks = tasks.source_arn(dead_letter_queue).send().await.unwrap();
        let last = tasks.results.unwrap_or_default().into_iter().next();
        last.and_then(|task| task.status).unwrap_or_default()
    }

    /// Messages in a queue, hidden ones too.
    ///
    /// The emulator counts visible and hidden messages one after the other, without its lock: a message that becomes
    /// visible in between is in neither number. A queue is empty only if three readings in a row say so.
    pub(crate) async fn depth(&self, url: &str) -> u32 {
        for _ in 0..3 {
            let depth = self.depth_once(url).await;
            if depth > 0 {
                return depth;
            }
        }
        0
    }

    async fn depth_once(&self, url: &str) -> u32 {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let attributes = self
            .aws
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .unwrap()
            .attributes
            .unwrap();
        names
            .iter()
            .map(|name| attributes[name].parse::<u32>().unwrap())
            .sum()
    }

    /// Receives so many messages, each once, and has them come again at once.
    pub(crate) async fn receive_and_return(&self, number: usize) {
        let mut handles = Vec::new();
        eventually("the messages", async || {
            let received = self
                .aws
                .sqs
                .receive_message()
                .queue_url(&self.queue_url)
                .max_number_of_messages(10)
                .wait_time_seconds(1)
                .send()
                .await
                .unwrap();
            let received = received.messages.unwrap_or_default();
            handles.extend(
                received
                    .into_iter()
                    .map(|message| message.receipt_handle.unwrap()),
            );
            (handles.len() >= number).then_some(())
        })
        .await;
        for handle in handles {
            self.aws
                .sqs
                .change_message_visibility()
                .queue_url(&self.queue_url)
                .receipt_handle(handle)
                .visibility_timeout(0)
                .send()
                .await
                .unwrap();
        }
    }

    async fn receive(&self, url: &str) -> Message {
        eventually("a message", async || {
            let received = self
                .aws
                .sqs
                .receive_message()
                .queue_url(url)
                .message_attribute_names("All")
                .wait_time_seconds(1)
                .send()
                .await
                .unwrap();
            received.messages.unwrap_or_default().pop()
        })
        .await
    }
}
