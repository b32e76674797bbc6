//! A topic, a queue with its dead-letter queue, a database and its secret: all that one test needs, for that test alone.

mod queues;
mod requests;
mod secrets;

use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;
use uuid::Uuid;

pub(crate) use self::requests::Request;
use super::aws::Aws;
use super::{Database, Stack, TemplateStack};

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
        self.aws.publish(topic_arn, text).await;
    }

    /// Publishes any text.
    pub(crate) async fn publish_text(&self, text: &str) {
        self.publish_to(&self.topic_arn, text).await;
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
