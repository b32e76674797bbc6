//! Brings the answer to CloudFormation. It decides nothing.

use std::time::Instant;

use crate::metrics::{Metrics, PutResult};
use crate::process::http::{Http, HttpError};
use crate::request::ResponseUrl;

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResponderError {
    /// It never will be: the URL expired or is wrong.
    #[error("S3 refused the PUT to the ResponseURL: HTTP status {0}")]
    Refused(u16),
    /// It may be later: an overloaded service.
    #[error("the answer could not be delivered: HTTP status {0}")]
    Busy(u16),
    /// It may be later: a service that did not answer.
    #[error("the answer could not be delivered")]
    Unavailable(#[source] HttpError),
}

/// Puts answers.
#[derive(Debug, Clone)]
pub struct Responder {
    http: Http,
    metrics: Metrics,
}

impl Responder {
    /// A responder.
    pub fn new(http: Http, metrics: Metrics) -> Self {
        Self { http, metrics }
    }

    /// Puts a body. There is no Content-Type: the signature covers its absence.
    ///
    /// # Errors
    /// [`ResponderError`].
    pub(crate) async fn put(&self, url: &ResponseUrl, body: &str) -> Result<(), ResponderError> {
        let began = Instant::now();
        let status = self.http.put(url.expose(), body.as_bytes().to_vec()).await;
        self.metrics.put_seconds.observe(began.elapsed());
        let (result, taken) = match status {
            Ok(200..=299) => (PutResult::Accepted, Ok(())),
            Ok(status @ (408 | 429 | 500..=599)) => {
                (PutResult::Busy, Err(ResponderError::Busy(status)))
            }
            Ok(status) => (PutResult::Refused, Err(ResponderError::Refused(status))),
            Err(error) => (PutResult::NoAnswer, Err(ResponderError::Unavailable(error))),
        };
        self.metrics.puts.inc(result);
        taken
    }
}
