//! One attempt: the first database, then the others, then the databases that an Update leaves.

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tracing::warn;

use super::databases::ResolvedTarget;
use super::error::AttemptError;
use super::{AttemptOutcome, ExecutionRequest, Executor};
use crate::credentials::login::Login;
use crate::plan::DatabaseOutcome;
use crate::postgres_error::Class;
use crate::reconcile::transaction::{Goal, ReconcileResult, Reconciliation};
use crate::reconcile::{reconcile, record_response};
use crate::request::{OnUnreachableDelete, Properties};
use crate::response::{Response, SuccessTemplate, physical_resource_id, reason, unchanged_id};
use crate::target::{Address, Target};

/// Databases of one request that are worked on at the same time: a server has other things to do.
const DATABASES_AT_ONCE: usize = 4;

impl Executor {
    /// Makes an attempt. The first database keeps the answer: it comes before the others, which nothing is done in where
    /// the request was answered before, is superseded or fails for good.
    ///
    /// # Errors
    /// [`AttemptError`].
    pub async fn attempt(
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
            // A session at rest would keep the database from being dropped next.
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
        let at_home =
            self.reconcile_or_release(execution, login, home, success_template.filter(|_| is_all));
        let mut outcomes = match at_home.await? {
            ReconcileResult::Answered(response) => return Ok(AttemptOutcome::Answered(response)),
            ReconcileResult::Outcome(outcome) => vec![(home.clone(), outcome)],
        };

        let mut reconciliations = Vec::new();
        for database in others {
            reconciliations.push(
                self.reconcile_or_release(execution, login, database, None)
                    .boxed(),
            );
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
        let recorded = self
            .record_response(execution, login, home, &response)
            .await?;
        Ok(AttemptOutcome::Answered(recorded))
    }

    /// Keeps the answer to a request that failed, where it can be. Returns the one that counts: the first that was kept.
    ///
    /// # Errors
    /// [`AttemptError`], where it is not kept.
    pub async fn record_failure(
        &self,
        execution: &ExecutionRequest<'_>,
        response: &Response,
    ) -> Result<Response, AttemptError> {
        let ResolvedTarget {
            login, databases, ..
        } = self.resolve_target(execution).await?;
        match databases.first() {
            Some(home) => {
                self.record_response(execution, &login, home, response)
                    .await
            }
            None => Ok(response.clone()),
        }
    }

    pub(super) async fn record_response(
        &self,
        execution: &ExecutionRequest<'_>,
        login: &Login,
        home: &str,
        response: &Response,
    ) -> Result<Response, AttemptError> {
        let target = login.target(home);
        let id = physical_resource_id(&login.address, execution.request.resource);
        let reconciliation =
            execution.reconciliation(self, &target, login, &id, execution.deleted, None);
        let recorded = record_response(&self.pools, &reconciliation, response).await;
        recorded.map_err(|error| self.reconcile_error(error, &target, login))
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

    pub(super) async fn reconcile_or_release(
        &self,
        execution: &ExecutionRequest<'_>,
        login: &Login,
        database: &str,
        success_template: Option<SuccessTemplate<'_>>,
    ) -> Result<ReconcileResult, AttemptError> {
        if execution.deleted {
            self.release(execution, login, database, success_template)
                .await
        } else {
            self.reconcile(execution, login, database, false, success_template)
                .await
        }
    }

    /// A pass after which the resource is gone from the database; done where the database is gone itself, or takes no
    /// connections and may be left as it is.
    pub(super) async fn release(
        &self,
        execution: &ExecutionRequest<'_>,
        login: &Login,
        database: &str,
        success_template: Option<SuccessTemplate<'_>>,
    ) -> Result<ReconcileResult, AttemptError> {
        let may_stay = execution.properties.on_unreachable_delete == OnUnreachableDelete::Succeed;
        let is_done = |error: &AttemptError| {
            error.target_is_gone() || may_stay && error.class() == Class::ClosedDatabase
        };
        match self
            .reconcile(execution, login, database, true, success_template)
            .await
        {
            Err(error) if is_done(&error) => {
                warn!(
                    database,
                    reason = error.full_reason(),
                    "what the resource managed here is gone, or cannot be reached"
                );
                let outcome = DatabaseOutcome {
                    notes: vec![format!(
                        "left as it is ({})",
                        error.reason().trim_end_matches('.')
                    )],
                    ..DatabaseOutcome::default()
                };
                Ok(match success_template {
                    Some(success_template) => ReconcileResult::Answered(
                        success_template.success(&[(database.to_owned(), outcome)]),
                    ),
                    None => ReconcileResult::Outcome(outcome),
                })
            }
            other => other,
        }
    }

    pub(super) async fn reconcile(
        &self,
        execution: &ExecutionRequest<'_>,
        login: &Login,
        database: &str,
        deleted: bool,
        success_template: Option<SuccessTemplate<'_>>,
    ) -> Result<ReconcileResult, AttemptError> {
        let target = login.target(database);
        execution.state.set_waiting_for(target.to_string());
        let id = physical_resource_id(&login.address, execution.request.resource);
        let reconciliation =
            execution.reconciliation(self, &target, login, &id, deleted, success_template);
        let result = reconcile(&self.pools, &reconciliation).await;
        result.map_err(|error| self.reconcile_error(error, &target, login))
    }
}

impl<'a> ExecutionRequest<'a> {
    /// The pass over one of the databases. `id` is the resource's on that server.
    fn reconciliation(
        &self,
        executor: &'a Executor,
        target: &'a Target,
        login: &'a Login,
        id: &'a str,
        deleted: bool,
        success_template: Option<SuccessTemplate<'a>>,
    ) -> Reconciliation<'a> {
        // Of what an Update leaves behind the ledger knows the id that this worker gave it.
        let named = self.physical_resource_id.filter(|_| self.deleted);
        Reconciliation {
            request: self.request,
            properties: self.properties,
            target,
            password: &login.password,
            policy: &executor.policy,
            blue_green: executor.blue_green.as_ref(),
            goal: if deleted {
                Goal::Deleted {
                    physical_resource_id: named.unwrap_or(id),
                }
            } else {
                Goal::Live
            },
            physical_resource_id: id,
            success_template,
            until: self.until,
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
