//! The beginning of a transaction, and the queries in the same round trip.

use std::time::{Duration, Instant};

use futures_util::future::{OptionFuture, join3};

use super::answer::{alone, has_changed, last_row, no_row, rows, untrusted};
use super::{LedgerCheck, Session, ledger};
use crate::extension::{Declaration, Observed};
use crate::ledger::{Ledger, ResourceKey, newest_version};
use crate::plan::OfferParts;
use crate::postgres::connection::promptly;
use crate::postgres::{observe, offer};
use crate::postgres_error::DatabaseError;

/// Fails outside a transaction: the statements after it do not run if BEGIN failed.
pub(super) const IN_TRANSACTION: &str = "SAVEPOINT begun; RELEASE SAVEPOINT begun";

/// Number of attempts to begin a transaction while other sessions create and drop the ledger, each with a larger check.
const LOOKS: u32 = 4;

/// The sessions that hold the lock of the ledger.
const HOLDERS: &str = "SELECT string_agg(format('process %s of user \"%s\"', l.pid, a.usename), ', ') \
                       FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
                       WHERE l.relation = to_regclass('extension_worker.ledger') AND l.granted \
                       AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') AND l.pid <> pg_backend_pid() \
                       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

impl Session {
    /// Begins the transaction, takes the lock of the ledger if there is one, has the server check whether the ledger may be
    /// used, and observes the database, with the schemas of `declarations`: one round trip.
    ///
    /// `statement_timeout` applies to each statement.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn begin(
        &mut self,
        declarations: &[Declaration],
        statement_timeout: Duration,
    ) -> Result<Observed, DatabaseError> {
        let nothing = OfferParts::default();
        let begun = self.begin_with(declarations, statement_timeout, None, &nothing);
        begun.await.map(|(observed, _)| observed)
    }

    /// The same, and in the same round trip reads the ledger and the `parts` of the server's offer, for
    /// [`Self::read_offer`]. Returns no ledger if there is none of the newest version.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn begin_and_read(
        &mut self,
        declarations: &[Declaration],
        statement_timeout: Duration,
        resource: &ResourceKey,
        request_id: &str,
        parts: &OfferParts,
    ) -> Result<(Observed, Option<Ledger>), DatabaseError> {
        let declared = ledger::declared_names(declarations);
        let arguments = [
            resource.stack_id.as_str(),
            resource.logical_resource_id.as_str(),
            request_id,
            declared.as_str(),
        ];
        let read = Some((resource, arguments));
        self.begin_with(declarations, statement_timeout, read, parts)
            .await
    }

    /// The ledger is read after the check that it may be used: if the check fails, no later statement runs.
    async fn begin_with(
        &mut self,
        declarations: &[Declaration],
        statement_timeout: Duration,
        read: Option<(&ResourceKey, [&str; 4])>,
        parts: &OfferParts,
    ) -> Result<(Observed, Option<Ledger>), DatabaseError> {
        self.is_busy = true;
        self.ledger_check = LedgerCheck::Due;
        let offer = (!parts.is_empty()).then(|| alone(&offer::query(parts)));
        let schemas = observe::schemas_of(declarations);
        for _ in 0..LOOKS {
            let start = &self.connection()?.start;
            // A timeout that is set in a message does not apply to the rest of that message: therefore several messages,
            // sent together.
            let begin = start.begin(statement_timeout);
            let (look, names) = start.look(&schemas, read.map(|(_, arguments)| arguments));
            let look = format!("{IN_TRANSACTION}; {look}");
            let client = self.client()?;
            let read_at = Instant::now();
            let looked = promptly(async {
                let offered =
                    OptionFuture::from(offer.as_ref().map(|sql| client.simple_query(sql)));
                let (begun, looked, offered) = join3(
                    client.batch_execute(&begin),
                    client.simple_query(&look),
                    offered,
                )
                .await;
                begun.map(|()| (looked, offered))
            });
            let (looked, offered) = match looked.await {
                // A statement is no longer prepared: there is a pooler after all.
                Err(error) if error.code() == "26000" => {
                    promptly(self.client()?.batch_execute("ROLLBACK")).await?;
                    self.connection_mut()?.start.distrust_prepared();
                    continue;
                }
                looked => looked?,
            };
            let found = match looked {
                Ok(messages) => {
                    let start = &mut self.connection_mut()?.start;
                    let mut rows = rows(&messages);
                    let mut next = || rows.next().transpose().map(Option::flatten);
                    let mark = next()?;
                    let observed = next()?.ok_or_else(no_row)?;
                    let observed = observe::read(observed, &start.server)?;
                    let is_expected =
                        start.has_ledger() == (observed.ledger_version == Some(newest_version()));
                    if is_expected {
                        if let Some(mark) = mark.filter(|_| start.has_ledger()) {
                            start.note_mark(mark);
                        }
                        let ledger = match (next()?, read) {
                            (Some(document), Some((resource, _))) => {
                                Some(ledger::ledger_of(document, resource)?)
                            }
                            _ => None,
                        };
                        start.note_begun(&names);
                        if start.has_ledger() {
                            self.ledger_check = LedgerCheck::Passed;
                        }
                        if let Some(offered) = offered {
                            self.keep_offer(parts, offered, read_at).await?;
                        }
                        return Ok((observed, ledger));
                    }
                    (observed.ledger_version.is_some(), !start.has_ledger())
                }
                Err(error) => {
                    let error = DatabaseError::from(error);
                    if has_changed(&error) {
                        self.connection_mut()?.start.note_changed();
                    }
                    self.why_not_begun(error, statement_timeout).await?
                }
            };
            promptly(self.client()?.batch_execute("ROLLBACK")).await?;
            self.connection_mut()?.start.note_ledger(found.0, found.1);
        }
        Err(DatabaseError::LedgerAppeared)
    }

    /// Why the beginning failed; or, if it has to be repeated, whether there now is a schema and a ledger of the newest
    /// version.
    async fn why_not_begun(
        &self,
        error: DatabaseError,
        statement_timeout: Duration,
    ) -> Result<(bool, bool), DatabaseError> {
        let start = &self.connection()?.start;
        let has_ledger = start.has_ledger();
        match error.sql().map(|refused| refused.sqlstate.as_str()) {
            Some("22P02") if has_changed(&error) => Ok((true, has_ledger)),
            Some("42P01" | "3F000") if has_ledger => Ok((true, false)),
            // First asks whether the lock is the problem: a session that holds it, or an error that refuses it, may concern
            // a schema that is not the worker's.
            Some("55P03" | "42501") if has_ledger => {
                let sql = format!(
                    "ROLLBACK; {}; {}; {HOLDERS}",
                    start.begin(statement_timeout),
                    start.check()
                );
                let messages = promptly(self.client()?.simple_query(&sql)).await;
                let messages = messages.map_err(untrusted)?;
                match last_row(&messages)? {
                    Some(holders) => Err(DatabaseError::LedgerLocked(holders.to_owned())),
                    None => Err(error),
                }
            }
            _ => Err(untrusted(error)),
        }
    }

    /// Observes again, after the steps of a plan: one round trip. The server's offer is not read again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn observe(
        &mut self,
        declarations: &[Declaration],
        before: &Observed,
    ) -> Result<Observed, DatabaseError> {
        let start = &self.connection()?.start;
        let sql = start.look_again(&observe::schemas_of(declarations));
        let messages = promptly(self.client()?.simple_query(&sql)).await?;
        let document = last_row(&messages)?.ok_or_else(no_row)?;
        Ok(Observed {
            catalog: before.catalog.clone(),
            ..observe::read(document, &start.server)?
        })
    }
}
