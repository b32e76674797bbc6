//! A proxy to the emulator's SQS that hands out messages as SQS's fair queues do, which the emulator does not.
//!
//! It receives what the queue has in advance, and hands it out in the order that is documented; all other calls go on to the
//! emulator, which keeps the messages, their visibility and how often each was received.

pub(crate) mod backlog;
mod upstream;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub(crate) use self::backlog::Order;
use self::backlog::{Backlog, Tenant};
use self::upstream::Upstream;

/// What SQS has where a queue and a receive say nothing.
const DEFAULT_VISIBILITY: Duration = Duration::from_secs(30);

/// A proxy; it ends with the runtime.
pub(crate) struct FairQueue {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    order: Order,
    upstream: Upstream,
    /// By URL.
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    /// How many messages may be handed out.
    allowed: Mutex<usize>,
    changed: Notify,
    handed_out: Mutex<Vec<String>>,
}

/// A queue of which messages are received.
struct Queue {
    backlog: Mutex<Backlog<Value>>,
    arrived: Notify,
}

impl FairQueue {
    /// In front of an emulator, on a port of its own.
    pub(crate) async fn start(upstream: &str, order: Order) -> Self {
        let shared = Arc::new(Shared {
            order,
            upstream: Upstream::new(upstream),
            queues: Mutex::default(),
            allowed: Mutex::new(usize::MAX),
            changed: Notify::new(),
            handed_out: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let shared = Arc::clone(&served);
                let service = service_fn(move |request| serve(request, Arc::clone(&shared)));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        Self { port, shared }
    }

    /// The endpoint for a client, as in `AWS_ENDPOINT_URL_SQS`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// What a test decides and looks at.
#[allow(dead_code, reason = "the bench takes messages as they come")]
impl FairQueue {
    /// From now on so many messages are handed out, and then no more.
    pub(crate) fn allow(&self, messages: usize) {
        *self.shared.allowed.lock().unwrap() = messages;
        self.shared.changed.notify_waiters();
    }

    /// How many messages can be received.
    pub(crate) fn waiting(&self) -> usize {
        let queues = self.shared.queues.lock().unwrap();
        queues
            .values()
            .map(|queue| queue.backlog.lock().unwrap().waiting())
            .sum()
    }

    /// The bodies of the messages so far, in their order.
    pub(crate) fn handed_out(&self) -> Vec<String> {
        self.shared.handed_out.lock().unwrap().clone()
    }
}

async fn serve(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let target = head.headers.get("x-amz-target");
    let call = target.and_then(|target| target.to_str().ok()?.strip_prefix("AmazonSQS."));
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if call == Some("ReceiveMessage") {
        let messages = shared.receive(&asked, &head.headers).await;
        let answer = json!({ "Messages": messages }).to_string();
        let answer = Response::builder()
            .header("content-type", "application/x-amz-json-1.0")
            .body(Full::from(answer));
        return Ok(answer.unwrap());
    }
    if let Some(call) = call {
        shared.note(call, &asked);
    }
    Ok(shared.upstream.forward(head, body).await)
}

impl Shared {
    async fn receive(self: &Arc<Self>, asked: &Value, headers: &HeaderMap) -> Vec<Value> {
        let url = asked["QueueUrl"].as_str().unwrap();
        let queue = self.queue(url, headers);
        let count = asked["MaxNumberOfMessages"].as_u64().unwrap_or(1) as usize;
        let wait = Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or(0));
        let visibility = asked["VisibilityTimeout"].as_u64().map(Duration::from_secs);
        let visibility = visibility.unwrap_or(DEFAULT_VISIBILITY);
        let until = tokio::time::Instant::now() + wait;
        loop {
            let (arrived, changed) = (queue.arrived.notified(), self.changed.notified());
            tokio::pin!(arrived, changed);
            // From here on no message is missed.
            arrived.as_mut().enable();
            changed.as_mut().enable();
            let messages = self.take(&queue, count, visibility);
            if !messages.is_empty() {
                // The lease begins now, and the client does not wait until the emulator has noted it.
                let (shared, url, headers) = (Arc::clone(self), url.to_owned(), headers.clone());
                let handles: Vec<Value> = messages
                    .iter()
                    .map(|message| message["ReceiptHandle"].clone())
                    .collect();
                tokio::spawn(async move {
                    shared
                        .upstream
                        .hide(&url, &handles, visibility, &headers)
                        .await;
                });
                return messages;
            }
            tokio::select! {
                () = &mut arrived => {}
                () = &mut changed => {}
                () = tokio::time::sleep_until(until) => return Vec::new(),
            }
        }
    }

    fn take(&self, queue: &Queue, count: usize, visibility: Duration) -> Vec<Value> {
        let now = Instant::now();
        let mut allowed = self.allowed.lock().unwrap();
        let mut backlog = queue.backlog.lock().unwrap();
        let taken = backlog.take(count.min(*allowed), now);
        if *allowed != usize::MAX {
            *allowed -= taken.len();
        }
        let mut handed_out = self.handed_out.lock().unwrap();
        let mut messages = Vec::new();
        for (tenant, message) in taken {
            let handle = text(&message["ReceiptHandle"]);
            backlog.register(handle, tenant, now, now + visibility);
            handed_out.push(text(&message["Body"]));
            messages.push(message);
        }
        messages
    }

    /// The queue; from the first call on what it has is received.
    fn queue(self: &Arc<Self>, url: &str, headers: &HeaderMap) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap();
        if let Some(queue) = queues.get(url) {
            return Arc::clone(queue);
        }
        let queue = Arc::new(Queue {
            backlog: Mutex::new(Backlog::new(self.order)),
            arrived: Notify::new(),
        });
        queues.insert(url.to_owned(), Arc::clone(&queue));
        let (shared, filled) = (Arc::clone(self), Arc::clone(&queue));
        let (url, headers) = (url.to_owned(), headers.clone());
        tokio::spawn(async move {
            loop {
                let messages = shared.upstream.receive(&url, &headers).await;
                let now = Instant::now();
                for message in messages {
                    let tenant = tenant(&message);
                    filled.backlog.lock().unwrap().arrive(tenant, message, now);
                }
                filled.arrived.notify_waiters();
            }
        });
        queue
    }

    /// Notes what a call says of messages in flight.
    fn note(&self, call: &str, asked: &Value) {
        let Some(queue) = asked["QueueUrl"]
            .as_str()
            .and_then(|url| self.queues.lock().unwrap().get(url).cloned())
        else {
            return;
        };
        let one = [asked.clone()];
        let entries = asked["Entries"].as_array().map_or(&one[..], Vec::as_slice);
        let now = Instant::now();
        for entry in entries {
            let until = match call {
                "DeleteMessage" | "DeleteMessageBatch" => Duration::ZERO,
                "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch" => {
                    Duration::from_secs(entry["VisibilityTimeout"].as_u64().unwrap())
                }
                _ => return,
            };
            let handle = entry["ReceiptHandle"].as_str().unwrap();
            let mut backlog = queue.backlog.lock().unwrap();
            backlog.change(handle, now + until, now);
        }
    }
}

fn tenant(message: &Value) -> Tenant {
    match message["Attributes"]["MessageGroupId"].as_str() {
        Some(group) => Tenant::Group(group.to_owned()),
        None => Tenant::Message(text(&message["MessageId"])),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
