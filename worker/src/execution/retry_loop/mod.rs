//! Attempts a request until it is answered, or for as long as one delivery of its message may take: what each failure of an
//! attempt says of the next one.

mod attempts;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::Value;
use tracing::{info, warn};

pub use self::attempts::{Attempts, Next};
use super::error::AttemptError;
use super::fair_share::Share;
use super::{AttemptOutcome, DeliveryState, ExecutionRequest, Executor};
use crate::ledger::{ResourceKey, ResourceRequest};
use crate::metrics::Metrics;
use crate::postgres_error::Class;
use crate::process::error_chain::with_causes;
use crate::process::retry::{POLICY, Retry, full_jitter, instant};
use crate::request::{OnUnreachableDelete, Operation, Properties, Request, RequestHeader};
use crate::response::{Response, Verdict, reason, unchanged_id, was_never_created};

/// The longest that a message then waits.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// How long after its publication a Delete waits for a server that does not answer: it may be gone for good.
const DELETE_RETRY_BUDGET: Duration = Duration::from_secs(300);
/// How long it may take to keep a failure, where the deadline leaves so much.
const RECORD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long at the most to wait before the next attempt in a race: no server is overloaded.
pub const RACE_PAUSE: Duration = Duration::from_millis(200);

/// How long a server that this process never reached has for a connection, before the message goes back to the queue.
const FIRST_CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is looked whether it was reached.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The bound of the first pause in the queue after that; doubled with each receive up to [`MAX_PAUSE`].
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(2);
/// With less than this left until the deadline, a message does not go back for it: it might come too late.
const REDELIVERY_MARGIN: Duration = Duration::from_secs(30);

/// What one delivery of a message may take.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// How long it is worked on, where trying again may help.
    pub retry_budget: Duration,
    /// How often the message was delivered.
    pub receive_count: u32,
    /// Whether there is no later delivery.
    pub is_final_receive: bool,
    /// Its place.
    pub share: &'a Share,
}

/// Why a message goes back before its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EarlyReturn {
    /// The server was never reached, and does not answer now.
    Unreached,
    /// Its place is wanted by another whose share is not taken.
    Wanted,
}

/// What one delivery of a request comes to.
#[derive(Debug)]
pub enum DeliveryOutcome {
    /// The request is answered with this.
    Answer(Response),
    /// The message goes back to the queue, to come again after this long.
    ReturnToQueue(Duration),
}

/// Attempts a request until it is answered, or for as long as one delivery may take.
pub async fn run_with_retries(
    executor: &Executor,
    request: &Request,
    resource_properties: &Value,
    delivery: Delivery<'_>,
    metrics: &Metrics,
) -> DeliveryOutcome {
    let is_final_receive = delivery.is_final_receive;
    let header = &request.header;
    let resource = ResourceKey::of(header);
    let (properties, old) = match &request.operation {
        Operation::Create(properties) | Operation::Delete(Ok(properties)) => (properties, None),
        Operation::Update { new, old } => (new, old.as_ref()),
        Operation::Delete(Err(invalid)) => {
            warn!(%invalid, "the properties of the deleted resource cannot be used: there is nothing to delete");
            return DeliveryOutcome::Answer(nothing_to_delete(header));
        }
    };
    let deleted = matches!(request.operation, Operation::Delete(_));
    let last_moment = instant(request.deadline);
    let retry_until = last_moment.min(Instant::now() + delivery.retry_budget);
    let unreachable_until = deleted.then(|| instant(request.published_at) + DELETE_RETRY_BUDGET);
    let state = DeliveryState::new(is_final_receive);
    let recorded = ResourceRequest {
        resource: &resource,
        declared: resource_properties,
        request_type: header.request_type.as_str(),
        request_id: &header.request_id,
        published_at: request.published_at,
    };
    let execution = ExecutionRequest {
        request: &recorded,
        physical_resource_id: header.physical_resource_id.as_deref(),
        properties,
        old,
        deleted,
        until: last_moment,
        header: Some(header),
        state: &state,
    };
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, retry_until);
    let may_come_again = |now: Instant| {
        !is_final_receive && last_moment.saturating_duration_since(now) > REDELIVERY_MARGIN
    };
    let mut unreached = pin!(never_reached(executor, &state));
    let mut cut = None;
    let out_of_time = loop {
        if let Some(last) = &attempts.last {
            metrics.retries.inc(&last.code());
        }
        // The statements' own timeouts end an attempt in time; this is for a peer that is silent.
        let attempt = tokio::time::timeout_at(last_moment.into(), executor.attempt(&execution));
        let ended = tokio::select! {
            ended = attempt => ended,
            () = &mut unreached, if may_come_again(Instant::now()) => {
                cut = Some(EarlyReturn::Unreached);
                break true;
            }
        };
        match ended {
            Ok(Ok(AttemptOutcome::Answered(response))) => {
                state.record_answer(true);
                return DeliveryOutcome::Answer(response);
            }
            // With a header there is always a response.
            Ok(Ok(AttemptOutcome::Done(..))) => break true,
            Ok(Err(error)) => {
                info!(
                    reason = error.full_reason(),
                    error = with_causes(&error),
                    "the attempt failed"
                );
                let is_over_limit = error.is_server_limit();
                if !is_over_limit {
                    state.record_answer(!error.is_server_failure());
                }
                if attempts.record(error, unreachable_until) == Next::Never {
                    break false;
                }
                if is_over_limit {
                    break true;
                }
                if attempts.is_in_a_race() && Instant::now() < retry_until {
                    tokio::time::sleep(full_jitter(RACE_PAUSE)).await;
                    continue;
                }
            }
            Err(_) => break true,
        }
        let may_cut = may_come_again(Instant::now());
        tokio::select! {
            is_left = pauses.pause() => if !is_left { break true },
            () = &mut unreached, if may_cut => cut = Some(EarlyReturn::Unreached),
            () = delivery.share.wanted(), if may_cut => cut = Some(EarlyReturn::Wanted),
        }
        if cut.is_some() {
            break true;
        }
    };
    if let Some(cut) = cut {
        state.record_answer(false);
        let left = last_moment.saturating_duration_since(Instant::now());
        let pause = pause_after(cut, delivery.receive_count).min(left / 3);
        let reason = attempts.into_error(state.waiting_for()).reason();
        info!(
            reason,
            ?cut,
            ?pause,
            "given back, so that others have its place"
        );
        return DeliveryOutcome::ReturnToQueue(pause);
    }
    let error = attempts.into_error(state.waiting_for());
    let left = last_moment.saturating_duration_since(Instant::now());
    let may_wait = out_of_time
        && retry_until < last_moment
        && !is_final_receive
        && error.class() != Class::Credentials;
    if may_wait {
        let pause = full_jitter(MAX_PAUSE.min(left / 2));
        warn!(
            reason = error.full_reason(),
            ?pause,
            "given back, to be tried again"
        );
        return DeliveryOutcome::ReturnToQueue(pause);
    }
    let reason = match failure_reason(request, properties, &error, out_of_time) {
        Ok(reason) => reason,
        Err(why) => {
            let why = reason::of_left_behind(&why);
            return DeliveryOutcome::Answer(Response::deleted_with_reason(
                header,
                &unchanged_id(header),
                why,
            ));
        }
    };
    let failed = Response::new(header, &unchanged_id(header), Verdict::Failed(reason));
    DeliveryOutcome::Answer(record_failure(executor, &execution, &error, failed).await)
}

/// Returns when the server that an attempt turned to was never reached, and is not for [`FIRST_CONNECTION_TIMEOUT`]; never for one
/// that was.
async fn never_reached(executor: &Executor, state: &DeliveryState) {
    let mut since = None;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let Some(address) = state.address() else {
            continue;
        };
        if executor.has_reached(&address) {
            return std::future::pending().await;
        }
        if since.get_or_insert_with(Instant::now).elapsed()
            >= FIRST_CONNECTION_TIMEOUT - POLL_INTERVAL
        {
            return;
        }
    }
}

/// How long the message waits in the queue.
fn pause_after(cut: EarlyReturn, receive_count: u32) -> Duration {
    let longest = match cut {
        EarlyReturn::Unreached => UNREACHABLE_PAUSE * 2_u32.saturating_pow(receive_count.min(10)),
        EarlyReturn::Wanted => UNREACHABLE_PAUSE * receive_count.min(15),
    };
    let longest = longest.min(MAX_PAUSE);
    longest / 2 + full_jitter(longest / 2)
}

fn nothing_to_delete(header: &RequestHeader) -> Response {
    Response::new(
        header,
        &unchanged_id(header),
        Verdict::Success(BTreeMap::new()),
    )
}

/// A request that failed must not succeed when it comes again. Past its deadline nothing is tried again in any case.
async fn record_failure(
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

/// The Reason.
///
/// # Errors
/// Where a Delete has nothing that it could delete: why.
fn failure_reason(
    request: &Request,
    properties: &Properties,
    error: &AttemptError,
    out_of_time: bool,
) -> Result<String, String> {
    let mut reason = error.reason();
    if out_of_time {
        let waited = (Utc::now() - request.published_at).num_seconds();
        reason = reason::with_time(&reason, waited);
    }
    if !matches!(request.operation, Operation::Delete(_)) {
        return Ok(reason);
    }
    let unreachable_is_gone =
        error.is_unreachable() && properties.on_unreachable_delete == OnUnreachableDelete::Succeed;
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
        return Err(reason);
    }
    Ok(reason)
}
