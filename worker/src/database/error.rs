//! tokio-postgres's errors, made into ours.

use std::error::Error as StdError;
use std::io;

use crate::fault::{DatabaseError, SqlError};

/// What `getaddrinfo` says of a name that does not exist, in glibc's, musl's and BSD's words. Anything else that it
/// says may pass.
const NO_SUCH_NAME: [&str; 4] = [
    "not known",
    "does not resolve",
    "No address associated",
    "Name has no usable address",
];

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refused) = error.as_db_error() {
            return Self::Sql(Box::new(SqlError {
                sqlstate: refused.code().code().to_owned(),
                message: refused.message().to_owned(),
                detail: refused.detail().map(str::to_owned),
                hint: refused.hint().map(str::to_owned),
                constraint: refused.constraint().map(str::to_owned),
            }));
        }
        // tokio-postgres' Display hides the cause.
        let causes: Vec<&(dyn StdError + 'static)> =
            std::iter::successors(error.source(), |&cause| cause.source()).collect();
        let innermost = causes
            .last()
            .map_or_else(|| error.to_string(), ToString::to_string);
        if causes.iter().any(is_tls) || innermost.contains("does not support TLS") {
            return Self::Tls(innermost, Box::new(error));
        }
        // std gives a failed look-up no kind of its own.
        let no_such_name = innermost.contains("failed to lookup address")
            && NO_SUCH_NAME.iter().any(|words| innermost.contains(words));
        if no_such_name {
            return Self::NoSuchHost(Box::new(error));
        }
        Self::Lost(innermost, Some(Box::new(error)))
    }
}

/// A handshake that failed for its content; one that was cut off is an ordinary I/O error.
fn is_tls(cause: &&(dyn StdError + 'static)) -> bool {
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

/// The same fault where a connection was to be made.
pub(super) fn unreachable(error: tokio_postgres::Error) -> DatabaseError {
    let fault = DatabaseError::from(error);
    if let DatabaseError::Lost(text, source) = fault {
        return DatabaseError::Unreachable(text, source);
    }
    fault
}
