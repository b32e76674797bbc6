//! Checks that a message arrived by a topic or sender that its type allows, and that CloudFormation confirms its operation.

use std::time::Duration;

use tracing::warn;

use super::{Disposition, Handler, HandlingResult, dead_letter, return_to_queue};
use crate::aws::sqs::Message;
use crate::metrics::Outcome;
use crate::process::error_chain::with_causes;
use crate::process::retry::full_jitter;
use crate::request::{Envelope, RequestHeader, RequestType};
use crate::response::{Response, reason, was_never_created};
use crate::resync::{is_internal_message, is_of_resync};
use crate::verification::topics::TopicKindError;
use crate::verification::{RequestVerificationError, SenderVerificationError};

/// How long after the first receive of its request CloudFormation may take to report an operation: its reports can be late.
const LAG_RECEIVES: u32 = 3;
const LAG_PAUSE: Duration = Duration::from_secs(5);

/// The result of the verification with CloudFormation.
pub(super) enum CheckedRequest {
    /// CloudFormation reports the operation of the request; or it is not asked.
    Confirmed,
    /// CloudFormation was not, or cannot be, asked: the request is answered with this.
    Answered(Response),
    /// Any other result: how the message ends.
    Refused(HandlingResult),
}

impl Handler {
    /// Checks that the message arrived by a topic or sender that its type allows.
    pub(super) async fn check_origin(
        &self,
        message: &Message,
        envelope: &Envelope,
    ) -> Result<(), HandlingResult> {
        let topic_arn = envelope.topic_arn.as_deref();
        // Messages between workers are sent to the queue directly, without a signature: SQS reports the sender.
        if is_internal_message(&envelope.message) {
            let checked = self
                .verification
                .check_sender(topic_arn, message.sender_id.as_deref())
                .await;
            return match checked {
                Ok(()) => Ok(()),
                Err(error @ SenderVerificationError::NoIdentity(_)) => {
                    warn!(error = with_causes(&error), "not verified");
                    Err(return_to_queue(unverified_pause(message.receive_count)))
                }
                Err(
                    error @ (SenderVerificationError::ThroughTopic(_)
                    | SenderVerificationError::Foreign(_)),
                ) => Err(dead_letter(&error)),
            };
        }
        match self.signatures.check(&message.id, envelope).await {
            Ok(()) => {}
            Err(unverified) if unverified.is_temporary() => {
                return Err(return_to_queue(unverified_pause(message.receive_count)));
            }
            Err(unverified) => return Err(dead_letter(&unverified)),
        }
        let checked: Result<(), TopicKindError> = if is_of_resync(&envelope.message) {
            self.topics.check_resync(topic_arn)
        } else {
            self.topics.check_request(topic_arn)
        };
        checked.map_err(|error| dead_letter(&error))
    }

    /// Verifies the operation of the request with CloudFormation.
    ///
    /// A FAILED response reaches CloudFormation only with a ResponseURL that CloudFormation signed, so that a forged
    /// request cannot make an operation fail. It is sent if the request may be genuine; if CloudFormation contradicts the
    /// request, there is no response.
    pub(super) async fn check_request(
        &self,
        header: &RequestHeader,
        receive_count: u32,
        is_final_receive: bool,
    ) -> CheckedRequest {
        let Err(error) = self.verification.check_request(header).await else {
            return CheckedRequest::Confirmed;
        };
        self.metrics.unverified_requests.inc();
        warn!(error = with_causes(&error), "the request is not verified");
        let answer = |reason: String| {
            // A Create that was refused left nothing in a database.
            let never_was = was_never_created(header) && header.request_type == RequestType::Delete;
            CheckedRequest::Answered(if never_was {
                Response::nothing_to_delete(header)
            } else {
                Response::failed(header, reason)
            })
        };
        match &error {
            RequestVerificationError::Unavailable(_) | RequestVerificationError::NoIdentity(_) => {
                if is_final_receive {
                    return answer(reason::of_unverified(&error));
                }
                CheckedRequest::Refused(return_to_queue(unverified_pause(receive_count)))
            }
            RequestVerificationError::Unverifiable(_) => answer(reason::of_unverified(&error)),
            RequestVerificationError::Over(_) | RequestVerificationError::Contradicted(_)
                if receive_count < LAG_RECEIVES && !is_final_receive =>
            {
                CheckedRequest::Refused(return_to_queue(LAG_PAUSE))
            }
            RequestVerificationError::Over(_) => {
                CheckedRequest::Refused((Disposition::Done, Outcome::Stale))
            }
            RequestVerificationError::Contradicted(_) => {
                CheckedRequest::Refused(dead_letter(&error))
            }
        }
    }
}

/// The pauses grow with each receive: the twelve receives of the default last for eight minutes without certificates.
fn unverified_pause(receive_count: u32) -> Duration {
    full_jitter(Duration::from_secs(15) * receive_count.min(20))
}
