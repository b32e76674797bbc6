//! Brings the answer to CloudFormation. It decides nothing.

use crate::http::{Http, HttpError};
use crate::message::ResponseUrl;

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    /// It never will be: the URL expired or is wrong.
    #[error("the ResponseURL cannot be written to: HTTP status {0}")]
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
}

impl Responder {
    /// A responder.
    pub fn new(http: Http) -> Self {
        Self { http }
    }

    /// Puts a body. There is no Content-Type: the signature covers its absence.
    ///
    /// # Errors
    /// [`ResponderError`].
    pub async fn put(&self, url: &ResponseUrl, body: &str) -> Result<(), ResponderError> {
        let status = self
            .http
            .put(url.expose(), body.as_bytes().to_vec())
            .await
            .map_err(ResponderError::Unavailable)?;
        match status {
            200..=299 => Ok(()),
            408 | 429 | 500..=599 => Err(ResponderError::Busy(status)),
            refused => Err(ResponderError::Refused(refused)),
        }
    }
}
