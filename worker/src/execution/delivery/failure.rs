//! What a request that failed comes to: its Reason, and the response that the ledger keeps.

use std::time::{Duration, Instant};

use chrono::Utc;
use tracing::{info, warn};

use crate::execution::error::AttemptError;
use crate::execution::{ExecutionRequest, Executor};
use crate::postgres_error::Class;
use crate::request::{OnUnreachableDelete, Operation, Properties, Request};
use crate::response::{Response, reason, was_never_created};

/// How long it may take to keep a failure, where the deadline leaves so much.
const RECORD_TIMEOUT: Duration = Duration::from_secs(15);

/// What a request comes to whose attempts failed.
pub(super) enum FailedRequest {
    /// It failed: the Reason.
    Failed(String),
    /// A Delete that has nothing that it could delete: why.
    CountsAsDeleted(String),
}

impl FailedRequest {
    /// Decides from the last failure.
    pub(super) fn of(
        request: &Request,
        properties: &Properties,
        error: &AttemptError,
        out_of_time: bool,
    ) -> Self {
        let mut reason = error.reason();
        if out_of_time {
            let waited = (Utc::now() - request.published_at).num_seconds();
            reason = reason::with_time(&reason, waited);
        }
        if !matches!(request.operation, Operation::Delete(_)) {
            return Self::Failed(reason);
        }
        let unreachable_is_gone = error.is_unreachable()
            && properties.on_unreachable_delete == OnUnreachableDelete::Succeed;
        // What failed for good when it was to be created left nothing behind.
        let never_was = was_never_created(&request.header)
            && !error.is_in_step()
            && matches!(
                error.class(),
                Class::Permanent
                    | Class::Prerequisite(_)
                    | Class::ClosedDatabase
                    | Class::Credentials
                    // A replica, most likely.
                    | Class::TransientAtMost(_)
            );
        if error.target_is_gone() || unreachable_is_gone || never_was {
            warn!(
                reason,
                "what the resource managed is gone, cannot be reached, or never was: it counts as deleted"
            );
            return Self::CountsAsDeleted(reason);
        }
        Self::Failed(reason)
    }
}

/// A request that failed must not succeed when it comes again. Past its deadline nothing is tried again in any case.
pub(super) async fn record_failure(
    executor: &Executor,
    execution: &ExecutionRequest<'_>,
    error: &AttemptError,
    failed: Response,
) -> Response {
    let is_unreachable = error.is_unreachable() || error.class() == Class::Credentials;
    if is_unreachable || execution.properties.dry_run || Instant::now() >= execution.until {
        return failed;
    }
    let until = execution.until.min(Instant::now() + RECORD_TIMEOUT);
    let execution = ExecutionRequest {
        until,
        ..*execution
    };
    match tokio::time::timeout_at(until.into(), executor.record_failure(&execution, &failed)).await
    {
        Ok(Ok(recorded)) => recorded,
        Ok(Err(error)) => {
            info!(
                reason = error.full_reason(),
                "the failure is not in the ledger"
            );
            failed
        }
        Err(_) => {
            info!("the failure is not in the ledger: no answer in time");
            failed
        }
    }
}
