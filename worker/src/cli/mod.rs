//! What a person runs: one request on this machine, and a re-sync of a fleet by its workers.

pub(crate) mod input;
pub mod local;
pub mod resync;

use std::io::{self, Write as _};

/// Prints the query that answers with what a server offers.
///
/// # Errors
/// Where standard output is closed.
pub fn offer_query() -> io::Result<()> {
    writeln!(io::stdout(), "{}", crate::postgres::OFFER_QUERY)
}
