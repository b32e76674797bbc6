//! Requests as CloudFormation sends them, and their answers.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{RESPONSE_BUCKET, World};
use crate::support::eventually;

/// A request that a test publishes itself, as CloudFormation would.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) message: Value,
    key: String,
}

impl World {
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

    /// Publishes a request.
    pub(crate) async fn publish(&self, request: &Request) {
        self.publish_text(&request.message.to_string()).await;
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
}
