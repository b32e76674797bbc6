//! Reasons of requests that are refused before an attempt.
//!
//! The sentence is the `Display` of the error, because the log, the dead-letter queue and the command line print the same
//! words, and because `request` has the rule and its text in one place.

use std::error::Error;

use crate::request::{PropertiesError, RequestError};

/// The request is not valid.
pub(crate) fn of_request_error(error: &RequestError) -> String {
    error.to_string()
}

/// A property is not valid, in a request or a file of the command line.
pub(crate) fn of_properties_error(error: &PropertiesError) -> String {
    error.to_string()
}

/// CloudFormation did not confirm the request, or cannot be asked about it.
pub(crate) fn of_unverified(error: &dyn Error) -> String {
    format!("{error}. Nothing was changed.")
}
