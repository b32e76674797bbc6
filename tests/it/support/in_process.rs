//! The handler without its process and its queue, for what needs thousands of requests: the database is real, and so are
//! the PUTs, to a server that stores every answer.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
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
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::variable;

/// What happens to one PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is stored and confirmed.
    Accepted,
    /// It is stored, and the confirmation is lost.
    ResponseLost,
    /// It is not stored.
    RequestLost,
    /// It is answered with this status, and not stored.
    Status(u16),
    /// It is stored, and confirmed by [`ResponseBucket::confirm_withheld`].
    Withheld,
}

#[derive(Default)]
struct Stored {
    /// By path, in the order of arrival.
    answers: HashMap<String, Vec<String>>,
    /// What happens to the next PUTs to a path; each further one is accepted.
    next: HashMap<String, VecDeque<Put>>,
    confirmation: Arc<Notify>,
}

/// The bucket that ResponseURLs lead to.
#[derive(Clone)]
pub(crate) struct ResponseBucket {
    port: u16,
    stored: Arc<Mutex<Stored>>,
}

impl ResponseBucket {
    /// Listens on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = Self {
            port: listener.local_addr().unwrap().port(),
            stored: Arc::default(),
        };
        let stored = Arc::clone(&answers.stored);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let stored = Arc::clone(&stored);
                let service = service_fn(move |request| take(request, Arc::clone(&stored)));
                tokio::spawn(async move {
                    // A service that fails closes the connection: that is what is wanted of it.
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        answers
    }

    /// Where it listens.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A ResponseURL for the key.
    pub(crate) fn url(&self, key: &str) -> String {
        format!(
            "{}/{key}?X-Amz-Signature=ab",
            self.origin(),
            key = path_of(key)
        )
    }

    /// Sets what happens to the next PUTs for the key.
    pub(crate) fn set_next(&self, key: &str, next: impl IntoIterator<Item = Put>) {
        let mut stored = self.stored.lock().unwrap();
        stored
            .next
            .insert(format!("/{}", path_of(key)), next.into_iter().collect());
    }

    /// Confirms the PUTs whose confirmation was withheld so far.
    pub(crate) fn confirm_withheld(&self) {
        self.stored.lock().unwrap().confirmation.notify_waiters();
    }

    /// Every answer to the request, in the order of arrival.
    pub(crate) fn of(&self, key: &str) -> Vec<String> {
        let stored = self.stored.lock().unwrap();
        stored
            .answers
            .get(&format!("/{}", path_of(key)))
            .cloned()
            .unwrap_or_default()
    }

    /// Every answer, by the key that it was put under.
    pub(crate) fn all(&self) -> Vec<(String, Vec<String>)> {
        let stored = self.stored.lock().unwrap();
        let decoded = |path: &String| {
            let key = path.trim_start_matches('/');
            percent_decode_str(key).decode_utf8().unwrap().into_owned()
        };
        stored
            .answers
            .iter()
            .map(|(path, answers)| (decoded(path), answers.clone()))
            .collect()
    }

    /// Removes all.
    pub(crate) fn clear(&self) {
        *self.stored.lock().unwrap() = Stored::default();
    }
}

fn path_of(key: &str) -> String {
    key.replace('|', "%7C").replace(':', "%3A")
}

async fn take(
    request: Request<Incoming>,
    stored: Arc<Mutex<Stored>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    assert!(
        !request.headers().contains_key("content-type"),
        "S3 would refuse it"
    );
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let (put, confirmation) = {
        let mut stored = stored.lock().unwrap();
        let put = stored
            .next
            .get_mut(&path)
            .and_then(VecDeque::pop_front)
            .unwrap_or(Put::Accepted);
        if matches!(put, Put::Accepted | Put::ResponseLost | Put::Withheld) {
            stored.answers.entry(path).or_default().push(text);
        }
        // From here on a confirmation is noticed: a test gives it when it sees the answer.
        (put, Arc::clone(&stored.confirmation).notified_owned())
    };
    if put == Put::Withheld {
        confirmation.await;
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = match put {
        Put::Accepted | Put::Withheld => StatusCode::OK,
        Put::ResponseLost | Put::RequestLost => StatusCode::SERVICE_UNAVAILABLE,
        Put::Status(status) => StatusCode::from_u16(status).unwrap(),
    };
    let elsewhere = HeaderValue::from_static("/elsewhere");
    response.headers_mut().insert("location", elsewhere);
    Ok(response)
}

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
