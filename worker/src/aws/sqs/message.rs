//! A message as SQS hands it out.

use aws_sdk_sqs::types::{Message as SqsMessage, MessageSystemAttributeName};

use crate::request::{TRACEPARENT, Traceparent};

/// A received message, invisible to others until its visibility timeout ends.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The same for every delivery of the message.
    pub id: String,
    /// This delivery's.
    pub receipt_handle: String,
    /// What was sent.
    pub body: String,
    /// How often it was delivered, this time included.
    pub receive_count: u32,
    /// Who sent it, as SQS says: a sender cannot choose it. Of a role its id and the session's name, of a service its own.
    pub sender_id: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<Traceparent>,
}

pub(super) fn message(message: SqsMessage) -> Option<Message> {
    let body = message.body.unwrap_or_default();
    let of_system = |name| message.attributes.as_ref()?.get(&name).map(String::as_str);
    let traceparent = message
        .message_attributes
        .as_ref()
        .and_then(|attributes| attributes.get(TRACEPARENT)?.string_value());
    Some(Message {
        id: message.message_id?,
        receipt_handle: message.receipt_handle?,
        receive_count: of_system(MessageSystemAttributeName::ApproximateReceiveCount)
            .and_then(|count| count.parse().ok())
            .unwrap_or(1),
        sender_id: of_system(MessageSystemAttributeName::SenderId).map(str::to_owned),
        trace: Traceparent::find(
            traceparent,
            &body,
            of_system(MessageSystemAttributeName::AwsTraceHeader),
        ),
        body,
    })
}
