//! One attempt: the first database, then the others, then the databases that an Update no longer names.

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

/// Databases of one request that are processed at the same time: the server has other work, too.
const DATABASES_AT_ONCE: usize = 4;

impl Executor {
    /// Makes an attempt. The ledger of the first database stores the response: it comes before the others, in which nothing
    /// is done if the request already has a response, is superseded or fails for good.
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
            // An idle session would prevent the database from being dropped next.
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
        // A dry run has changed nothing before.
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

    /// Records the response to a failed request, if a database can be reached. Returns the response that was recorded
    /// first, which is the one to send.
    ///
    /// # Errors
    /// [`AttemptError`] if it is not recorded.
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

    /// The physical resource id, and what else a successful response contains.
    fn physical_id_on_success(
        &self,
        execution: &ExecutionRequest<'_>,
        address: &Address,
    ) -> String {
        match execution.header {
            // A dry run moves nothing, even if the secret names another server by now.
            Some(header)
                if execution.deleted || execution.properties.dry_run && execution.old.is_some() =>
            {
                unchanged_id(header)
            }
            Some(_) | None => physical_resource_id(address, execution.request.resource),
        }
    }
}

/// Merges the outcomes of all databases; or returns the error for which another attempt helps least. If the ledger of one
/// of the databases has a response, the request has this response: the list of databases has changed since.
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
