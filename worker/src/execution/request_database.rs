//! One database of a request in one attempt: its transaction or two, and the release of the resource.

use tracing::warn;

use super::error::AttemptError;
use super::{ExecutionRequest, Executor};
use crate::credentials::login::Login;
use crate::plan::DatabaseOutcome;
use crate::postgres_error::Class;
use crate::reconcile::transaction::{Goal, ReconcileResult, Reconciliation};
use crate::reconcile::{reconcile, record_response};
use crate::request::OnUnreachableDelete;
use crate::response::{Response, SuccessTemplate, physical_resource_id, reason};
use crate::target::Target;

/// One database of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestDatabase<'a> {
    executor: &'a Executor,
    execution: &'a ExecutionRequest<'a>,
    login: &'a Login,
    database: &'a str,
}

impl Executor {
    pub(super) fn in_database<'a>(
        &'a self,
        execution: &'a ExecutionRequest<'a>,
        login: &'a Login,
        database: &'a str,
    ) -> RequestDatabase<'a> {
        RequestDatabase {
            executor: self,
            execution,
            login,
            database,
        }
    }
}

impl RequestDatabase<'_> {
    pub(super) async fn reconcile_or_release(
        self,
        success_template: Option<SuccessTemplate<'_>>,
    ) -> Result<ReconcileResult, AttemptError> {
        if self.execution.deleted {
            self.release(success_template).await
        } else {
            self.reconcile(false, success_template).await
        }
    }

    /// Runs a transaction after which the resource is gone from the database. It also succeeds if the database does not
    /// exist, or if it accepts no connections and may be left unchanged.
    pub(super) async fn release(
        self,
        success_template: Option<SuccessTemplate<'_>>,
    ) -> Result<ReconcileResult, AttemptError> {
        let on_unreachable = self.execution.properties.on_unreachable_delete;
        let may_stay = on_unreachable == OnUnreachableDelete::Succeed;
        let is_done = |error: &AttemptError| {
            error.target_is_gone() || may_stay && error.class() == Class::ClosedDatabase
        };
        match self.reconcile(true, success_template).await {
            Err(error) if is_done(&error) => {
                warn!(
                    database = self.database,
                    reason = error.full_reason(),
                    "what the resource managed here is gone, or cannot be reached"
                );
                let outcome = DatabaseOutcome {
                    notes: vec![reason::of_left_unchanged(&error.reason())],
                    ..DatabaseOutcome::default()
                };
                Ok(match success_template {
                    Some(success_template) => ReconcileResult::Answered(
                        success_template.success(&[(self.database.to_owned(), outcome)]),
                    ),
                    None => ReconcileResult::Outcome(outcome),
                })
            }
            other => other,
        }
    }

    async fn reconcile(
        self,
        deleted: bool,
        success_template: Option<SuccessTemplate<'_>>,
    ) -> Result<ReconcileResult, AttemptError> {
        let target = self.login.target(self.database);
        self.execution.state.set_waiting_for(target.to_string());
        let id = self.physical_resource_id();
        let reconciliation = self.reconciliation(&target, &id, deleted, success_template);
        let result = reconcile(&self.executor.pools, &reconciliation).await;
        result.map_err(|error| self.executor.reconcile_error(error, &target, self.login))
    }

    /// Records the response to the request. Returns the response that was recorded first, which is the one to send.
    ///
    /// # Errors
    /// [`AttemptError`] if it is not recorded.
    pub(super) async fn record_response(
        self,
        response: &Response,
    ) -> Result<Response, AttemptError> {
        let target = self.login.target(self.database);
        let id = self.physical_resource_id();
        let reconciliation = self.reconciliation(&target, &id, self.execution.deleted, None);
        let recorded = record_response(&self.executor.pools, &reconciliation, response).await;
        recorded.map_err(|error| self.executor.reconcile_error(error, &target, self.login))
    }

    /// The physical id of the resource on this server.
    fn physical_resource_id(self) -> String {
        physical_resource_id(&self.login.address, self.execution.request.resource)
    }

    fn reconciliation<'b>(
        &'b self,
        target: &'b Target,
        id: &'b str,
        deleted: bool,
        success_template: Option<SuccessTemplate<'b>>,
    ) -> Reconciliation<'b> {
        let execution = self.execution;
        // For a database that an Update no longer names, the ledger has the id that this worker assigned.
        let named = execution.physical_resource_id.filter(|_| execution.deleted);
        Reconciliation {
            request: execution.request,
            properties: execution.properties,
            target,
            password: &self.login.password,
            policy: &self.executor.policy,
            blue_green: self.executor.blue_green.as_ref(),
            goal: if deleted {
                Goal::Deleted {
                    physical_resource_id: named.unwrap_or(id),
                }
            } else {
                Goal::Live
            },
            physical_resource_id: id,
            success_template,
            until: execution.until,
        }
    }
}
