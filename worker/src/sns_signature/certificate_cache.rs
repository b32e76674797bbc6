//! Fetches and caches the signing certificates of SNS. Other modules decide which URLs are allowed, and which certificates
//! are valid.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::CertificateUrl;
use super::certificate::{CertificateError, SigningCertificate};
use super::chain::Roots;
use crate::process::http::{Http, HttpError};
use crate::process::tls::TlsError;

/// Maximum size of a file in bytes: SNS's files have about 2 KiB, a chain about 6.
const MAX_BYTES: usize = 64 * 1024;

/// Maximum number of certificates: a region has one at a time, and worker and topic are in the same region.
const MAX_CACHED: usize = 16;

/// How long a certificate is cached; SNS's are valid for months.
const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// How long a failure is cached, so that a sender of invalid envelopes does not make the worker fetch for each.
const FAILURE_LIFETIME: TimeDelta = TimeDelta::seconds(5);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateFetchError {
    /// SNS did not answer; another attempt may succeed.
    #[error("the signing certificate could not be fetched")]
    Unavailable(#[source] HttpError),
    /// SNS reported a temporary error.
    #[error("the signing certificate could not be fetched: HTTP status {0}")]
    Busy(u16),
    /// There is no certificate at the URL.
    #[error("there is no signing certificate at SigningCertURL: HTTP status {0}")]
    Refused(u16),
    /// The file is too large.
    #[error("there is no signing certificate at SigningCertURL")]
    TooLong(#[source] HttpError),
    /// The certificate is not SNS's, or not valid now.
    #[error(transparent)]
    Unfit(#[from] CertificateError),
}

impl CertificateFetchError {
    /// Whether another attempt may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Busy(_) => true,
            Self::Refused(_) | Self::TooLong(_) | Self::Unfit(_) => false,
        }
    }
}

type Found = Result<Arc<SigningCertificate>, Arc<CertificateFetchError>>;

/// The cached certificates.
#[derive(Debug)]
pub(crate) struct Certificates {
    http: Http,
    roots: Roots,
    cached: Mutex<HashMap<String, (DateTime<Utc>, Found)>>,
    /// One fetch at a time: a caller that waited finds the result of the one before it.
    fetching: tokio::sync::Mutex<()>,
}

impl Certificates {
    /// Makes an empty cache.
    ///
    /// # Errors
    /// [`TlsError`] if the machine has no root certificates.
    pub(crate) fn new(http: Http) -> Result<Self, TlsError> {
        Ok(Self {
            http,
            roots: Roots::system()?,
            cached: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// Returns the certificate at a URL.
    ///
    /// # Errors
    /// [`CertificateFetchError`]; that of the last fetch if it is still cached.
    pub(crate) async fn at(&self, url: &CertificateUrl) -> Found {
        let key = url.url().as_str();
        if let Some(found) = self.cached(key, Utc::now()) {
            return found;
        }
        let _one = self.fetching.lock().await;
        if let Some(found) = self.cached(key, Utc::now()) {
            return found;
        }
        let found = self.fetch(url).await.map(Arc::new).map_err(Arc::new);
        let now = Utc::now();
        let until = match &found {
            Ok(certificate) => certificate.not_after.min(now + LIFETIME),
            Err(_) => now + FAILURE_LIFETIME,
        };
        let mut cached = self.cached.lock();
        insert_bounded(&mut cached, MAX_CACHED, key, (until, found.clone()));
        found
    }

    fn cached(&self, key: &str, now: DateTime<Utc>) -> Option<Found> {
        let cached = self.cached.lock();
        cached
            .get(key)
            .filter(|(until, _)| now < *until)
            .map(|(_, found)| found.clone())
    }

    async fn fetch(
        &self,
        url: &CertificateUrl,
    ) -> Result<SigningCertificate, CertificateFetchError> {
        let (status, body) = match self.http.get(url.url(), MAX_BYTES).await {
            Ok(answer) => answer,
            Err(error @ HttpError::TooLong(_)) => {
                return Err(CertificateFetchError::TooLong(error));
            }
            Err(error @ (HttpError::NoAnswer(_) | HttpError::SetUp(_))) => {
                return Err(CertificateFetchError::Unavailable(error));
            }
        };
        match status {
            200 => {}
            408 | 429 | 500..=599 => return Err(CertificateFetchError::Busy(status)),
            refused => return Err(CertificateFetchError::Refused(refused)),
        }
        let certificate = SigningCertificate::check(&body, url.names(), &self.roots, Utc::now())?;
        Ok(certificate)
    }
}

/// Caches a value until its time ends; if the cache is full, the value whose time ends first is removed: failures before
/// certificates.
fn insert_bounded<T>(
    cached: &mut HashMap<String, (DateTime<Utc>, T)>,
    room: usize,
    key: &str,
    value: (DateTime<Utc>, T),
) {
    cached.remove(key);
    while cached.len() >= room {
        let first = cached.iter().min_by_key(|(_, (until, _))| *until);
        let Some(first) = first.map(|(key, _)| key.clone()) else {
            break;
        };
        cached.remove(&first);
    }
    cached.insert(key.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_bounded_and_what_ends_first_goes_first() {
        let mut cached = HashMap::new();
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for (key, seconds) in [("a", 30), ("b", 5), ("c", 20), ("a", 40), ("d", 10)] {
            insert_bounded(&mut cached, 3, key, (at(seconds), ()));
        }
        let mut keys: Vec<&str> = cached.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["a", "c", "d"]);
    }
}
