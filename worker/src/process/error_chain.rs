//! An error as one line.

use std::error::Error;

/// The error with all its causes: a log's own way of printing an error leaves them out.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
