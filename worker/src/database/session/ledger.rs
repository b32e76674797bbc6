//! What a session reads in the ledger and writes there.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Session;
use crate::database::connection::promptly;
use crate::database::ledger::{self, Entry, ResyncEntry};
use crate::fault::DatabaseError;
use crate::plan::{Ledger, ResourceKey, WholeLedger};

impl Session {
    /// What the ledger says of the resource and of this very request: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn read_ledger(
        &self,
        resource: &ResourceKey,
        request_id: &str,
    ) -> Result<Ledger, DatabaseError> {
        let row = promptly(self.client()?.query_typed_one(
            ledger::READ,
            &[
                (&resource.stack_id, Type::TEXT),
                (&resource.logical_resource_id, Type::TEXT),
                (&request_id, Type::TEXT),
            ],
        ))
        .await?;
        document(&row)
    }

    /// All that the ledger says, and what it keeps of a re-sync: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn read_whole_ledger(&self, resync_id: &str) -> Result<WholeLedger, DatabaseError> {
        let row = promptly(
            self.client()?
                .query_typed_one(ledger::READ_WHOLE, &[(&resync_id, Type::TEXT)]),
        )
        .await?;
        document(&row)
    }

    /// Brings the ledger to the newest form, from the version that was observed.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn migrate_ledger(&mut self, from: Option<u32>) -> Result<(), DatabaseError> {
        let from = from.unwrap_or(0);
        let sql = ledger::migration(from);
        if sql.is_empty() {
            return Ok(());
        }
        let done = promptly(self.client()?.batch_execute(&sql)).await;
        done.map_err(|error| match error.sql() {
            Some(refused) if from > 0 && refused.sqlstate == "42501" => {
                DatabaseError::OlderLedger(from)
            }
            _ => error,
        })?;
        if let Some(client) = &mut self.client {
            client.has_ledger = true;
        }
        Ok(())
    }

    /// Writes the ledger and commits: one round trip. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`]; after a lost connection nobody knows whether it was committed, and the ledger will tell.
    pub async fn commit(mut self, entry: &Entry<'_>) -> Result<(), DatabaseError> {
        let sql = entry.sql() + "COMMIT";
        promptly(self.client()?.batch_execute(&sql)).await?;
        self.is_busy = false;
        Ok(())
    }

    /// Writes what a re-sync came to, and commits: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn commit_resync(mut self, entry: &ResyncEntry<'_>) -> Result<(), DatabaseError> {
        let sql = entry.sql() + "COMMIT";
        promptly(self.client()?.batch_execute(&sql)).await?;
        self.is_busy = false;
        Ok(())
    }

    /// Keeps the answer to a request and commits. Returns the one that counts: the first that was kept.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn keep_response(
        mut self,
        resource: &ResourceKey,
        request_id: &str,
        published_at: DateTime<Utc>,
        response: &str,
    ) -> Result<String, DatabaseError> {
        let client = self.client()?;
        let row = promptly(client.query_typed_one(
            ledger::KEEP_RESPONSE,
            &[
                (&resource.stack_id, Type::TEXT),
                (&resource.logical_resource_id, Type::TEXT),
                (&request_id, Type::TEXT),
                (&published_at.to_rfc3339(), Type::TEXT),
                (&response, Type::TEXT),
            ],
        ))
        .await?;
        let kept = row.try_get(0)?;
        promptly(client.batch_execute("COMMIT")).await?;
        self.is_busy = false;
        Ok(kept)
    }
}

fn document<T: DeserializeOwned>(row: &Row) -> Result<T, DatabaseError> {
    let document: String = row.try_get(0)?;
    serde_json::from_str(&document).map_err(|error| DatabaseError::Unreadable(error.to_string()))
}
