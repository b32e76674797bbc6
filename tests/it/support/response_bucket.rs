//! The bucket that CloudFormation reads responses from, for handlers without a process.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;

use super::listener;

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
        let stored: Arc<Mutex<Stored>> = Arc::default();
        let served = Arc::clone(&stored);
        let port = listener::serve_http(move |request| take(request, Arc::clone(&served))).await;
        Self { port, stored }
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
