//! A request that can be answered: its response, and the PUT to the ResponseURL.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tracing::{error, info, warn};

use super::origin::CheckedRequest;
use super::{Disposition, Handler, HandlingResult, return_to_queue};
use crate::aws::put_response::ResponderError;
use crate::execution::delivery::{Delivery, DeliveryOutcome, run_delivery};
use crate::metrics::Outcome;
use crate::process::error_chain::with_causes;
use crate::process::failpoint;
use crate::process::retry::{POLICY, Retry, full_jitter, instant};
use crate::request::{Request, RequestHeader, RequestType, ResponseUrl, Timing};
use crate::response::{Response, reason};

/// The longest time for which CloudFormation waits for a response.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Handler {
    /// Carries the request out, and puts its response.
    pub(super) async fn answer(
        &self,
        header: RequestHeader,
        url: &ResponseUrl,
        message: Map<String, Value>,
        timestamp: Option<DateTime<Utc>>,
        delivery: Delivery<'_>,
    ) -> HandlingResult {
        let resource_properties = message
            .get("ResourceProperties")
            .cloned()
            .unwrap_or(Value::Null);
        let now = Utc::now();
        let timing = Timing::of(&header, url, timestamp, now);
        if timing.deadline <= now {
            warn!(deadline = %timing.deadline, "the request is past its deadline: nothing is changed");
            self.metrics.stale_requests.inc();
            return (Disposition::Done, Outcome::Stale);
        }
        let response = match Request::read(header.clone(), message, timing) {
            Ok(request) => match self.respond(&request, &resource_properties, delivery).await {
                Ok(response) => response,
                Err(unanswered) => return unanswered,
            },
            Err(unusable) => match header.request_type {
                // A resource whose Create cannot be parsed was never created.
                RequestType::Delete => Response::nothing_to_delete(&header),
                RequestType::Create | RequestType::Update | RequestType::Unknown(_) => {
                    Response::failed(&header, reason::of_request_error(&unusable))
                }
            },
        };
        failpoint::at("before-answer");
        let response = self.response_cache.get_or_insert(&header, response);
        let retry_budget = if delivery.is_final_receive {
            LONGEST_WAIT
        } else {
            delivery.retry_budget
        };
        self.put(url, &response, timing.deadline, retry_budget)
            .await
    }

    /// The response to a request: from an earlier delivery, from its verification, or from the databases.
    ///
    /// # Errors
    /// There is no response in this delivery: returns how the message ends.
    async fn respond(
        &self,
        request: &Request,
        resource_properties: &Value,
        delivery: Delivery<'_>,
    ) -> Result<Response, HandlingResult> {
        let header = &request.header;
        if let Some(decided) = self.response_cache.get(header) {
            return Ok(decided);
        }
        let is_final_receive = delivery.is_final_receive;
        let checked = self.check_request(header, delivery.receive_count, is_final_receive);
        match checked.await {
            CheckedRequest::Confirmed => {}
            CheckedRequest::Answered(response) => return Ok(response),
            CheckedRequest::Refused(end) => return Err(end),
        }
        let outcome = run_delivery(
            &self.executor,
            request,
            resource_properties,
            delivery,
            &self.metrics,
        );
        match outcome.await {
            DeliveryOutcome::Answer(response) => Ok(response),
            DeliveryOutcome::ReturnToQueue(pause) => Err(return_to_queue(pause)),
        }
    }

    /// Puts the response, and retries until the deadline if the service is busy; the margin after the deadline is for this.
    /// Before the final receive the message may also be delivered again.
    async fn put(
        &self,
        url: &ResponseUrl,
        response: &Response,
        deadline: DateTime<Utc>,
        retry_budget: Duration,
    ) -> HandlingResult {
        let (status, reason) = (response.status(), response.reason());
        let now = Instant::now();
        let until = instant(deadline)
            .max(now + Duration::from_secs(5))
            .min(now + retry_budget);
        let mut pauses = Retry::new(POLICY, until);
        loop {
            let error = match self.responder.put(url, response.text()).await {
                Ok(()) => {
                    failpoint::at("after-answer");
                    info!(
                        status,
                        reason,
                        physical_resource_id = response.physical_resource_id(),
                        "answered"
                    );
                    let outcome = if response.is_success() {
                        Outcome::Succeeded
                    } else {
                        Outcome::Failed
                    };
                    return (Disposition::Done, outcome);
                }
                Err(error) => error,
            };
            if matches!(error, ResponderError::Refused(_)) {
                error!(status, reason, %url, error = with_causes(&error), "the answer is lost");
                return (Disposition::Done, Outcome::Unanswered);
            }
            warn!(%url, error = with_causes(&error), "not answered yet");
            if !pauses.pause().await {
                return return_to_queue(full_jitter(Duration::from_secs(30)));
            }
        }
    }
}
