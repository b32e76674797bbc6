//! Updates whose stages are committed one by one, because PostgreSQL refuses them in one transaction. If a worker ends
//! between two stages, the next one continues from the committed version, and the ledger lists the stages until then.

use std::time::Instant;

use chrono::{DateTime, Utc};
use tracing::info;

use super::transaction::ReconcileError;
use super::{OfferReader, StatementTime, check_scripts, check_scripts_again, unread};
use crate::credentials::secrets::Password;
use crate::extension::{Declaration, ExtensionName, Version};
use crate::ledger::{Ledger, Progress, ProgressEntry, ResourceKey, Stage, newest_version};
use crate::plan::{OfferParts, Step, needs_fresh_session};
use crate::postgres::{Freshness, Pools};
use crate::postgres_error::DatabaseError;
use crate::process::failpoint;
use crate::target::Target;

/// Parameters of the stages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stages<'a> {
    pub(crate) pools: &'a Pools,
    pub(crate) target: &'a Target,
    pub(crate) password: &'a Password,
    /// The resource; for a re-sync [`ResourceKey::resync`].
    pub(crate) resource: &'a ResourceKey,
    /// The request, or the re-sync.
    pub(crate) request_id: &'a str,
    /// `None` for a re-sync.
    pub(crate) published_at: Option<DateTime<Utc>>,
    pub(crate) statement_time: StatementTime,
}

/// Returns the same error; or, if a step was refused because of triggers that an update before it, or the step itself, left
/// pending, the error that the updates have to be committed one by one.
pub(super) fn needed<'s>(
    error: ReconcileError,
    before: impl Iterator<Item = &'s Step>,
) -> ReconcileError {
    let ReconcileError::Database {
        error,
        step: Some(step),
    } = error
    else {
        return error;
    };
    if !error.is_of_pending_triggers() {
        let step = Some(step);
        return ReconcileError::Database { error, step };
    }
    let updates: Vec<Step> = before
        .cloned()
        .chain([(*step).clone()])
        .filter(|step| matches!(step, Step::Update { .. }))
        .collect();
    if updates.is_empty() {
        let step = Some(step);
        return ReconcileError::Database { error, step };
    }
    ReconcileError::StagesNeeded {
        updates,
        error: Some(error),
        step,
    }
}

/// The error that a step has to be carried out as the first statement of a session, if it is such an update.
pub(super) fn check_session(step: &Step) -> Result<(), ReconcileError> {
    if !is_first_statement(step) {
        return Ok(());
    }
    Err(ReconcileError::StagesNeeded {
        updates: vec![step.clone()],
        error: None,
        step: Box::new(step.clone()),
    })
}

fn is_first_statement(step: &Step) -> bool {
    matches!(step, Step::Update { name, .. } if needs_fresh_session(name.as_str()))
}

fn is_decided(ledger: &Ledger) -> bool {
    let request = ledger.request.as_ref();
    request.is_some_and(|request| request.outcome.is_some() || request.response.is_some())
}

impl Stages<'_> {
    /// Carries updates out version by version, each in a transaction of its own. `committed` then lists all committed
    /// stages of the request, including those of earlier deliveries. Returns whether there are any.
    ///
    /// # Errors
    /// [`ReconcileError`], after which the stages in `committed` stay.
    pub(crate) async fn walk(
        &self,
        updates: &[Step],
        committed: &mut Vec<Stage>,
    ) -> Result<bool, ReconcileError> {
        let mut has_done = false;
        for update in updates {
            let Step::Update { name, from, to } = update else {
                continue;
            };
            info!(
                database = self.target.database,
                sql = update.sql(),
                "committed version by version"
            );
            // PostgreSQL's paths have no cycles.
            while let Some(progress) = self.carry_out(name, from, to).await? {
                *committed = progress.stages;
                has_done = true;
            }
        }
        Ok(has_done)
    }

    /// Whether this request, or a newer one, got a result meanwhile.
    fn is_over(&self, ledger: &Ledger) -> bool {
        let newest = ledger
            .resource
            .as_ref()
            .map(|resource| resource.requested_at);
        is_decided(ledger) || newest.is_some_and(|newest| Some(newest) > self.published_at)
    }

    /// The next stage; `None` if nothing is left to do, or the request got a result meanwhile.
    async fn carry_out(
        &self,
        name: &ExtensionName,
        first: &Version,
        to: &Version,
    ) -> Result<Option<Progress>, ReconcileError> {
        let mut session = self.pools.session(self.target, self.password).await?;
        let began = Instant::now();
        let statement_timeout = self.statement_time.timeout();
        let nothing = OfferParts::default();
        let (mut observed, ledger) = session
            .begin_and_read(
                &[],
                statement_timeout,
                self.resource,
                self.request_id,
                &nothing,
            )
            .await?;
        if observed.in_recovery {
            return Err(ReconcileError::ReadOnly);
        }
        if observed.ledger_version != Some(newest_version()) {
            session.migrate_ledger(observed.ledger_version).await?;
        }
        let ledger = match ledger {
            Some(ledger) => ledger,
            None => session.read_ledger(self.resource, self.request_id).await?,
        };
        let installed = observed.installed.get(name.as_str());
        let Some(installed) =
            installed.filter(|installed| installed.version != *to && !self.is_over(&ledger))
        else {
            session.roll_back().await?;
            return Ok(None);
        };
        let from = installed.version.clone();
        // PostgreSQL lists no update path for extensions of pg_tle.
        let on_path = session.first_on_path(name, &from, to).await?;
        let Some(next) = on_path.or_else(|| (from == *first).then(|| to.clone())) else {
            session.roll_back().await?;
            return Ok(None);
        };
        let step = Step::Update {
            name: name.clone(),
            from: from.clone(),
            to: next.clone(),
        };
        let declarations = [Declaration::named(name.clone())];
        let mut offer = OfferReader::new(&declarations, Freshness::Minutes, began);
        // The requirements of the script.
        let versions = OfferParts {
            versions: true,
            ..OfferParts::default()
        };
        unread(offer.add(versions, &mut session, &mut observed).await)?;
        check_scripts(&mut session, std::iter::once(&step), &observed).await?;
        let failed = |error: DatabaseError| ReconcileError::Database {
            error,
            step: Some(Box::new(step.clone())),
        };
        let timeout = self.statement_time.timeout();
        let recorded = if is_first_statement(&step) {
            let first = session.into_first_statement(&step, timeout).await?;
            let begun = self.pools.session_after(first, self.target, self.password);
            session = begun.await.map_err(failed)?;
            // The ledger was not locked for a moment.
            let ledger = session.read_ledger(self.resource, self.request_id).await?;
            if self.is_over(&ledger) {
                session.roll_back().await?;
                return Ok(None);
            }
            ledger
        } else {
            session.apply(&step, timeout).await.map_err(failed)?;
            ledger
        };
        let after = session.observe(&[], &observed).await?;
        check_scripts_again(&session, std::iter::once(&step), &after).await?;
        let reached = after.installed.get(name.as_str());
        if reached.is_none_or(|installed| installed.version != next) {
            return Err(ReconcileError::NotConverged(vec![step]));
        }
        let recorded = recorded.request.and_then(|request| request.progress);
        let mut progress = recorded.unwrap_or_else(|| Progress {
            before: super::outcome::all_versions(&observed),
            stages: Vec::new(),
        });
        progress.stages.push(Stage {
            name: name.clone(),
            from,
            to: next,
        });
        failpoint::at("before-stage-commit");
        session
            .commit_stage(&ProgressEntry {
                resource: self.resource,
                request_id: self.request_id,
                published_at: self.published_at,
                progress: &progress,
            })
            .await?;
        info!(
            database = self.target.database,
            sql = step.sql(),
            "{step}, and committed"
        );
        // A library that a session has loaded stays loaded.
        self.pools.discard_idle(self.target);
        failpoint::at("after-stage");
        Ok(Some(progress))
    }
}
