//! The result of a failed request: its Reason, and the response that the ledger records.

use std::time::{Duration, Instant};

use chrono::Utc;
use tracing::{info, warn};

use crate::execution::error::AttemptError;
use crate::execution::{ExecutionRequest, Executor};
use crate::postgres_error::Class;
use crate::request::{OnUnreachableDelete, Operation, Properties, Request};
use crate::response::{Response, reason, was_never_created};

/// Time for recording a failure, if the deadline leaves it.
const RECORD_TIMEOUT: Duration = Duration::from_secs(15);

/// The result of a request whose attempts failed.
pub(super) enum FailedRequest {
    /// The request failed, with this Reason.
    Failed(String),
    /// A Delete that has nothing to delete, and why.
    CountsAsDeleted(String),
}

impl FailedRequest {
    /// Decides by the last failure.
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
        // A resource whose creation failed for good left nothing in the database.
        let never_was = was_never_created(&request.header)
            && !error.is_in_step()
            && matches!(
                error.class(),
                Class::Permanent
                    | Class::Prerequisite(_)
                    | Class::ClosedDatabase
                    | Class::Credentials
                    // Most likely a replica.
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

/// Records the failure: a request that failed must not succeed when its message is delivered again. Past the deadline
/// nothing is retried in any case.
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
