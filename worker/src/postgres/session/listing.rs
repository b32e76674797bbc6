//! The databases of a server.

use super::Session;
use crate::postgres::connection::{SILENCE_TIMEOUT, promptly};
use crate::postgres_error::DatabaseError;

/// The databases of a server, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseNames {
    /// Those that a client of this worker's kind can name.
    pub(crate) usable: Vec<String>,
    /// Those whose names are not UTF-8, with bytes beyond ASCII as `\xe9`.
    pub(crate) not_utf8: Vec<String>,
}

impl Session {
    /// The databases of the server that accept the role's connections, templates and `rdsadmin` excepted.
    ///
    /// A name is kept in the encoding of the database that it was given in, and a client finds it by just its bytes: they
    /// are read without a conversion.
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
                // Plain ASCII: the ledger of a database in any encoding takes it.
                Err(other) => names
                    .not_utf8
                    .push(other.as_bytes().escape_ascii().to_string()),
            }
        }
        Ok(names)
    }
}
