//! What is read in the answers of PostgreSQL's simple query protocol.

use serde::de::DeserializeOwned;
use tokio_postgres::SimpleQueryMessage;

use crate::ledger::{CHANGED, PUBLISHED, UNTRUSTED};
use crate::postgres::transaction::PIN;
use crate::postgres_error::DatabaseError;

/// A query behind whose failure the transaction can go on.
pub(super) fn alone(query: &str) -> String {
    format!("SAVEPOINT before_query; {PIN}; {query}; RELEASE SAVEPOINT before_query")
}

pub(super) fn no_row() -> DatabaseError {
    DatabaseError::Unreadable("no row".to_owned())
}

pub(super) fn document<T: DeserializeOwned>(text: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(text).map_err(|error| DatabaseError::Unreadable(error.to_string()))
}

/// The first column of each row, of all statements.
pub(super) fn rows(
    messages: &[SimpleQueryMessage],
) -> impl DoubleEndedIterator<Item = Result<Option<&str>, DatabaseError>> {
    messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.try_get(0).map_err(DatabaseError::from)),
        SimpleQueryMessage::CommandComplete(_) | SimpleQueryMessage::RowDescription(_) | _ => None,
    })
}

/// Whether the ledger is another one than was seen before.
pub(super) fn has_changed(error: &DatabaseError) -> bool {
    error
        .sql()
        .is_some_and(|refused| refused.sqlstate == "22P02" && refused.message.contains(CHANGED))
}

/// Of several statements the last one's row is wanted. A database of encoding SQL_ASCII converts nothing: what it holds may
/// be no UTF-8.
pub(super) fn last_row(messages: &[SimpleQueryMessage]) -> Result<Option<&str>, DatabaseError> {
    rows(messages).next_back().transpose().map(Option::flatten)
}

/// The server's decision that the ledger may not be used, or made, comes as an error of a conversion.
pub(super) fn untrusted(error: DatabaseError) -> DatabaseError {
    if has_changed(&error) {
        return DatabaseError::LedgerAppeared;
    }
    let said = |mark: &str| {
        let refused = error.sql().filter(|refused| refused.sqlstate == "22P02")?;
        let (_, problem) = refused.message.split_once(mark)?;
        Some(problem.strip_suffix('"').unwrap_or(problem).to_owned())
    };
    if let Some(problem) = said(UNTRUSTED) {
        return DatabaseError::UntrustedLedger(problem);
    }
    match said(PUBLISHED) {
        Some(publication) => DatabaseError::PublishedLedger(publication),
        None => error,
    }
}
