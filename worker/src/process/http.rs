//! HTTP as a client. The only module that knows reqwest; it decides nothing.

use std::error::Error as StdError;
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::Value;
use url::Url;

/// How long one call may take. S3 and SNS answer within a second; what hangs or drips is given up.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

type Cause = Box<dyn StdError + Send + Sync>;

/// Why a call came to no status, or its body is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The machine has no usable certificates.
    #[error("the HTTP client cannot be set up")]
    SetUp(#[source] Cause),
    /// There was no answer, or an incomplete one.
    #[error("no answer")]
    NoAnswer(#[source] Cause),
    /// The body is longer than the caller takes.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
}

/// The process's HTTP client.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// Redirects are never followed: what may be called was decided from the URL.
    ///
    /// # Errors
    /// [`HttpError`] where the machine has no usable certificates.
    pub fn new() -> Result<Self, HttpError> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(CALL_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(15))
            .build()
            .map_err(|error| HttpError::SetUp(cause(error)))?;
        Ok(Self { client })
    }

    /// Puts a body, without a Content-Type; the status.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn put(&self, url: &Url, body: Vec<u8>) -> Result<u16, HttpError> {
        let response = self
            .client
            .put(url.clone())
            .body(body)
            .send()
            .await
            .map_err(|error| HttpError::NoAnswer(cause(error)))?;
        Ok(response.status().as_u16())
    }

    /// Puts a JSON document; the status, and a body of up to `max_bytes`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn put_json(
        &self,
        url: &Url,
        document: &Value,
        max_bytes: usize,
    ) -> Result<(u16, Vec<u8>), HttpError> {
        let response = self
            .client
            .put(url.clone())
            .header("content-type", "application/json")
            .body(document.to_string())
            .send()
            .await
            .map_err(|error| HttpError::NoAnswer(cause(error)))?;
        let status = response.status().as_u16();
        Ok((status, body(response, max_bytes).await?))
    }

    /// Gets a body of up to `max_bytes`; the status with it.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn get(
        &self,
        url: &Url,
        max_bytes: usize,
    ) -> Result<(u16, Vec<u8>), HttpError> {
        let response = self
            .client
            .get(url.clone())
            .send()
            .await
            .map_err(|error| HttpError::NoAnswer(cause(error)))?;
        let status = response.status().as_u16();
        Ok((status, body(response, max_bytes).await?))
    }
}

async fn body(mut response: reqwest::Response, max_bytes: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| HttpError::NoAnswer(cause(error)))?
    {
        if body.len() + chunk.len() > max_bytes {
            return Err(HttpError::TooLong(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// reqwest prints the URL of a failed call, and with it a signature: it is taken out.
fn cause(error: reqwest::Error) -> Cause {
    Box::new(error.without_url())
}
