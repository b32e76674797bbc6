//! The connection limit of a database, read in another database.

use tokio_postgres::types::Type;

use super::Session;
use crate::postgres::connection::{SILENCE_TIMEOUT, promptly};
use crate::postgres_error::DatabaseError;

impl Session {
    /// The `CONNECTION LIMIT` of a database of the server, -1 for none; `None` if there is no such database.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(in crate::postgres) async fn connection_limit(
        mut self,
        database: &str,
    ) -> Result<Option<i32>, DatabaseError> {
        self.is_busy = true;
        let begin = self.connection()?.start.begin(SILENCE_TIMEOUT);
        promptly(self.client()?.batch_execute(&begin)).await?;
        let rows = promptly(self.client()?.query_typed(
            "SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = $1",
            &[(&database, Type::TEXT)],
        ))
        .await?;
        self.roll_back().await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }
}
