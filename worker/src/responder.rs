//! Brings the answer to CloudFormation. The only module that knows reqwest; it decides nothing.

use std::error::Error as StdError;
use std::time::Duration;

use reqwest::redirect::Policy;

use crate::message::ResponseUrl;

/// How long one PUT may take. S3 answers within a second; what hangs or drips is given up.
const PUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    /// It never will be: the URL expired or is wrong.
    #[error("the ResponseURL cannot be written to: HTTP status {0}")]
    Refused(u16),
    /// It may be later: an overloaded service, or none that answered.
    #[error("the answer could not be delivered: {0}")]
    Unavailable(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
}

/// Puts answers.
#[derive(Debug, Clone)]
pub struct Responder {
    client: reqwest::Client,
}

impl Responder {
    /// Redirects are never followed: what may be called was decided from the URL.
    ///
    /// # Errors
    /// [`ResponderError`] where the machine has no usable certificates.
    pub fn new() -> Result<Self, ResponderError> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(PUT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(15))
            .build()
            .map_err(|error| unavailable(error, "the HTTP client cannot be set up"))?;
        Ok(Self { client })
    }

    /// Puts a body. There is no Content-Type: the signature covers its absence.
    ///
    /// # Errors
    /// [`ResponderError`].
    pub async fn put(&self, url: &ResponseUrl, body: &str) -> Result<(), ResponderError> {
        let response = self
            .client
            .put(url.expose().clone())
            .body(body.to_owned())
            .send()
            .await
            .map_err(|error| unavailable(error, "no answer"))?;
        let status = response.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            408 | 429 | 500..=599 => Err(ResponderError::Unavailable(
                format!("HTTP status {status}"),
                None,
            )),
            refused => Err(ResponderError::Refused(refused)),
        }
    }
}

/// reqwest prints the URL of a failed call, and with it the signature: it is taken out.
fn unavailable(error: reqwest::Error, what: &str) -> ResponderError {
    ResponderError::Unavailable(what.to_owned(), Some(Box::new(error.without_url())))
}
