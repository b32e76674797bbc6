//! Reads the results of PostgreSQL's simple query protocol.

use serde::de::DeserializeOwned;
use tokio_postgres::SimpleQueryMessage;

use crate::ledger::{CHANGED, PUBLISHED, UNTRUSTED};
use crate::postgres::transaction::PIN;
use crate::postgres_error::DatabaseError;

/// A query after whose failure the transaction can continue.
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

/// Whether the ledger differs from what was seen before.
pub(super) fn has_changed(error: &DatabaseError) -> bool {
    error
        .sql()
        .is_some_and(|refused| refused.sqlstate == "22P02" && refused.message.contains(CHANGED))
}

/// The row of the last statement. A database with the encoding SQL_ASCII converts nothing: its texts may not be UTF-8.
pub(super) fn last_row(messages: &[SimpleQueryMessage]) -> Result<Option<&str>, DatabaseError> {
    rows(messages).next_back().transpose().map(Option::flatten)
}

/// The server reports that the ledger may not be used, or not be created, by the error of a type conversion.
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
