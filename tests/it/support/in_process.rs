//! The handler without its process and its queue, for what needs thousands of requests. The database is real, and so are
//! the PUTs.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use chrono::{DateTime, Utc};
use extension_worker::aws::put_response::Responder;
use extension_worker::aws::rds::Instances;
use extension_worker::aws::sqs::{Message, Queue};
use extension_worker::credentials::AuthMethod;
use extension_worker::credentials::login::Logins;
use extension_worker::credentials::secrets::{Password, Secret, Secrets};
use extension_worker::execution::Executor;
use extension_worker::execution::server_limit::ServerLimits;
use extension_worker::handler::{Handler, HandlerSettings};
use extension_worker::metrics::{Gauge, Metrics};
use extension_worker::postgres::{PoolSettings, Pools};
use extension_worker::process::http::Http;
use extension_worker::process::tls::{self, SslMode};
use extension_worker::resync::Resync;
use extension_worker::sns_signature::{SignatureCheck, Signatures};
use extension_worker::target::Host;
use extension_worker::verification::{StackCheck, Verification};
use serde_json::{Value, json};

use super::{ResponseBucket, variable};

/// A request as CloudFormation publishes it.
#[derive(Debug, Clone)]
pub(crate) struct CloudFormationRequest {
    /// The key that its answer has.
    pub(crate) key: String,
    pub(crate) message: Value,
    pub(crate) published_at: DateTime<Utc>,
}

impl CloudFormationRequest {
    /// `resource` is a stack's ARN and a logical id. A request that was published a millisecond later is newer.
    pub(crate) fn new(
        answers: &ResponseBucket,
        resource: (&str, &str),
        request_id: &str,
        kind: &str,
        properties: Value,
        published_at: DateTime<Utc>,
    ) -> Self {
        let (stack_id, logical_id) = resource;
        let key = format!("{stack_id}|{logical_id}|{request_id}");
        let message = json!({
            "RequestType": kind,
            "ResponseURL": answers.url(&key),
            "StackId": stack_id,
            "RequestId": request_id,
            "LogicalResourceId": logical_id,
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": properties,
        });
        Self {
            key,
            message,
            published_at,
        }
    }

    /// With the id of the resource, which an Update and a Delete have.
    pub(crate) fn with_id(mut self, physical_resource_id: &str) -> Self {
        self.message["PhysicalResourceId"] = json!(physical_resource_id);
        self
    }

    /// With the properties that an Update had before.
    pub(crate) fn with_old_properties(mut self, old: Value) -> Self {
        self.message["OldResourceProperties"] = old;
        self
    }

    /// The body that the queue delivers.
    pub(crate) fn body(&self) -> String {
        json!({
            "Type": "Notification",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:extension-worker",
            "Timestamp": self.published_at.to_rfc3339(),
            "Message": self.message.to_string(),
        })
        .to_string()
    }
}

/// A delivery of a body, for the first time.
pub(crate) fn delivery(body: String) -> Message {
    Message {
        id: "m".to_owned(),
        receipt_handle: "r".to_owned(),
        body,
        receive_count: 1,
        sender_id: None,
        trace: None,
    }
}

/// The handler's secret, under every name: the administrator, on the test server. The properties name the database.
pub(crate) fn secret() -> Secret {
    Secret {
        username: variable("PGUSER"),
        password: Some(Password::new(variable("PGPASSWORD"))),
        host: Some(Host::parse(&variable("PGHOST")).unwrap()),
        port: Some(variable("PGPORT").parse().unwrap()),
        dbname: None,
        arn: None,
    }
}

/// A worker's handler, as a process that has just started has it.
pub(crate) fn handler(answers: &ResponseBucket) -> Handler {
    handler_with(answers, handler_settings(), secret())
}

/// The settings of a worker that has only those that are required.
pub(crate) fn handler_settings() -> HandlerSettings {
    HandlerSettings {
        max_receives: 12,
        retry_budget: Duration::from_secs(20),
        ..HandlerSettings::default()
    }
}

/// One with these settings and this secret; answers go to the bucket.
pub(crate) fn handler_with(
    answers: &ResponseBucket,
    settings: HandlerSettings,
    secret: Secret,
) -> Handler {
    let pools = pools(4, 200);
    let http = Http::new().unwrap();
    // AWS is not called: these handlers get requests of stacks alone.
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .build();
    let queue = Queue::new(&config, String::new(), None, Metrics::default());
    Handler::new(
        HandlerSettings {
            response_origin: Some(answers.origin().parse().unwrap()),
            ..settings
        },
        Signatures::new(SignatureCheck::Off, None, http.clone()).unwrap(),
        Verification::new(StackCheck::Off, &config),
        Executor::new(
            Logins::new(Secrets::given(secret), None),
            pools,
            ServerLimits::new(8),
        ),
        Resync::new(Instances::new(&config), queue, None, 1, Metrics::default()),
        Responder::new(http, Metrics::default()),
        Metrics::default(),
    )
}

/// Connections to the test server without TLS, with these limits for each database and for the process.
pub(crate) fn pools(per_database: usize, max_total: usize) -> Pools {
    tls::install_provider();
    Pools::new(PoolSettings {
        ssl_mode: SslMode::Disable,
        tls: tls::postgres_config(SslMode::Disable, None).unwrap(),
        auth_methods: vec![AuthMethod::ScramSha256],
        hosts: None,
        per_database,
        max_total,
        open: Gauge::default(),
        schema_check: extension_worker::plan::SchemaCheck::Refuse,
        publish_ledger: false,
    })
}
