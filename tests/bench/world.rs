//! What stands around the worker: databases, servers' ports, queues full of requests, and the place of the answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// How long answers may fail to come.
const TIMEOUT: Duration = Duration::from_secs(120);

/// When each request was answered, and with which physical id, by the request's id; or, without a time, why it failed.
type Answered = Arc<Mutex<HashMap<String, (Option<Instant>, String)>>>;

/// The services, and what was made in them.
pub(crate) struct World {
    pub(crate) config: aws_config::SdkConfig,
    sqs: aws_sdk_sqs::Client,
    /// Of the secret too.
    pub(crate) name: String,
    pub(crate) databases: Vec<String>,
    pub(crate) answers_port: u16,
    answered: Answered,
}

/// A variable that `make bench` sets.
pub(crate) fn variable(name: &str) -> String {
    #[allow(
        clippy::disallowed_methods,
        reason = "make sets where the services are"
    )]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make bench`"))
}

/// The configuration of a client, as the variables of `make bench` say.
pub(crate) fn aws_config() -> aws_config::ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
}

impl World {
    pub(crate) async fn new(databases: usize) -> Self {
        Self::on(aws_config().load().await, databases).await
    }

    /// Makes databases of the one server, and a secret that leads to it.
    pub(crate) async fn on(config: aws_config::SdkConfig, databases: usize) -> Self {
        let name = format!("b{}", &Uuid::new_v4().simple().to_string()[..8]);
        let secret = json!({
            "host": variable("PGHOST"),
            "port": postgres_port(),
            "username": variable("PGUSER"),
            "password": variable("PGPASSWORD"),
        });
        aws_sdk_secretsmanager::Client::new(&config)
            .create_secret()
            .name(&name)
            .secret_string(secret.to_string())
            .send()
            .await
            .unwrap();
        let server = format!(
            "host={} port={} user={} password={} dbname=postgres",
            variable("PGHOST"),
            variable("PGPORT"),
            variable("PGUSER"),
            variable("PGPASSWORD"),
        );
        let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let databases: Vec<String> = (0..databases).map(|n| format!("{name}_{n}")).collect();
        for database in &databases {
            let sql = format!("CREATE DATABASE {database}");
            client.batch_execute(&sql).await.unwrap();
        }
        let answered = Answered::default();
        Self {
            sqs: aws_sdk_sqs::Client::new(&config),
            config,
            name,
            databases,
            answers_port: listen_for_answers(Arc::clone(&answered)).await,
            answered,
        }
    }

    /// An empty queue; its URL.
    pub(crate) async fn queue(&self) -> String {
        let name = format!("{}-{}", self.name, Uuid::new_v4().simple());
        let created = self.sqs.create_queue().queue_name(name).send().await;
        created.unwrap().queue_url.unwrap()
    }

    /// A Create of a stack's own, with its id: an extension that every request to the database declares. On a port of the
    /// server's host, where one is given.
    pub(crate) fn request(&self, database: usize, port: Option<u16>) -> (String, Value) {
        let request_id = Uuid::new_v4().to_string();
        let stack_id =
            format!("arn:aws:cloudformation:us-east-1:000000000000:stack/{request_id}/1");
        let key = format!("{stack_id}|Extensions|{request_id}");
        let key = key.replace('|', "%7C").replace(':', "%3A");
        let request = json!({
            "RequestType": "Create",
            "ResponseURL": format!("{}/{key}?X-Amz-Signature=ab", self.answers_origin()),
            "StackId": stack_id,
            "RequestId": request_id,
            "LogicalResourceId": "Extensions",
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": {
                "DBSecret": self.name,
                "DBName": self.databases[database],
                "DBPort": port.unwrap_or_else(postgres_port),
                "Extensions": ["hstore"],
            },
        });
        (request_id, request)
    }

    pub(crate) fn answers_origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.answers_port)
    }

    /// Sends requests in batches of ten.
    pub(crate) async fn send(&self, queue: &str, requests: &[(String, Value)]) {
        for batch in requests.chunks(10) {
            let entries = batch.iter().map(|(id, request)| {
                SendMessageBatchRequestEntry::builder()
                    .id(id)
                    .message_body(request.to_string())
                    .build()
                    .unwrap()
            });
            let sent = self
                .sqs
                .send_message_batch()
                .queue_url(queue)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .unwrap();
            assert!(sent.failed.is_empty(), "{:?}", sent.failed);
        }
    }

    /// When a request was answered, if it was.
    pub(crate) fn answered_at(&self, request_id: &str) -> Option<Instant> {
        let answered = self.answered.lock().unwrap();
        answered.get(request_id).and_then(|(at, _)| *at)
    }

    /// The id of the resource, from the response to a request.
    pub(crate) fn physical_id(&self, request_id: &str) -> String {
        self.answered.lock().unwrap()[request_id].1.clone()
    }

    /// Why some of the requests failed.
    fn failures(&self, requests: &[(String, Value)]) -> Vec<String> {
        let answered = self.answered.lock().unwrap();
        let found = requests.iter().filter_map(|(id, _)| answered.get(id));
        let failed = found.filter(|(at, _)| at.is_none());
        failed.map(|(_, reason)| reason.clone()).collect()
    }

    /// Waits until so many of the requests are answered.
    pub(crate) async fn answers(&self, requests: &[(String, Value)], count: usize) {
        let until = Instant::now() + TIMEOUT;
        let done = || {
            requests
                .iter()
                .filter(|(id, _)| self.answered_at(id).is_some())
        };
        while done().count() < count {
            assert!(
                Instant::now() < until,
                "{} of {count}; {:?}",
                done().count(),
                self.failures(requests),
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn postgres_port() -> u16 {
    variable("PGPORT").parse().unwrap()
}

/// A port that leads to the server: to the worker, a server of its own.
pub(crate) async fn another_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect((variable("PGHOST"), postgres_port()))
                    .await
                    .unwrap();
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                // Either side may end it.
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    port
}

async fn listen_for_answers(answered: Answered) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answered = Arc::clone(&answered);
            let service = service_fn(move |request| take(request, Arc::clone(&answered)));
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    port
}

async fn take(
    request: Request<Incoming>,
    answered: Answered,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let at = Instant::now();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let id = answer["RequestId"].as_str().unwrap().to_owned();
    let succeeded = answer["Status"] == "SUCCESS";
    let text = if succeeded {
        "PhysicalResourceId"
    } else {
        "Reason"
    };
    let text = answer[text].as_str().unwrap().to_owned();
    // Those to a dead server may fail while others are measured.
    let at = succeeded.then_some(at);
    answered.lock().unwrap().insert(id, (at, text));
    Ok(Response::new(Empty::new()))
}
