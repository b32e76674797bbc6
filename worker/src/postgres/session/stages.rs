//! One stage of an update in a session.

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
    /// The first version on PostgreSQL's update path from one version to another; `None` if there is no path.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn first_on_path(
        &self,
        name: &ExtensionName,
        from: &Version,
        to: &Version,
    ) -> Result<Option<Version>, DatabaseError> {
        // The separator cannot occur in a version or at its ends.
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

    /// Ends the transaction, in which at most the ledger was created, and returns the parameters of a new session whose
    /// first statement is the step.
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

    /// Writes the stages up to now and commits: one round trip. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`]; after a lost connection it is not known whether the transaction was committed: the next
    /// observation shows it.
    pub(crate) async fn commit_stage(self, entry: &ProgressEntry<'_>) -> Result<(), DatabaseError> {
        self.write_and_commit(&entry.writes()).await
    }
}
