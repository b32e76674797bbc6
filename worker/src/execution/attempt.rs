//! One attempt: the first database, then the others, then the databases that an Update leaves.

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};

use super::databases::ResolvedTarget;
use super::error::AttemptError;
use super::{AttemptOutcome, ExecutionRequest, Executor};
use crate::plan::DatabaseOutcome;
use crate::postgres_error::Class;
use crate::reconcile::transaction::ReconcileResult;
use crate::request::Properties;
use crate::response::{Response, SuccessTemplate, physical_resource_id, reason, unchanged_id};
use crate::target::Address;

/// Databases of one request that are worked on at the same time: a server has other things to do.
const DATABASES_AT_ONCE: usize = 4;

impl Executor {
    /// Makes an attempt. The first database keeps the answer: it comes before the others, which nothing is done in where
    /// the request was answered before, is superseded or fails for good.
    ///
    /// # Errors
    /// [`AttemptError`].
    pub(crate) async fn attempt(
        &self,
        execution: &ExecutionRequest<'_>,
    ) -> Result<AttemptOutcome, AttemptError> {
        let moved_from = execution
            .old
            .filter(|old| !old.has_same_target(execution.properties));
        if execution.properties.dry_run && moved_from.is_some() {
            return Err(AttemptError::DryRunThatMoves);
        }
        let resolved = self.resolve_target(execution).await?;
        let end = self.attempt_at(execution, &resolved, moved_from).await;
        if execution.deleted {
            // An idle session would keep the database from being dropped next.
            for database in &resolved.databases {
                self.pools.remove(&resolved.login.target(database));
            }
        }
        end
    }

    pub(super) async fn attempt_at(
        &self,
        execution: &ExecutionRequest<'_>,
        resolved: &ResolvedTarget,
        moved_from: Option<&Properties>,
    ) -> Result<AttemptOutcome, AttemptError> {
        let ResolvedTarget {
            login, databases, ..
        } = resolved;
        let [home, others @ ..] = databases.as_slice() else {
            return Err(AttemptError::NoDatabases);
        };
        let id = self.physical_id_on_success(execution, &login.address);
        let success_template = execution.header.map(|header| SuccessTemplate {
            header,
            properties: execution.properties,
            physical_resource_id: &id,
        });
        let is_all = others.is_empty() && moved_from.is_none() && resolved.skipped.is_empty();
        let at_home = self.in_database(execution, login, home);
        let ended = at_home.reconcile_or_release(success_template.filter(|_| is_all));
        let mut outcomes = match ended.await? {
            ReconcileResult::Answered(response) => return Ok(AttemptOutcome::Answered(response)),
            ReconcileResult::Outcome(outcome) => vec![(home.clone(), outcome)],
        };

        let mut reconciliations = Vec::new();
        for database in others {
            let database = self.in_database(execution, login, database);
            reconciliations.push(database.reconcile_or_release(None).boxed());
        }
        let results = stream::iter(reconciliations)
            .buffered(DATABASES_AT_ONCE)
            .collect()
            .await;
        let together = merge(others, results, &mut outcomes);
        // A dry run did nothing before.
        let is_dry = execution.properties.dry_run && !execution.deleted;
        let together = together.map_err(|error| match is_dry {
            true => error,
            false => error.after(&outcomes),
        });
        if let Some(response) = together? {
            return Ok(AttemptOutcome::Answered(response));
        }
        let skipped = resolved.skipped.iter().map(|name| reason::of_skipped(name));
        if let Some((_, outcome)) = outcomes.first_mut() {
            outcome.notes.extend(skipped);
        }
        if let Some(old) = moved_from {
            self.release_previous_target(execution, old, resolved)
                .await
                .map_err(|error| error.after(&outcomes))?;
        }
        let Some(success_template) = success_template else {
            return Ok(AttemptOutcome::Done(
                resolved.login.address.clone(),
                outcomes,
            ));
        };
        let response = success_template.success(&outcomes);
        if execution.properties.dry_run && !execution.deleted {
            return Ok(AttemptOutcome::Answered(response));
        }
        let recorded = at_home.record_response(&response).await?;
        Ok(AttemptOutcome::Answered(recorded))
    }

    /// Keeps the answer to a request that failed, where it can be. Returns the one that counts: the first that was kept.
    ///
    /// # Errors
    /// [`AttemptError`], where it is not kept.
    pub(crate) async fn record_failure(
        &self,
        execution: &ExecutionRequest<'_>,
        response: &Response,
    ) -> Result<Response, AttemptError> {
        let resolved = self.resolve_target(execution).await?;
        match resolved.databases.first() {
            Some(home) => {
                let home = self.in_database(execution, &resolved.login, home);
                home.record_response(response).await
            }
            None => Ok(response.clone()),
        }
    }

    /// What a success calls the resource.
    fn physical_id_on_success(
        &self,
        execution: &ExecutionRequest<'_>,
        address: &Address,
    ) -> String {
        match execution.header {
            // A dry run moves nothing, not even where the secret leads elsewhere by now.
            Some(header)
                if execution.deleted || execution.properties.dry_run && execution.old.is_some() =>
            {
                unchanged_id(header)
            }
            Some(_) | None => physical_resource_id(address, execution.request.resource),
        }
    }
}

/// Adds every outcome; or of the troubles the one that trying again helps least. Where
/// one of the databases keeps an answer, the request was answered with it: the list of databases changed since.
fn merge(
    databases: &[String],
    results: Vec<Result<ReconcileResult, AttemptError>>,
    outcomes: &mut Vec<(String, DatabaseOutcome)>,
) -> Result<Option<Response>, AttemptError> {
    let mut errors = Vec::new();
    for (database, result) in databases.iter().zip(results) {
        match result {
            Ok(ReconcileResult::Outcome(outcome)) => outcomes.push((database.clone(), outcome)),
            Ok(ReconcileResult::Answered(response)) => return Ok(Some(response)),
            Err(error) => errors.push(error),
        }
    }
    let worst = errors
        .into_iter()
        .min_by_key(|error| error.class() == Class::Transient);
    match worst {
        Some(error) => Err(error),
        None => Ok(None),
    }
}
