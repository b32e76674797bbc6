//! One delivery of a request's message: attempts until the request has a response, or until the time of the delivery is
//! over.

mod failure;

use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{info, warn};

use self::failure::{FailedRequest, record_failure};
use super::error::AttemptError;
use super::fair_share::Share;
use super::retry_loop::{Attempts, EarlyReturn, RetryLimits, Retryable, Stopped, run_with_retries};
use super::{AttemptOutcome, DeliveryState, ExecutionRequest, Executor};
use crate::ledger::{ResourceKey, ResourceRequest};
use crate::metrics::Metrics;
use crate::postgres_error::Class;
use crate::process::error_chain::with_causes;
use crate::process::retry::{full_jitter, instant};
use crate::request::{Operation, Request};
use crate::response::{Response, reason};

/// Longest pause in the queue.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// How long after its publication a Delete waits for a server that does not answer: the server may be gone for good.
const DELETE_RETRY_BUDGET: Duration = Duration::from_secs(300);

/// How long a server that this process never reached may take for a connection, before the message is returned to the
/// queue.
const FIRST_CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval at which this is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Upper bound of the first pause in the queue after that; doubled with each receive up to [`MAX_PAUSE`].
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(2);
/// With less than this left until the deadline, a message is not returned to the queue: it might be received too late.
const REDELIVERY_MARGIN: Duration = Duration::from_secs(30);

/// The limits of one delivery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery<'a> {
    /// How long the request is retried.
    pub(crate) retry_budget: Duration,
    /// Number of the receive.
    pub(crate) receive_count: u32,
    /// Whether there is no later delivery.
    pub(crate) is_final_receive: bool,
    /// The permit of the message.
    pub(crate) share: &'a Share,
}

/// The result of one delivery.
#[derive(Debug)]
pub(crate) enum DeliveryOutcome {
    /// The response of the request.
    Answer(Response),
    /// The message is returned to the queue, and becomes visible after this time.
    ReturnToQueue(Duration),
}

/// Makes attempts until the request has a response, or until the time of the delivery is over.
pub(crate) async fn run_delivery(
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
            return DeliveryOutcome::Answer(Response::nothing_to_delete(header));
        }
    };
    let deleted = matches!(request.operation, Operation::Delete(_));
    let last_moment = instant(request.deadline);
    let retry_until = last_moment.min(Instant::now() + delivery.retry_budget);
    let limits = RetryLimits {
        // The statements' own timeouts end an attempt in time; this timeout is for a server that does not answer.
        attempt_until: Some(last_moment),
        unreachable_until: deleted.then(|| instant(request.published_at) + DELETE_RETRY_BUDGET),
        ..RetryLimits::until(retry_until)
    };
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
    let delivered = DeliveredRequest {
        executor,
        execution: &execution,
        delivery,
        metrics,
    };
    let mut attempts = Attempts::default();
    let ended = tokio::select! {
        ended = run_with_retries(&delivered, limits, &mut attempts) => ended,
        () = delivered.never_reached() => Err(Stopped::Cut(EarlyReturn::Unreached)),
    };
    let stopped = match ended {
        Ok(AttemptOutcome::Answered(response)) => {
            state.record_answer(true);
            return DeliveryOutcome::Answer(response);
        }
        // A request with a header always has a response.
        Ok(AttemptOutcome::Done(..)) => Stopped::OutOfTime,
        Err(stopped) => stopped,
    };
    let error = attempts.into_error(state.waiting_for());
    let left = last_moment.saturating_duration_since(Instant::now());
    if let Stopped::Cut(cut) = stopped {
        state.record_answer(false);
        let pause = pause_after(cut, delivery.receive_count).min(left / 3);
        info!(
            reason = error.reason(),
            ?cut,
            ?pause,
            "given back, so that others have its place"
        );
        return DeliveryOutcome::ReturnToQueue(pause);
    }
    let out_of_time = stopped == Stopped::OutOfTime;
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
    match FailedRequest::of(request, properties, &error, out_of_time) {
        FailedRequest::CountsAsDeleted(why) => {
            let why = reason::of_left_behind(&why);
            DeliveryOutcome::Answer(Response::deleted_with_reason(header, why))
        }
        FailedRequest::Failed(reason) => {
            let failed = Response::failed(header, reason);
            DeliveryOutcome::Answer(record_failure(executor, &execution, &error, failed).await)
        }
    }
}

/// A request in one delivery of its message.
struct DeliveredRequest<'a> {
    executor: &'a Executor,
    execution: &'a ExecutionRequest<'a>,
    delivery: Delivery<'a>,
    metrics: &'a Metrics,
}

impl Retryable for DeliveredRequest<'_> {
    type Outcome = AttemptOutcome;

    async fn attempt(&self) -> Result<AttemptOutcome, AttemptError> {
        self.executor.attempt(self.execution).await
    }

    fn note_failure(&self, error: &AttemptError) {
        info!(
            reason = error.full_reason(),
            error = with_causes(error),
            "the attempt failed"
        );
        if !error.is_server_limit() {
            let answered = !error.is_server_failure();
            self.execution.state.record_answer(answered);
        }
    }

    fn note_retry(&self, last: &AttemptError) {
        self.metrics.retries.inc(&last.code());
    }

    /// In a pause the permit goes to another request that waits for one.
    async fn cut(&self) -> EarlyReturn {
        if !self.may_come_again() {
            return std::future::pending().await;
        }
        self.delivery.share.wanted().await;
        EarlyReturn::Wanted
    }
}

impl DeliveredRequest<'_> {
    fn may_come_again(&self) -> bool {
        let left = self
            .execution
            .until
            .saturating_duration_since(Instant::now());
        !self.delivery.is_final_receive && left > REDELIVERY_MARGIN
    }

    /// Returns if the server of the attempt was never reached, and is not reached within [`FIRST_CONNECTION_TIMEOUT`];
    /// never for a server that was reached before, nor if there may be no later delivery.
    async fn never_reached(&self) {
        let mut since = None;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let Some(address) = self.execution.state.address() else {
                continue;
            };
            if self.executor.has_reached(&address) || !self.may_come_again() {
                return std::future::pending().await;
            }
            if since.get_or_insert_with(Instant::now).elapsed()
                >= FIRST_CONNECTION_TIMEOUT - POLL_INTERVAL
            {
                return;
            }
        }
    }
}

/// How long the message is invisible in the queue.
fn pause_after(cut: EarlyReturn, receive_count: u32) -> Duration {
    let longest = match cut {
        EarlyReturn::Unreached => UNREACHABLE_PAUSE * 2_u32.saturating_pow(receive_count.min(10)),
        EarlyReturn::Wanted => UNREACHABLE_PAUSE * receive_count.min(15),
    };
    let longest = longest.min(MAX_PAUSE);
    longest / 2 + full_jitter(longest / 2)
}
