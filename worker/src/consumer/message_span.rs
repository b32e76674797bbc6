//! The log span of one message.

use tracing::field::{self, Empty};
use tracing::{Span, error_span};

use crate::aws::sqs::Message;
use crate::request::Traceparent;

/// Opens the span of a message, from its receipt to its acknowledgement. The handler records the request's fields in it.
///
/// Its level is ERROR, so that every log line has it.
pub(super) fn message_span(message: &Message) -> Span {
    let trace = message.trace.as_ref();
    error_span!(
        "message",
        message_id = message.id,
        receive = message.receive_count,
        trace_id = trace.map(Traceparent::trace_id),
        traceparent = trace.map(field::display),
        kind = Empty,
        stack = Empty,
        resource = Empty,
        request = Empty,
    )
}
