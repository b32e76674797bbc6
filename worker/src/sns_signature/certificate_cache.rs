//! Fetches the certificates that SNS signs with, and keeps them. What may be fetched, and what is a certificate of
//! SNS's, is decided elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::CertificateUrl;
use super::certificate::{SigningCertificate, UnfitCertificate};
use super::chain::Roots;
use crate::process::http::{Http, HttpError};
use crate::process::tls::TlsError;

/// SNS's files have some 2 KiB, a chain some 6.
const MAX_BYTES: usize = 64 * 1024;

/// A region has one certificate at a time, and worker and topic share theirs.
const MAX_KEPT: usize = 16;

/// For how long a certificate is kept; SNS's are valid for months.
const KEPT: TimeDelta = TimeDelta::hours(1);

/// For how long a failure is: a sender of envelopes that lead to none does not make the worker fetch for each.
const FAILURE_KEPT: TimeDelta = TimeDelta::seconds(5);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// SNS did not answer: it may later.
    #[error("the signing certificate could not be fetched")]
    Unavailable(#[source] HttpError),
    /// SNS answered that it cannot just now.
    #[error("the signing certificate could not be fetched: HTTP status {0}")]
    Busy(u16),
    /// There is none.
    #[error("there is no signing certificate at SigningCertURL: HTTP status {0}")]
    Refused(u16),
    /// What is there is too long for one.
    #[error("there is no signing certificate at SigningCertURL")]
    TooLong(#[source] HttpError),
    /// What is there is not SNS's, or not now.
    #[error(transparent)]
    Unfit(#[from] UnfitCertificate),
}

impl CertificateError {
    /// Whether trying again may help.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Busy(_) => true,
            Self::Refused(_) | Self::TooLong(_) | Self::Unfit(_) => false,
        }
    }
}

type Found = Result<Arc<SigningCertificate>, Arc<CertificateError>>;

/// The certificates that are known.
#[derive(Debug)]
pub struct Certificates {
    http: Http,
    roots: Roots,
    kept: Mutex<HashMap<String, (DateTime<Utc>, Found)>>,
    /// One fetch at a time: who waited finds what the one before it brought.
    fetching: tokio::sync::Mutex<()>,
}

impl Certificates {
    /// None is known yet.
    ///
    /// # Errors
    /// [`TlsError`] where the machine has no roots.
    pub fn new(http: Http) -> Result<Self, TlsError> {
        Ok(Self {
            http,
            roots: Roots::system()?,
            kept: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The certificate at a URL.
    ///
    /// # Errors
    /// [`CertificateError`], the one of the last fetch where that was a moment ago.
    pub async fn at(&self, url: &CertificateUrl) -> Found {
        let key = url.url().as_str();
        if let Some(found) = self.kept(key, Utc::now()) {
            return found;
        }
        let _one = self.fetching.lock().await;
        if let Some(found) = self.kept(key, Utc::now()) {
            return found;
        }
        let found = self.fetch(url).await.map(Arc::new).map_err(Arc::new);
        let now = Utc::now();
        let until = match &found {
            Ok(certificate) => certificate.not_after.min(now + KEPT),
            Err(_) => now + FAILURE_KEPT,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        keep(&mut kept, MAX_KEPT, key, (until, found.clone()));
        found
    }

    fn kept(&self, key: &str, now: DateTime<Utc>) -> Option<Found> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key)
            .filter(|(until, _)| now < *until)
            .map(|(_, found)| found.clone())
    }

    async fn fetch(&self, url: &CertificateUrl) -> Result<SigningCertificate, CertificateError> {
        let (status, body) = match self.http.get(url.url(), MAX_BYTES).await {
            Ok(answer) => answer,
            Err(error @ HttpError::TooLong(_)) => return Err(CertificateError::TooLong(error)),
            Err(error @ (HttpError::NoAnswer(_) | HttpError::SetUp(_))) => {
                return Err(CertificateError::Unavailable(error));
            }
        };
        match status {
            200 => {}
            408 | 429 | 500..=599 => return Err(CertificateError::Busy(status)),
            refused => return Err(CertificateError::Refused(refused)),
        }
        let certificate = SigningCertificate::check(&body, url.names(), &self.roots, Utc::now())?;
        Ok(certificate)
    }
}

/// Keeps a value until its time; where there is no room, the one whose time ends first goes: failures before
/// certificates.
fn keep<T>(
    kept: &mut HashMap<String, (DateTime<Utc>, T)>,
    room: usize,
    key: &str,
    value: (DateTime<Utc>, T),
) {
    kept.remove(key);
    while kept.len() >= room {
        let first = kept.iter().min_by_key(|(_, (until, _))| *until);
        let Some(first) = first.map(|(key, _)| key.clone()) else {
            break;
        };
        kept.remove(&first);
    }
    kept.insert(key.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_bounded_and_what_ends_first_goes_first() {
        let mut kept = HashMap::new();
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for (key, seconds) in [("a", 30), ("b", 5), ("c", 20), ("a", 40), ("d", 10)] {
            keep(&mut kept, 3, key, (at(seconds), ()));
        }
        let mut keys: Vec<&str> = kept.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["a", "c", "d"]);
    }
}
