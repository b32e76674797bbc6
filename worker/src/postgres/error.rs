//! Converts errors of tokio-postgres into [`DatabaseError`].

use std::error::Error as StdError;
use std::io;
use std::str::Utf8Error;

use chrono::DateTime;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::guard::{GuardError, TOO_MUCH};
use super::resolve::ResolveError;
use crate::postgres_error::{DatabaseError, SqlError};

/// Messages of `getaddrinfo` for a name that does not exist, in glibc, musl and BSD. All its other errors may be temporary.
const NO_SUCH_NAME: [&str; 4] = [
    "not known",
    "does not resolve",
    "No address associated",
    "Name has no usable address",
];

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refused) = error.as_db_error() {
            if refused.code().code() == TOO_MUCH {
                return Self::TooMuchReceived;
            }
            return Self::Sql(Box::new(SqlError {
                sqlstate: refused.code().code().to_owned(),
                message: refused.message().to_owned(),
                detail: refused.detail().map(str::to_owned),
                hint: refused.hint().map(str::to_owned),
                constraint: refused.constraint().map(str::to_owned),
                context: refused.where_().map(str::to_owned),
            }));
        }
        // tokio-postgres' Display hides the cause.
        let causes: Vec<&(dyn StdError + 'static)> =
            std::iter::successors(error.source(), |&cause| cause.source()).collect();
        let innermost = causes
            .last()
            .map_or_else(|| error.to_string(), ToString::to_string);
        if let Some(refusal) = causes.iter().find_map(|cause| tls(*cause)) {
            return Self::Tls(refused(refusal), Box::new(error));
        }
        if let Some(refusal) = causes.iter().find_map(|cause| guard(*cause)) {
            return match refusal {
                GuardError::Auth(_) => Self::Authentication(refusal.to_string(), Box::new(error)),
                GuardError::Protocol => Self::Lost(refusal.to_string(), Some(Box::new(error))),
            };
        }
        // The driver refuses the authentication: the server offers no SCRAM, or does not prove that it knows the password.
        if error.to_string().starts_with("authentication error") {
            return Self::Authentication(innermost, Box::new(error));
        }
        if innermost.contains("does not support TLS") {
            return Self::Tls(innermost, Box::new(error));
        }
        // A message that arrived completely and is not valid text: the connection is intact, and the next attempt gets the
        // same message.
        let is_no_text = causes.iter().any(|cause| cause.is::<Utf8Error>())
            || error.to_string().starts_with("error deserializing");
        if is_no_text {
            return Self::Unreadable(innermost);
        }
        Self::Lost(innermost, Some(Box::new(error)))
    }
}

impl From<ResolveError> for DatabaseError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Lookup(error) => {
                let text = error.to_string();
                // std gives a failed look-up no kind of its own.
                if NO_SUCH_NAME.iter().any(|words| text.contains(words)) {
                    Self::NoSuchHost(Box::new(error))
                } else {
                    Self::Unreachable(text, Some(Box::new(error)))
                }
            }
            ResolveError::Local => Self::LocalAddress,
        }
    }
}

/// An error of the stream's guard.
fn guard<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a GuardError> {
    let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
    inner.downcast_ref()
}

/// A TLS handshake that failed because of its content; an interrupted one is an ordinary I/O error.
fn tls<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    cause
        .downcast_ref()
        .or_else(|| inner.and_then(|inner| inner.downcast_ref()))
}

/// Why the server's certificate is not trusted, for the operator who replaces it or the bundle; for other errors the text
/// of rustls.
fn refused(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(error) = error else {
        return error.to_string();
    };
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "rustls may add to them, and has words for each"
    )]
    match error {
        CertificateError::UnknownIssuer => {
            "the server's certificate is of an authority that is not in the CA bundle".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired on {}", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!(
                "the server's certificate is not valid before {}",
                date(*not_before)
            )
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "the server's certificate is not for {} but for {}",
            expected.to_str(),
            match presented.as_slice() {
                [] => "no host at all".to_owned(),
                names => names
                    .iter()
                    .map(|name| bare(name))
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        ),
        _ => error.to_string(),
    }
}

/// The name in `DnsName("db.example")` or `IpAddress(127.0.0.1)`.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').map(|(_, inner)| inner);
    inner
        .unwrap_or(presented)
        .trim_end_matches(')')
        .trim_matches('"')
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).map_or_else(
        || format!("{seconds} s after 1970"),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// The same error, for a connection that was being opened.
pub(super) fn unreachable(error: tokio_postgres::Error) -> DatabaseError {
    let error = DatabaseError::from(error);
    if let DatabaseError::Lost(text, source) = error {
        return DatabaseError::Unreachable(text, source);
    }
    if let DatabaseError::Sql(refused) = error {
        return DatabaseError::LogIn(refused);
    }
    error
}
