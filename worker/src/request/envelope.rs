//! The body of an SQS message: an SNS envelope with the request, or with raw delivery the request itself.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::read_with_numbers_as_text;
use super::text::word;

/// `Type` of the message that starts a re-sync.
pub(crate) const RESYNC: &str = "Resync";

/// `Type` of the messages about a subscription, which SNS itself sends: the first one, and the one after its end.
const SUBSCRIPTION_TYPES: [&str; 2] = ["SubscriptionConfirmation", "UnsubscribeConfirmation"];

/// The content of a message, with the fields that SNS adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The published document.
    pub message: Map<String, Value>,
    /// The topic; `None` with raw delivery.
    pub topic_arn: Option<String>,
    /// When it was published; `None` with raw delivery.
    pub timestamp: Option<DateTime<Utc>>,
    /// The original fields of the envelope, some of which SNS signs; `None` with raw delivery.
    pub(crate) signed: Option<Map<String, Value>>,
}

/// Why a body can neither be carried out nor answered. The dead-letter queue shows this text.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The body is not JSON.
    #[error("the body is not JSON")]
    BodyNotJson(#[source] serde_json::Error),
    /// The envelope's `Message` is not JSON.
    #[error("the SNS Message is not JSON")]
    MessageNotJson(#[source] serde_json::Error),
    /// The document is not an object.
    #[error("the message is not a JSON object")]
    NotAnObject,
    /// SNS requests the confirmation of a subscription, or reports its end; one that the topic's owner makes needs neither.
    #[error("the message is an SNS {0}, not a request")]
    Subscription(&'static str),
    /// The topic is not one whose messages are accepted.
    #[error("topic {0} is not one that this worker serves")]
    ForeignTopic(String),
}

impl Envelope {
    /// Parses the body of an SQS message.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it contains no document, or arrived by a topic other than `topics` (empty: any).
    pub fn open(body: &str, topics: &[String]) -> Result<Self, EnvelopeError> {
        let outer = object(serde_json::from_str(body).map_err(EnvelopeError::BodyNotJson)?)?;
        let (Some(Value::String(kind)), Some(Value::String(topic_arn))) =
            (outer.get("Type"), outer.get("TopicArn"))
        else {
            return Ok(Self {
                message: published(outer, body).map_err(EnvelopeError::BodyNotJson)?,
                topic_arn: None,
                timestamp: None,
                signed: None,
            });
        };
        if let Some(kind) = SUBSCRIPTION_TYPES.into_iter().find(|known| known == kind) {
            return Err(EnvelopeError::Subscription(kind));
        }
        if !topics.is_empty() && !topics.contains(topic_arn) {
            return Err(EnvelopeError::ForeignTopic(word(topic_arn).to_owned()));
        }
        let topic_arn = Some(topic_arn.clone());
        let timestamp = outer
            .get("Timestamp")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok());
        let message = match outer.get("Message") {
            Some(Value::String(text)) => {
                let message = serde_json::from_str(text).map_err(EnvelopeError::MessageNotJson)?;
                published(object(message)?, text).map_err(EnvelopeError::MessageNotJson)?
            }
            _ => return Err(EnvelopeError::NotAnObject),
        };
        Ok(Self {
            message,
            topic_arn,
            timestamp,
            signed: Some(outer),
        })
    }
}

/// Parses a published document, with its numbers as they are written; messages between workers contain real numbers.
fn published(
    message: Map<String, Value>,
    text: &str,
) -> Result<Map<String, Value>, serde_json::Error> {
    let is_internal = message
        .get("Type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind != RESYNC);
    if is_internal {
        return Ok(message);
    }
    Ok(match read_with_numbers_as_text(text)? {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            message
        }
    })
}

fn object(value: Value) -> Result<Map<String, Value>, EnvelopeError> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(EnvelopeError::NotAnObject)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:extension-worker";

    fn notification() -> String {
        json!({
            "Type": "Notification", "TopicArn": TOPIC, "Timestamp": "2026-03-01T12:00:00.042Z",
            "Message": "{\"RequestType\":\"Create\"}",
        })
        .to_string()
    }

    #[test]
    fn an_envelope_and_raw_delivery_hold_the_same_document() {
        let enveloped = Envelope::open(&notification(), &[TOPIC.to_owned()]).unwrap();
        let raw = Envelope::open("{\"RequestType\":\"Create\"}", &[TOPIC.to_owned()]).unwrap();
        assert_eq!(enveloped.message, raw.message);
        assert_eq!(
            enveloped.timestamp.unwrap().timestamp_millis(),
            1_772_366_400_042
        );
        assert_eq!(raw.topic_arn, None);
    }

    #[test]
    fn a_topic_that_is_not_served_is_refused() {
        let refused = Envelope::open(
            &notification(),
            &["arn:aws:sns:us-east-1:123456789012:other".to_owned()],
        );
        assert!(matches!(refused, Err(EnvelopeError::ForeignTopic(topic)) if topic == TOPIC));
        assert!(Envelope::open(&notification(), &[]).is_ok());
    }

    #[test]
    fn what_sns_says_of_a_subscription_is_no_request() {
        for kind in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
            let body = notification().replace("Notification", kind);
            let error = Envelope::open(&body, &[TOPIC.to_owned()]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the message is an SNS {kind}, not a request")
            );
        }
    }

    #[test]
    fn what_holds_no_document_is_undeliverable() {
        for body in [
            "",
            "not JSON",
            "[]",
            "\"text\"",
            "{\"Type\":\"Notification\",\"TopicArn\":\"t\",\"Message\":1}",
        ] {
            assert!(Envelope::open(body, &[]).is_err(), "{body}");
        }
    }
}
