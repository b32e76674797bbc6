//! A topic of the results of re-syncs, and its subscribers.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName;
use extension_worker::resync_protocol::event::Event;
use serde_json::Value;

use super::World;
use super::aws::Aws;

/// One test's own topic of results.
pub(crate) struct ResultsTopic<'a> {
    aws: &'a Aws,
    pub(crate) topic_arn: String,
}

/// A queue that a `resync` command made for its time.
pub(crate) struct TemporaryQueue {
    pub(crate) policy: Value,
    pub(crate) retention_seconds: u32,
    pub(crate) tags: HashMap<String, String>,
}

impl<'a> ResultsTopic<'a> {
    pub(crate) async fn new(world: &'a World) -> Self {
        let name = format!("{}-results", world.name);
        let made = world.aws.sns.create_topic().name(name).send().await;
        Self {
            aws: &world.aws,
            topic_arn: made.unwrap().topic_arn.unwrap(),
        }
    }

    /// Publishes an event as a worker does.
    pub(crate) async fn publish(&self, event: &Value) {
        let event: Event = serde_json::from_value(event.clone()).unwrap();
        self.publish_text(&serde_json::to_string(&event).unwrap())
            .await;
    }

    /// Publishes any text.
    pub(crate) async fn publish_text(&self, text: &str) {
        self.aws.publish(&self.topic_arn, text).await;
    }

    /// The attributes of each subscription of the topic.
    pub(crate) async fn subscriptions(&self) -> Vec<HashMap<String, String>> {
        let sns = &self.aws.sns;
        let listed = sns
            .list_subscriptions_by_topic()
            .topic_arn(&self.topic_arn)
            .send()
            .await
            .unwrap();
        let mut subscriptions = Vec::new();
        for subscription in listed.subscriptions.unwrap_or_default() {
            let read = sns
                .get_subscription_attributes()
                .subscription_arn(subscription.subscription_arn.unwrap())
                .send()
                .await
                .unwrap();
            subscriptions.push(read.attributes.unwrap());
        }
        subscriptions
    }

    /// The temporary queues of a re-sync.
    pub(crate) async fn temporary_queues(&self, id: &str) -> Vec<TemporaryQueue> {
        let sqs = &self.aws.sqs;
        let prefix = format!("extension-worker-resync-{id}");
        let listed = sqs.list_queues().queue_name_prefix(prefix).send().await;
        let mut listeners = Vec::new();
        for url in listed.unwrap().queue_urls.unwrap_or_default() {
            let read = sqs
                .get_queue_attributes()
                .queue_url(&url)
                .attribute_names(QueueAttributeName::All)
                .send()
                .await
                .unwrap();
            let attributes = read.attributes.unwrap();
            let tags = sqs.list_queue_tags().queue_url(&url).send().await.unwrap();
            listeners.push(TemporaryQueue {
                policy: serde_json::from_str(&attributes[&QueueAttributeName::Policy]).unwrap(),
                retention_seconds: attributes[&QueueAttributeName::MessageRetentionPeriod]
                    .parse()
                    .unwrap(),
                tags: tags.tags.unwrap_or_default(),
            });
        }
        listeners
    }
}
