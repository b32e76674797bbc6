//! A topic, a queue with its dead-letter queue, a database and its secret: all that one test needs, and nobody else has.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::aws::Aws;
use super::{Database, Stack, TemplateStack, eventually, variable};

/// Where CloudFormation keeps answers, in the region of the tests.
pub(crate) const RESPONSE_BUCKET: &str = "cloudformation-custom-resource-response-useast1";

/// An account beside that of the worker.
pub(crate) const ANOTHER_ACCOUNT: &str = "111111111111";

/// One test's own surroundings.
pub(crate) struct World {
    pub(super) aws: Aws,
    pub(crate) name: String,
    pub(crate) topic_arn: String,
    pub(crate) queue_url: String,
    pub(crate) dead_letter_queue_url: String,
    pub(crate) database: Database,
    /// Name of the secret that leads to the database.
    pub(crate) secret: String,
}

/// A request that a test publishes itself, as CloudFormation would.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) message: Value,
    key: String,
}

impl World {
    /// Makes everything.
    pub(crate) async fn new() -> Self {
        let aws = Aws::connect().await;
        let name = format!("t{}", &Uuid::new_v4().simple().to_string()[..12]);
        let topic = aws.sns.create_topic().name(&name).send().await.unwrap();
        let topic_arn = topic.topic_arn.unwrap();
        let dead_letter_queue_url = create_queue(&aws, &format!("{name}-dead"), None).await;
        let dead_letter_arn = queue_arn(&aws, &dead_letter_queue_url).await;
        let queue_url = create_queue(&aws, &name, Some(&dead_letter_arn)).await;
        aws.sns
            .subscribe()
            .topic_arn(&topic_arn)
            .protocol("sqs")
            .endpoint(queue_arn(&aws, &queue_url).await)
            .send()
            .await
            .unwrap();
        let database = Database::create(&name).await;
        let world = Self {
            aws,
            secret: name.clone(),
            name,
            topic_arn,
            queue_url,
            dead_letter_queue_url,
            database,
        };
        world
            .create_secret(&world.secret, &world.credentials().to_string())
            .await;
        world
    }

    /// What the secret of the test's database says.
    pub(crate) fn credentials(&self) -> Value {
        json!({
            "engine": "postgres",
            "host": variable("PGHOST"),
            "port": variable("PGPORT").parse::<u16>().unwrap(),
            "dbname": self.database.name,
            "username": variable("PGUSER"),
            "password": variable("PGPASSWORD"),
        })
    }

    /// Makes a secret.
    pub(crate) async fn create_secret(&self, name: &str, value: &str) {
        self.aws
            .secrets
            .create_secret()
            .name(name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
    }

    /// Gives a secret a new version, the current one from now on.
    pub(crate) async fn put_secret(&self, name: &str, value: &str) {
        self.aws
            .secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
    }

    /// A secret like the first in another account, with a key that can be shared or the default one; its ARN.
    pub(crate) async fn secret_of_another_account(&self, key: Option<&str>) -> String {
        let config = self.aws.secrets.config().to_builder();
        // LocalStack's account is the access key.
        let theirs = Credentials::new("111111111111", "theirs", None, None, "another account");
        let config = config.credentials_provider(theirs).build();
        aws_sdk_secretsmanager::Client::from_conf(config)
            .create_secret()
            .name(&self.name)
            .secret_string(self.credentials().to_string())
            .set_kms_key_id(key.map(str::to_owned))
            .send()
            .await
            .unwrap()
            .arn
            .unwrap()
    }

    /// What a secret says, and the id of that version.
    pub(crate) async fn current_secret(&self, name: &str) -> (Value, String) {
        let secret = self.aws.secrets.get_secret_value().secret_id(name);
        let secret = secret.send().await.unwrap();
        let value = serde_json::from_str(secret.secret_string().unwrap()).unwrap();
        (value, secret.version_id.unwrap())
    }

    /// Gives a secret a version that nobody reads yet; returns its id.
    pub(crate) async fn put_pending_secret(&self, name: &str, value: &Value) -> String {
        let put = self
            .aws
            .secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string(value.to_string())
            .version_stages("AWSPENDING")
            .send()
            .await
            .unwrap();
        put.version_id.unwrap()
    }

    /// Has everybody read another version of a secret.
    pub(crate) async fn move_current_secret(&self, name: &str, from: &str, to: &str) {
        self.aws
            .secrets
            .update_secret_version_stage()
            .secret_id(name)
            .version_stage("AWSCURRENT")
            .move_to_version_id(to)
            .remove_from_version_id(from)
            .send()
            .await
            .unwrap();
    }

    /// A secret beside the first, equal to it but for some fields; returns its name.
    pub(crate) async fn secret_with(&self, changes: &Value) -> String {
        let mut value = self.credentials();
        for (field, change) in changes.as_object().unwrap() {
            value[field] = change.clone();
        }
        let name = format!("{}-{}", self.name, Uuid::new_v4().simple());
        self.create_secret(&name, &value.to_string()).await;
        name
    }

    /// A stack that does not exist yet.
    pub(crate) fn stack(&self, name: &str) -> Stack {
        Stack::new(self.template_stack(name), &self.topic_arn)
    }

    /// A stack of another account, whose resource names the topic of this one.
    pub(crate) fn stack_of_another_account(&self, name: &str) -> Stack {
        let config = self.aws.cloudformation.config().to_builder();
        // LocalStack's account is the access key.
        let theirs = Credentials::new(ANOTHER_ACCOUNT, "theirs", None, None, "another account");
        let config = config.credentials_provider(theirs).build();
        let client = aws_sdk_cloudformation::Client::from_conf(config);
        let stack = TemplateStack::new(client, &format!("{}-{name}", self.name));
        Stack::new(stack, &self.topic_arn)
    }

    /// The same, of whatever template.
    pub(crate) fn template_stack(&self, name: &str) -> TemplateStack {
        let name = format!("{}-{name}", self.name);
        TemplateStack::new(self.aws.cloudformation.clone(), &name)
    }

    /// A Create of a resource `Extensions` of a stack of the test's own, with an answer's address in LocalStack's S3.
    pub(crate) async fn create_request(&self, properties: Value) -> Request {
        self.create_request_of("Extensions", properties).await
    }

    /// A Create of a resource with this logical id.
    pub(crate) async fn create_request_of(&self, logical_id: &str, properties: Value) -> Request {
        let stack_id = format!(
            "arn:aws:cloudformation:us-east-1:000000000000:stack/{}/1",
            self.name
        );
        self.request_of(&stack_id, logical_id, properties).await
    }

    /// A Create of a resource of this stack, which need not be there.
    pub(crate) async fn request_of(
        &self,
        stack_id: &str,
        logical_id: &str,
        properties: Value,
    ) -> Request {
        let request_id = Uuid::new_v4().to_string();
        let key = format!("{stack_id}|{logical_id}|{request_id}");
        let created = self
            .aws
            .s3
            .create_bucket()
            .bucket(RESPONSE_BUCKET)
            .send()
            .await;
        assert!(created.is_ok(), "{created:?}");
        let presigned = self
            .aws
            .s3
            .put_object()
            .bucket(RESPONSE_BUCKET)
            .key(&key)
            .presigned(PresigningConfig::expires_in(Duration::from_secs(7200)).unwrap())
            .await
            .unwrap();
        let mut resource_properties = json!({"ServiceToken": self.topic_arn});
        for (name, value) in properties.as_object().unwrap() {
            resource_properties[name] = value.clone();
        }
        let message = json!({
            "RequestType": "Create",
            "ServiceToken": self.topic_arn,
            "ResponseURL": presigned.uri(),
            "StackId": stack_id,
            "RequestId": request_id,
            "LogicalResourceId": logical_id,
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": resource_properties,
        });
        Request { message, key }
    }

    /// Has the topic sign with this version.
    pub(crate) async fn sign_with(&self, version: &str) {
        self.aws
            .sns
            .set_topic_attributes()
            .topic_arn(&self.topic_arn)
            .attribute_name("SignatureVersion")
            .attribute_value(version)
            .send()
            .await
            .unwrap();
    }

    /// One more topic that leads to the queue; its ARN.
    pub(crate) async fn create_further_topic(&self) -> String {
        let name = format!("{}-further", self.name);
        let topic = self.aws.sns.create_topic().name(&name).send().await;
        let topic_arn = topic.unwrap().topic_arn.unwrap();
        self.aws
            .sns
            .subscribe()
            .topic_arn(&topic_arn)
            .protocol("sqs")
            .endpoint(queue_arn(&self.aws, &self.queue_url).await)
            .send()
            .await
            .unwrap();
        topic_arn
    }

    /// Publishes a text to a topic.
    pub(crate) async fn publish_to(&self, topic_arn: &str, text: &str) {
        let published = self.aws.sns.publish().topic_arn(topic_arn).message(text);
        published.send().await.unwrap();
    }

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

    /// Publishes a request.
    pub(crate) async fn publish(&self, request: &Request) {
        self.publish_text(&request.message.to_string()).await;
    }

    /// Publishes any text.
    pub(crate) async fn publish_text(&self, text: &str) {
        self.aws
            .sns
            .publish()
            .topic_arn(&self.topic_arn)
            .message(text)
            .send()
            .await
            .unwrap();
    }

    /// Publishes a request that belongs to a trace.
    pub(crate) async fn publish_traced(&self, request: &Request, traceparent: &str) {
        let attribute = aws_sdk_sns::types::MessageAttributeValue::builder()
            .data_type("String")
            .string_value(traceparent)
            .build()
            .unwrap();
        self.aws
            .sns
            .publish()
            .topic_arn(&self.topic_arn)
            .message(request.message.to_string())
            .message_attributes("traceparent", attribute)
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

    /// Waits for the answer.
    pub(crate) async fn answer(&self, request: &Request) -> Value {
        eventually("the answer", async || self.answer_now(request).await).await
    }

    /// The answer, if there is one yet.
    pub(crate) async fn answer_now(&self, request: &Request) -> Option<Value> {
        let object = self
            .aws
            .s3
            .get_object()
            .bucket(RESPONSE_BUCKET)
            .key(&request.key)
            .send()
            .await
            .ok()?;
        let body = object.body.collect().await.unwrap().into_bytes();
        Some(serde_json::from_slice(&body).unwrap())
    }

    /// Publishes a Create with the properties; the answer.
    pub(crate) async fn create(&self, properties: Value) -> Value {
        let request = self.create_request(properties).await;
        self.publish(&request).await;
        self.answer(&request).await
    }

    /// Takes the answer away, so that another one is seen.
    pub(crate) async fn delete_answer(&self, request: &Request) {
        self.aws
            .s3
            .delete_object()
            .bucket(RESPONSE_BUCKET)
            .key(&request.key)
            .send()
            .await
            .unwrap();
    }

    /// A Delete of the resource with this id.
    pub(crate) async fn delete_request(
        &self,
        properties: Value,
        physical_resource_id: &str,
    ) -> Request {
        self.delete_request_of("Extensions", properties, physical_resource_id)
            .await
    }

    /// A Delete of the resource with this logical id.
    pub(crate) async fn delete_request_of(
        &self,
        logical_id: &str,
        properties: Value,
        physical_resource_id: &str,
    ) -> Request {
        let mut request = self.create_request_of(logical_id, properties).await;
        request.message["RequestType"] = json!("Delete");
        request.message["PhysicalResourceId"] = json!(physical_resource_id);
        request
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

async fn create_queue(aws: &Aws, name: &str, dead_letter_arn: Option<&str>) -> String {
    let redrive = dead_letter_arn
        .map(|arn| json!({"deadLetterTargetArn": arn, "maxReceiveCount": 12}).to_string());
    let created = aws
        .sqs
        .create_queue()
        .queue_name(name)
        .set_attributes(redrive.map(|policy| [(QueueAttributeName::RedrivePolicy, policy)].into()))
        .send()
        .await
        .unwrap();
    created.queue_url.unwrap()
}

pub(super) async fn queue_arn(aws: &Aws, url: &str) -> String {
    let attributes = aws
        .sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .unwrap();
    attributes
        .attributes
        .unwrap()
        .remove(&QueueAttributeName::QueueArn)
        .unwrap()
}
