//! The calls of the proxy itself to the emulator, and those that it passes on.

use std::time::Duration;

use extension_worker::process::tls;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response};
use serde_json::{Value, json};

/// A message that is received in advance is hidden for as long as SQS hides any.
const RESERVED: Duration = Duration::from_secs(43_200);
/// How long a receive waits for messages.
const WAIT: Duration = Duration::from_secs(20);
/// After a receive that failed, as where the queue is deleted.
const PAUSE: Duration = Duration::from_secs(1);
const BATCH: usize = 10;

pub(super) struct Upstream {
    client: reqwest::Client,
    endpoint: String,
}

impl Upstream {
    pub(super) fn new(endpoint: &str) -> Self {
        tls::install_provider();
        Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            endpoint: endpoint.to_owned(),
        }
    }

    /// What a queue has, with all attributes.
    pub(super) async fn receive(&self, url: &str, headers: &HeaderMap) -> Vec<Value> {
        let asked = json!({
            "QueueUrl": url, "MaxNumberOfMessages": BATCH, "WaitTimeSeconds": WAIT.as_secs(),
            "VisibilityTimeout": RESERVED.as_secs(), "AttributeNames": ["All"],
            "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let Some(mut answer) = self.call("ReceiveMessage", &asked, headers).await else {
            tokio::time::sleep(PAUSE).await;
            return Vec::new();
        };
        match answer["Messages"].take() {
            Value::Array(messages) => messages,
            _ => Vec::new(),
        }
    }

    /// Hides messages for some time from now on.
    pub(super) async fn hide(
        &self,
        url: &str,
        handles: &[Value],
        visibility: Duration,
        headers: &HeaderMap,
    ) {
        let seconds = visibility.as_secs();
        let entry = |(id, handle): (usize, &Value)| json!({"Id": id.to_string(), "ReceiptHandle": handle, "VisibilityTimeout": seconds});
        let entries: Vec<Value> = handles.iter().enumerate().map(entry).collect();
        let asked = json!({"QueueUrl": url, "Entries": entries});
        self.call("ChangeMessageVisibilityBatch", &asked, headers)
            .await;
    }

    /// Calls with a client's headers: the emulators look at the account and the region in its signature alone.
    async fn call(&self, call: &str, asked: &Value, headers: &HeaderMap) -> Option<Value> {
        let mut headers = headers.clone();
        headers.remove("content-length");
        headers.remove("host");
        headers.insert("x-amz-target", format!("AmazonSQS.{call}").parse().unwrap());
        let asked = self
            .client
            .post(&self.endpoint)
            .headers(headers)
            .body(asked.to_string());
        let answer = asked.send().await.ok()?.error_for_status().ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    pub(super) async fn forward(&self, head: Parts, body: Bytes) -> Response<Full<Bytes>> {
        let url = format!("{}{}", self.endpoint, head.uri);
        let asked = self
            .client
            .request(head.method, url)
            .headers(head.headers)
            .body(body);
        let Ok(forwarded) = asked.send().await else {
            let failed = Response::builder().status(502).body(Full::default());
            return failed.unwrap();
        };
        let mut response = Response::builder().status(forwarded.status());
        for (name, value) in forwarded.headers() {
            // The body's form is this connection's own.
            if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
                response = response.header(name, value);
            }
        }
        let body = forwarded.bytes().await.unwrap_or_default();
        response.body(Full::new(body)).unwrap()
    }
}
