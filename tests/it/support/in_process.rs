//! The handler without its process and its queue, for what needs thousands of requests: the database is real, and so are
//! the PUTs, to a server that keeps every answer that it is given.

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
    /// It arrives and is confirmed.
    Taken,
    /// It arrives, and the confirmation does not.
    Unconfirmed,
    /// It does not arrive.
    Lost,
    /// It is answered with this status, and not kept.
    Status(u16),
    /// It arrives, and nothing is said until the harness does: see [`Answers::speak`].
    Silence,
}

#[derive(Default)]
struct Kept {
    /// By path, in the order of arrival.
    answers: HashMap<String, Vec<String>>,
    /// What happens to the next PUTs to a path; each is taken where nothing is said.
    fates: HashMap<String, VecDeque<Put>>,
    speaking: Arc<Notify>,
}

/// Stands where S3 stands for CloudFormation.
#[derive(Clone)]
pub(crate) struct Answers {
    port: u16,
    kept: Arc<Mutex<Kept>>,
}

impl Answers {
    /// Listens on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = Self {
            port: listener.local_addr().unwrap().port(),
            kept: Arc::default(),
        };
        let kept = Arc::clone(&answers.kept);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request| take(request, Arc::clone(&kept)));
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

    /// Decides on the next PUTs for the key.
    pub(crate) fn decide(&self, key: &str, fates: impl IntoIterator<Item = Put>) {
        let mut kept = self.kept.lock().unwrap();
        kept.fates
            .insert(format!("/{}", path_of(key)), fates.into_iter().collect());
    }

    /// Confirms the PUTs that arrived and about which nothing was said so far.
    pub(crate) fn speak(&self) {
        self.kept.lock().unwrap().speaking.notify_waiters();
    }

    /// Every answer to the request, in the order of arrival.
    pub(crate) fn of(&self, key: &str) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.answers
            .get(&format!("/{}", path_of(key)))
            .cloned()
            .unwrap_or_default()
    }

    /// Every answer, by the key that it was put under.
    pub(crate) fn all(&self) -> Vec<(String, Vec<String>)> {
        let kept = self.kept.lock().unwrap();
        let decoded = |path: &String| {
            let key = path.trim_start_matches('/');
            percent_decode_str(key).decode_utf8().unwrap().into_owned()
        };
        kept.answers
            .iter()
            .map(|(path, answers)| (decoded(path), answers.clone()))
            .collect()
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        *self.kept.lock().unwrap() = Kept::default();
    }
}

fn path_of(key: &str) -> String {
    key.replace('|', "%7C").replace(':', "%3A")
}

async fn take(
    request: Request<Incoming>,
    kept: Arc<Mutex<Kept>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    assert!(
        !request.headers().contains_key("content-type"),
        "S3 would refuse it"
    );
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let (fate, speaking) = {
        let mut kept = kept.lock().unwrap();
        let fate = kept
            .fates
            .get_mut(&path)
            .and_then(VecDeque::pop_front)
            .unwrap_or(Put::Taken);
        if matches!(fate, Put::Taken | Put::Unconfirmed | Put::Silence) {
            kept.answers.entry(path).or_default().push(text);
        }
        // From now on: whoever sees the answer may speak.
        (fate, Arc::clone(&kept.speaking).notified_owned())
    };
    if fate == Put::Silence {
        speaking.await;
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = match fate {
        Put::Taken | Put::Silence => StatusCode::OK,
        Put::Unconfirmed | Put::Lost => StatusCode::SERVICE_UNAVAILABLE,
        Put::Status(status) => StatusCode::from_u16(status).unwrap(),
    };
    let elsewhere = HeaderValue::from_static("/elsewhere");
    response.headers_mut().insert("location", elsewhere);
    Ok(response)
}

/// A request as CloudFormation publishes it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The key that its answer has.
    pub(crate) key: String,
    pub(crate) message: Value,
    pub(crate) published_at: DateTime<Utc>,
}

impl Asked {
    /// `resource` is a stack's ARN and a logical id. A request that was published a millisecond later is newer.
    pub(crate) fn new(
        answers: &Answers,
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
    pub(crate) fn of(mut self, physical_resource_id: &str) -> Self {
        self.message["PhysicalResourceId"] = json!(physical_resource_id);
        self
    }

    /// With the properties that an Update had before.
    pub(crate) fn instead_of(mut self, old: Value) -> Self {
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

/// What the handler's secret says, whatever its name: the administrator, on the test server. The database is for the
/// properties to name.
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
pub(crate) fn handler(answers: &Answers) -> Handler {
    handler_with(answers, handler_settings(), secret())
}

/// The settings of a worker that is told nothing but what it must be.
pub(crate) fn handler_settings() -> HandlerSettings {
    HandlerSettings {
        max_receives: 12,
        retry_budget: Duration::from_secs(20),
        ..HandlerSettings::default()
    }
}

/// One with settings and a secret of one's own; the origin of the answers is the harness's.
pub(crate) fn handler_with(
    answers: &Answers,
    settings: HandlerSettings,
    secret: Secret,
) -> Handler {
    let pools = pools(4, 200);
    let http = Http::new().unwrap();
    // Nothing is called: these handlers are given requests of stacks alone.
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

/// Connections to the test server, unsecured: so many at the most to each database, and in all.
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
