//! Reasons of requests that are not carried out at all.
//!
//! What is wrong with a request or a property is worded by its error's `Display`: the log, the dead-letter queue and the
//! command line print the same words, and the rule and what it asks for stand together in `request`. Only here it becomes a
//! Reason.

use std::error::Error;

use crate::request::{PropertiesError, RequestError};

/// The request is none that could be carried out.
pub(crate) fn of_request_error(error: &RequestError) -> String {
    error.to_string()
}

/// A property is wrong, in a file of the command line.
pub(crate) fn of_properties_error(error: &PropertiesError) -> String {
    error.to_string()
}

/// CloudFormation was not, or cannot be, asked whether the request is one of its own.
pub(crate) fn of_unverified(error: &dyn Error) -> String {
    format!("{error}. Nothing was changed.")
}
