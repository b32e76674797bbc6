//! Whether a message comes from where its kind may come from, and whether CloudFormation shows what it asks for.

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

/// How long CloudFormation may take to show an operation, from the first receive of its request on: what it shows may lag
/// behind.
const LAG_RECEIVES: u32 = 3;
const LAG_PAUSE: Duration = Duration::from_secs(5);

/// What CloudFormation shows of a request.
pub(super) enum CheckedRequest {
    /// Just the operation of the request; or it is not asked.
    Confirmed,
    /// It was not, or cannot be, asked: the request is answered with this.
    Answered(Response),
    /// Something else: how the message ends.
    Refused(HandlingResult),
}

impl Handler {
    /// Whether the message comes from where its kind may come from.
    pub(super) async fn check_origin(
        &self,
        message: &Message,
        envelope: &Envelope,
    ) -> Result<(), HandlingResult> {
        let topic_arn = envelope.topic_arn.as_deref();
        // What workers send each other goes through the queue alone, which signs nothing: SQS names the sender.
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

    /// Whether CloudFormation shows what the request says.
    ///
    /// An answer reaches CloudFormation with the signature alone that it made itself: a forged request fails nothing. It
    /// is given where nothing says that the request is forged; where CloudFormation contradicts it, there is no response.
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
            // What was refused when it was to be created left nothing behind.
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

/// Longer with each receive: the twelve that a message has by default last for eight minutes without certificates.
fn unverified_pause(receive_count: u32) -> Duration {
    full_jitter(Duration::from_secs(15) * receive_count.min(20))
}
