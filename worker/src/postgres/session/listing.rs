//! The databases of a server.

use super::Session;
use crate::postgres::connection::{SILENCE_TIMEOUT, promptly};
use crate::postgres_error::DatabaseError;

/// The databases of a server, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseNames {
    /// Databases with names that this worker can use.
    pub(crate) usable: Vec<String>,
    /// Databases whose names are not UTF-8, with bytes beyond ASCII as `\xe9`.
    pub(crate) not_utf8: Vec<String>,
}

impl Session {
    /// Lists the databases of the server to which the role may connect, except templates and `rdsadmin`.
    ///
    /// A name is stored in the encoding of the database in which it was given, and a client has to send the same bytes:
    /// therefore names are read without conversion.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn databases(&mut self) -> Result<DatabaseNames, DatabaseError> {
        self.is_busy = true;
        let begin = self.connection()?.start.begin(SILENCE_TIMEOUT);
        let begin = format!("{begin}; SET LOCAL client_encoding = 'SQL_ASCII'");
        promptly(self.client()?.batch_execute(&begin)).await?;
        let rows = promptly(self.client()?.query_typed(
            "SELECT namesend(datname) FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 \
                 AND (datconnlimit <> 0 OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)) \
                 AND has_database_privilege(oid, 'CONNECT') \
                 AND datname NOT IN ('template0', 'template1', 'rdsadmin') ORDER BY datname",
            &[],
        ))
        .await?;
        promptly(self.client()?.batch_execute("ROLLBACK")).await?;
        self.is_busy = false;
        let mut names = DatabaseNames::default();
        for row in &rows {
            match String::from_utf8(row.try_get(0)?) {
                Ok(name) => names.usable.push(name),
                // Plain ASCII, which the ledger of a database of any encoding can store.
                Err(other) => names
                    .not_utf8
                    .push(other.as_bytes().escape_ascii().to_string()),
            }
        }
        Ok(names)
    }
}
