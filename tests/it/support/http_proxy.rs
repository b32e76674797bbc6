//! A proxy to LocalStack that sees each request, and answers some itself.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use extension_worker::process::tls;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

use super::{listener, variable};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Forward,
    /// It is forwarded with another body.
    ForwardWith(String),
    /// A status, and a body.
    Answer(u16, String),
    /// The same after a while.
    AnswerAfter(Duration, u16, String),
    /// It is received, and never answered.
    Hang,
    /// The connection ends.
    Cut,
}

impl Action {
    /// As services of AWS that speak JSON refuse.
    pub(crate) fn refuse(status: u16, kind: &str) -> Self {
        Self::Answer(
            status,
            format!("{{\"__type\":\"{kind}\",\"message\":\"on purpose\"}}"),
        )
    }
}

type Decide = Box<dyn FnMut(&str) -> Action + Send>;

/// A proxy for HTTP/1.1.
pub(crate) struct HttpProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    client: reqwest::Client,
    upstream: String,
    decide: Mutex<Decide>,
    seen: Mutex<Vec<String>>,
}

impl HttpProxy {
    /// In front of LocalStack, on a port of its own. It forwards everything until [`Self::decide`] is called.
    pub(crate) async fn start() -> Self {
        tls::install_provider();
        let shared = Arc::new(Shared {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            upstream: variable("AWS_ENDPOINT_URL"),
            decide: Mutex::new(Box::new(|_| Action::Forward)),
            seen: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let port = listener::serve_http(move |request| serve(request, Arc::clone(&served))).await;
        Self { port, shared }
    }

    /// The endpoint for a client, as in `AWS_ENDPOINT_URL_SQS`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Decides on requests from now on, by their text: method and path, headers with their names in small letters, an
    /// empty line, body.
    pub(crate) fn decide(&self, decide: impl FnMut(&str) -> Action + Send + 'static) {
        *self.shared.decide.lock().unwrap() = Box::new(decide);
    }

    /// How many requests so far held the text, whatever became of them.
    pub(crate) fn count(&self, text: &str) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|request| request.contains(text)).count()
    }
}

fn answer(status: u16, body: String) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1");
    response.body(Full::from(body)).unwrap()
}

async fn serve(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (mut head, body) = request.into_parts();
    let mut body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut text = format!("{} {}\n", head.method, head.uri);
    for (name, value) in &head.headers {
        writeln!(
            text,
            "{name}: {}",
            String::from_utf8_lossy(value.as_bytes())
        )
        .unwrap();
    }
    write!(text, "\n{}", String::from_utf8_lossy(&body)).unwrap();
    let action = (shared.decide.lock().unwrap())(&text);
    shared.seen.lock().unwrap().push(text);
    match action {
        Action::Forward => {}
        Action::ForwardWith(other) => {
            head.headers.remove("content-length");
            body = Bytes::from(other);
        }
        Action::AnswerAfter(pause, status, body) => {
            tokio::time::sleep(pause).await;
            return Ok(answer(status, body));
        }
        Action::Answer(status, body) => return Ok(answer(status, body)),
        Action::Hang => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Action::Cut => return Err(io::Error::other("cut")),
    }
    let url = format!("{}{}", shared.upstream, head.uri);
    let asked = shared
        .client
        .request(head.method, url)
        .headers(head.headers)
        .body(body);
    let forwarded = asked.send().await.map_err(io::Error::other)?;
    let mut response = Response::builder().status(forwarded.status());
    for (name, value) in forwarded.headers() {
        // The body's form is this connection's own.
        if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    let body = forwarded.bytes().await.map_err(io::Error::other)?;
    Ok(response.body(Full::new(body)).unwrap())
}
