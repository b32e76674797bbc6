//! What a session does for one stage of an update.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::Session;
use crate::extension::{ExtensionName, Version};
use crate::ledger::ProgressEntry;
use crate::plan::Step;
use crate::postgres::FirstStatement;
use crate::postgres::connection::promptly;
use crate::postgres_error::DatabaseError;

impl Session {
    /// The version that PostgreSQL goes to first on the way from one to another; none where it knows no way.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn first_on_path(
        &self,
        name: &ExtensionName,
        from: &Version,
        to: &Version,
    ) -> Result<Option<Version>, DatabaseError> {
        // Neither a version nor its ends hold what stands between two of them.
        let rows = promptly(self.client()?.query_typed(
            "SELECT pg_catalog.split_part(path, '--', 2) FROM pg_catalog.pg_extension_update_paths($1::text::name) \
             WHERE source = $2 AND target = $3 AND path IS NOT NULL",
            &[
                (&name.as_str(), Type::TEXT),
                (&from.as_str(), Type::TEXT),
                (&to.as_str(), Type::TEXT),
            ],
        ))
        .await?;
        let first: Option<String> = rows.first().map(|row| row.try_get(0)).transpose()?;
        let first = first.as_deref().map(Version::parse).transpose();
        first.map_err(|error| DatabaseError::Unreadable(format!("a version {error}")))
    }

    /// Ends the transaction, in which nothing was done but that the ledger may have been made, and says what a new session is
    /// to begin with, in which the step is the first statement.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn into_first_statement(
        self,
        step: &Step,
        statement_timeout: Duration,
    ) -> Result<FirstStatement, DatabaseError> {
        let start = &self.connection()?.start;
        let first = start.first_statement(&step.sql(), statement_timeout);
        self.write_and_commit(&[]).await?;
        Ok(first)
    }

    /// Writes what was done so far and commits: one round trip. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`]; after a lost connection it is not known whether it was committed: the next look shows it.
    pub(crate) async fn commit_stage(self, entry: &ProgressEntry<'_>) -> Result<(), DatabaseError> {
        self.write_and_commit(&entry.writes()).await
    }
}
