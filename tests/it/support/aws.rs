//! LocalStack's clients.

use aws_config::{BehaviorVersion, SdkConfig};

/// LocalStack's buckets are below its one host, and it speaks HTTP.
pub(super) struct Aws {
    pub(super) cloudformation: aws_sdk_cloudformation::Client,
    pub(super) rds: aws_sdk_rds::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) secrets: aws_sdk_secretsmanager::Client,
    pub(super) sns: aws_sdk_sns::Client,
    pub(super) sqs: aws_sdk_sqs::Client,
}

impl Aws {
    pub(super) async fn connect() -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await;
        Self {
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            rds: aws_sdk_rds::Client::new(&config),
            s3: s3(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }

    /// Publishes a text to a topic.
    pub(super) async fn publish(&self, topic_arn: &str, text: &str) {
        let publish = self.sns.publish().topic_arn(topic_arn).message(text);
        publish.send().await.unwrap();
    }
}

fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
