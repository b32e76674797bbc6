//! What a session reads in the ledger and writes there.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use super::Session;
use super::answer::{last_row, untrusted};
use crate::ledger::{self, Entry, Ledger, ResourceKey, ResyncEntry, WholeLedger};
use crate::postgres::connection::{SILENCE_TIMEOUT, promptly};
use crate::postgres::transaction::PIN;
use crate::postgres_error::DatabaseError;

/// The sessions that write in the database: one of them holds the name of the ledger's schema.
const WRITERS: &str = "SELECT string_agg(format('process %s of user \"%s\"', pid, usename), ', ' ORDER BY xact_start) \
                       FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL";

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
        document(row.try_get(0)?)
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
        document(row.try_get(0)?)
    }

    /// Brings the ledger to the newest form, from the version that was observed behind the check that it may be used: none
    /// where there is no schema.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`DatabaseError::LedgerAppeared`] where another session made one meanwhile.
    pub async fn migrate_ledger(&mut self, from: Option<u32>) -> Result<(), DatabaseError> {
        let ordinary = self.connection()?.start.ordinary_path();
        let migration = ledger::migration(from, &ordinary, PIN);
        if migration.is_empty() {
            return Ok(());
        }
        let lock = match from {
            None | Some(0) => String::new(),
            Some(_) => format!("{}; {}; ", ledger::LOCK_OLDER, self.check()?),
        };
        let publications = if self.publish_ledger {
            String::new()
        } else {
            ledger::check_publications()
        };
        let sql = format!("{publications}{lock}{migration}{}", ledger::FOREIGN_GRANTS);
        let done = promptly(self.client()?.simple_query(&sql)).await;
        let messages = match done.map_err(untrusted) {
            Ok(messages) => messages,
            Err(error) => return Err(self.why_not_made(error).await?),
        };
        // Of the last statement alone: those before it answer with rows too.
        let revocations: Vec<&str> = messages
            .iter()
            .rev()
            .skip(1)
            .map_while(|message| {
                if let SimpleQueryMessage::Row(row) = message {
                    row.try_get(0).ok().flatten()
                } else {
                    None
                }
            })
            .collect();
        if !revocations.is_empty() {
            promptly(self.client()?.batch_execute(&revocations.join("; "))).await?;
        }
        self.connection_mut()?.start.note_ledger(true, true);
        Ok(())
    }

    /// Another session may have made the schema since, or hold its name in a transaction that goes on.
    async fn why_not_made(&self, error: DatabaseError) -> Result<DatabaseError, DatabaseError> {
        match error.sql().map(|refused| refused.sqlstate.as_str()) {
            Some("42P06") => Ok(DatabaseError::LedgerAppeared),
            Some("55P03") => {
                let begin = self.connection()?.start.begin(SILENCE_TIMEOUT);
                let sql = format!("ROLLBACK; {begin}; {WRITERS}");
                let messages = promptly(self.client()?.simple_query(&sql)).await?;
                let writers = last_row(&messages)?.map(str::to_owned);
                Ok(writers.map_or(error, DatabaseError::LedgerLocked))
            }
            _ => {
                if let DatabaseError::Sql(refused) = error {
                    return Ok(DatabaseError::LedgerNotMade(refused));
                }
                Ok(error)
            }
        }
    }

    fn check(&self) -> Result<String, DatabaseError> {
        Ok(self.connection()?.start.check())
    }

    /// Writes and commits, where the ledger may be used still: one round trip.
    pub(super) async fn write_and_commit(mut self, sql: &str) -> Result<(), DatabaseError> {
        let check = self.connection()?.start.check_once_more();
        let sql = format!("{PIN}; {sql}{check}; COMMIT");
        let done = promptly(self.client()?.batch_execute(&sql)).await;
        done.map_err(untrusted)?;
        self.is_busy = false;
        Ok(())
    }

    /// Writes the ledger and commits: one round trip. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`]; after a lost connection it is not known whether it was committed: the next attempt reads that in the ledger.
    pub async fn commit(self, entry: &Entry<'_>) -> Result<(), DatabaseError> {
        self.write_and_commit(&entry.sql()).await
    }

    /// Writes what a re-sync came to, and commits: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn commit_resync(self, entry: &ResyncEntry<'_>) -> Result<(), DatabaseError> {
        self.write_and_commit(&entry.sql()).await
    }

    /// Keeps the answer to a request and commits. Returns the one that counts: the first that was kept.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn record_response(
        self,
        resource: &ResourceKey,
        request_id: &str,
        published_at: DateTime<Utc>,
        response: &str,
    ) -> Result<String, DatabaseError> {
        let client = self.client()?;
        let response = ledger::keep(response);
        let row = promptly(client.query_typed_one(
            ledger::RECORD_RESPONSE,
            &[
                (&resource.stack_id, Type::TEXT),
                (&resource.logical_resource_id, Type::TEXT),
                (&request_id, Type::TEXT),
                (&published_at.to_rfc3339(), Type::TEXT),
                (&response, Type::TEXT),
            ],
        ))
        .await?;
        let kept: String = row.try_get(0)?;
        self.write_and_commit("").await?;
        Ok(ledger::kept(&kept).into_owned())
    }
}

pub(super) fn document<T: DeserializeOwned>(text: &str) -> Result<T, DatabaseError> {
    ledger::read(text).map_err(|error| DatabaseError::Unreadable(error.to_string()))
}
