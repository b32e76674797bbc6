//! Applies the steps of a plan.

use std::time::Duration;

use futures_util::future::try_join;

use super::{LedgerCheck, Session};
use crate::plan::{DropMode, Step};
use crate::postgres::connection::{SILENCE_TIMEOUT, promptly};
use crate::postgres_error::DatabaseError;

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It was applied.
    Done,
    /// Nothing was dropped, because something depends on the extension: PostgreSQL's DETAIL.
    InUse(String),
}

/// The result of a step that PostgreSQL may refuse.
#[derive(Debug)]
pub(crate) enum Tried {
    /// It was applied.
    Applied(Applied),
    /// PostgreSQL refused it, and the transaction continues without it.
    Refused(DatabaseError),
}

impl Session {
    /// Applies a step, for at most `statement_timeout`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn apply(
        &mut self,
        step: &Step,
        statement_timeout: Duration,
    ) -> Result<Applied, DatabaseError> {
        let sql = step.sql();
        // Code of other roles may run inside a step, too, and may prepare statements under the worker's names.
        if self.ledger_check == LedgerCheck::Passed {
            self.ledger_check = LedgerCheck::Due;
        }
        self.connection_mut()?.start.distrust_prepared();
        let may_stay = matches!(
            step,
            Step::Drop {
                mode: DropMode::IfUnused,
                ..
            }
        );
        if let Step::Recreate { .. } = step {
            self.recreate(step, statement_timeout).await?;
            return Ok(Applied::Done);
        }
        if let Step::Drop {
            mode: DropMode::IfUnused | DropMode::Restrict,
            ..
        } = step
            && let Some(rows) = self.rows(step, false).await?
        {
            return if may_stay {
                Ok(Applied::InUse(rows))
            } else {
                Err(DatabaseError::ConfigurationRows(rows))
            };
        }
        // A timeout that is set in a message does not apply to the rest of that message: two messages, sent together.
        let timeout = self.step_settings(statement_timeout)?;
        let client = self.client()?;
        if !may_stay {
            try_join(client.batch_execute(&timeout), client.batch_execute(&sql)).await?;
            if let Step::Package { name, .. } = step {
                self.check_packaged(name.as_str()).await?;
            }
            return Ok(Applied::Done);
        }
        let begin = format!("{timeout}; SAVEPOINT before_drop");
        client.batch_execute(&begin).await?;
        match self
            .client()?
            .batch_execute(&sql)
            .await
            .map_err(DatabaseError::from)
        {
            Ok(()) => Ok(Applied::Done),
            Err(error) => match error.sql() {
                Some(refused) if refused.sqlstate == "2BP01" => {
                    self.client()?
                        .batch_execute("ROLLBACK TO SAVEPOINT before_drop")
                        .await?;
                    let detail = refused
                        .detail
                        .clone()
                        .unwrap_or_else(|| refused.message.clone());
                    Ok(Applied::InUse(detail.replace('\n', "; ")))
                }
                _ => Err(error),
            },
        }
    }

    /// The settings under which a step runs. The time that earlier steps took is subtracted.
    pub(super) fn step_settings(
        &self,
        statement_timeout: Duration,
    ) -> Result<String, DatabaseError> {
        // A SET with a different number each time would be a different statement each time for pg_stat_statements.
        Ok(format!(
            "{}; SELECT pg_catalog.set_config('statement_timeout', '{}', true)",
            self.connection()?.start.ordinary_path(),
            statement_timeout.as_millis().max(1)
        ))
    }

    /// Applies a step as [`Self::apply`] does, after a savepoint: if PostgreSQL refuses it, the transaction continues
    /// without it.
    ///
    /// # Errors
    /// [`DatabaseError`], after which the transaction cannot continue.
    pub(crate) async fn try_apply(
        &mut self,
        step: &Step,
        statement_timeout: Duration,
    ) -> Result<Tried, DatabaseError> {
        promptly(self.client()?.batch_execute("SAVEPOINT before_step")).await?;
        // The server ends a statement in time, unless it stops answering.
        let applied = tokio::time::timeout(
            statement_timeout + SILENCE_TIMEOUT,
            self.apply(step, statement_timeout),
        );
        let applied = applied.await.unwrap_or_else(|_| {
            let silence = format!(
                "no answer within {} s",
                (statement_timeout + SILENCE_TIMEOUT).as_secs()
            );
            Err(DatabaseError::Lost(silence, None))
        });
        match applied {
            Ok(applied) => Ok(Tried::Applied(applied)),
            Err(error)
                if error.sql().is_some()
                    || matches!(
                        error,
                        DatabaseError::NotRecreated(_) | DatabaseError::NotPackaged(_)
                    ) =>
            {
                let back = "ROLLBACK TO SAVEPOINT before_step";
                promptly(self.client()?.batch_execute(back)).await?;
                Ok(Tried::Refused(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Rolls back to the savepoint of the last [`Self::try_apply`]; the transaction continues.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn roll_back_step(&mut self) -> Result<(), DatabaseError> {
        let back = "ROLLBACK TO SAVEPOINT before_step";
        promptly(self.client()?.batch_execute(back)).await
    }
}
