//! Reads and writes the ledger in a session.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use tokio_postgres::types::Type;

use super::answer::{has_changed, last_row, rows, untrusted};
use super::{LedgerCheck, Session};
use crate::extension::{Declaration, Ensure};
use crate::ledger::{self, Entry, Ledger, ResourceKey, ResyncEntry, WholeLedger, Write};
use crate::postgres::connection::{SILENCE_TIMEOUT, promptly};
use crate::postgres::prepared::Query;
use crate::postgres::transaction::PIN;
use crate::postgres_error::DatabaseError;

/// The sessions that write in the database: one of them holds the name of the ledger's schema.
const WRITERS: &str = "SELECT string_agg(format('process %s of user \"%s\"', pid, usename), ', ' ORDER BY xact_start) \
                       FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL";

impl Session {
    /// Reads the ledger's rows about the resource and this request, with one other owner of each extension: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn read_ledger(
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
                (&declared_names(&[]), Type::TEXT),
            ],
        ))
        .await?;
        ledger_of(row.try_get(0)?, resource)
    }

    /// Reads the whole ledger, and its rows about a re-sync: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn read_whole_ledger(
        &self,
        resync_id: &str,
    ) -> Result<WholeLedger, DatabaseError> {
        let row = promptly(
            self.client()?
                .query_typed_one(ledger::READ_WHOLE, &[(&resync_id, Type::TEXT)]),
        )
        .await?;
        document(row.try_get(0)?)
    }

    /// Migrates the ledger to the newest version, from the version that was observed after the check that it may be used:
    /// `None` if there is no schema.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`DatabaseError::LedgerAppeared`] if another session created one meanwhile.
    pub(crate) async fn migrate_ledger(&mut self, from: Option<u32>) -> Result<(), DatabaseError> {
        let ordinary = self.connection()?.start.ordinary_path();
        let migration = ledger::migration(from, &ordinary, PIN);
        if migration.is_empty() {
            return Ok(());
        }
        let lock = match from {
            None | Some(0) => String::new(),
            Some(_) => format!("{}; {}; ", ledger::LOCK_OLDER, self.check()?),
        };
        let publications = if self.publish_ledger || !self.connection()?.start.server.publishes {
            String::new()
        } else {
            ledger::check_publications()
        };
        let is_new = from.is_none();
        let additions = if is_new {
            ledger::ADDITIONS
        } else {
            ledger::HAS_FOREIGN_GRANTS
        };
        let sql = format!("{publications}{lock}{migration}{additions}");
        let done = promptly(self.client()?.simple_query(&sql)).await;
        let messages = match done.map_err(untrusted) {
            Ok(messages) => messages,
            Err(error) => return Err(self.why_not_made(error).await?),
        };
        let has_none = last_row(&messages)? == Some("0");
        self.ledger_check = if is_new && has_none {
            LedgerCheck::NotNeeded
        } else {
            LedgerCheck::Due
        };
        if !has_none && (!is_new || self.has_foreign_grants().await?) {
            self.revoke_foreign_grants().await?;
        }
        self.connection_mut()?.start.note_ledger(true, true);
        Ok(())
    }

    async fn has_foreign_grants(&self) -> Result<bool, DatabaseError> {
        let query = self.client()?.simple_query(ledger::HAS_FOREIGN_GRANTS);
        Ok(last_row(&promptly(query).await?)? != Some("0"))
    }

    /// Revokes the rights that default privileges granted.
    async fn revoke_foreign_grants(&self) -> Result<(), DatabaseError> {
        let sql = [ledger::RIGHTS_OF_PUBLIC, ledger::FOREIGN_GRANTS].concat();
        let messages = promptly(self.client()?.simple_query(&sql)).await?;
        let revocations = rows(&messages)
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>, _>>()?;
        promptly(self.client()?.batch_execute(&revocations.join("; "))).await
    }

    /// Another session may have created the schema since, or hold its name in an open transaction.
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

    /// Writes the ledger and commits, if the ledger may still be used: one round trip, or two if it is not as the worker
    /// created it. If no code of other roles has run since the beginning of the transaction, the ledger is unchanged,
    /// because it is locked. If this transaction created it, and nothing else in the database can have changed it since, it
    /// is as created.
    pub(super) async fn write_and_commit(mut self, writes: &[Write]) -> Result<(), DatabaseError> {
        let start = &self.connection()?.start;
        let mut sql = String::new();
        if self.ledger_check != LedgerCheck::Passed {
            sql.push_str(&format!("{PIN}; "));
        }
        let mut names = Vec::new();
        for Write {
            name,
            sql: write,
            arguments,
        } in writes
        {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let query = Query {
                name: name.unwrap_or_default(),
                parameters: arguments.len(),
                sql: write,
            };
            let write = match name {
                Some(name) => {
                    names.push(*name);
                    start.run_and_prepare(query, &arguments)
                }
                None => query.plain(&arguments),
            };
            sql.push_str(&format!("{write}; "));
        }
        let is_check_due = self.ledger_check == LedgerCheck::Due;
        let may_be_altered = is_check_due && start.expects_as_made();
        if may_be_altered {
            sql.push_str("SAVEPOINT before_check; ");
        }
        if is_check_due {
            sql.push_str(&format!("{}; ", start.check_once_more()));
        }
        sql.push_str("COMMIT");
        let done = promptly(self.client()?.simple_query(&sql)).await;
        let done = match done {
            Err(error) if may_be_altered && has_changed(&error) => {
                self.connection_mut()?.start.note_altered();
                let sql = format!(
                    "ROLLBACK TO SAVEPOINT before_check; {PIN}; {}; COMMIT",
                    self.check()?
                );
                promptly(self.client()?.simple_query(&sql)).await
            }
            done => done,
        };
        let messages = done.map_err(untrusted)?;
        let start = &mut self.connection_mut()?.start;
        if let Some(mark) = last_row(&messages)? {
            start.note_mark(mark);
        }
        start.note_prepared(&names);
        self.ledger_check = LedgerCheck::Due;
        self.is_busy = false;
        Ok(())
    }

    /// Writes the ledger and commits: one round trip. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`]; after a lost connection it is not known whether the transaction was committed: the next attempt
    /// reads that in the ledger.
    pub(crate) async fn commit(self, entry: &Entry<'_>) -> Result<(), DatabaseError> {
        self.write_and_commit(&entry.writes()).await
    }

    /// Writes the result of a re-sync, and commits: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn commit_resync(self, entry: &ResyncEntry<'_>) -> Result<(), DatabaseError> {
        self.write_and_commit(&entry.writes()).await
    }

    /// Records the response to a request and commits. Returns the response that was recorded first, which is the one to
    /// send.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn record_response(
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
        self.write_and_commit(&[]).await?;
        Ok(ledger::kept(&kept).into_owned())
    }
}

/// The names of the extensions that are to be installed, as JSON, for [`ledger::READ`].
pub(super) fn declared_names(declarations: &[Declaration]) -> String {
    let present = declarations
        .iter()
        .filter(|declaration| declaration.ensure == Ensure::Present)
        .map(|declaration| declaration.name.as_str());
    serde_json::Value::from_iter(present).to_string()
}

/// Parses the result of [`ledger::READ`].
pub(super) fn ledger_of(text: &str, resource: &ResourceKey) -> Result<Ledger, DatabaseError> {
    ledger::read_ledger(text, resource)
        .map_err(|error| DatabaseError::Unreadable(error.to_string()))
}

pub(super) fn document<T: DeserializeOwned>(text: &str) -> Result<T, DatabaseError> {
    ledger::read(text).map_err(|error| DatabaseError::Unreadable(error.to_string()))
}
