//! Second stage: the request to carry out, parsed strictly. The texts of its errors are Reasons.

use std::time::Duration;

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::explain::without_value;
use super::text::word;
use super::{
    Properties, PropertiesError, RequestHeader, RequestType, ResponseUrl, ResponseUrlError,
};

/// The resource types that this worker supports.
const RESOURCE_TYPES: [&str; 3] = [
    "Custom::PostgresExtensions",
    "Custom::ExecuteSQL",
    "AWS::CloudFormation::CustomResource",
];

/// Why a message can neither be executed nor answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A field that the response needs is missing.
    #[error("{0}: missing or not a string; the request cannot be answered")]
    Missing(&'static str),
    /// A field that the response repeats is too long or not printable.
    #[error("{0}: too long, or not printable; the request cannot be answered")]
    Unrepeatable(&'static str),
    /// The stack's id is not the ARN of a stack.
    #[error("StackId: not the ARN of a stack; the request cannot be answered")]
    StackId,
    /// Stacks of this account are not accepted.
    #[error("StackId: account {0} is not one that this worker serves")]
    ForeignAccount(String),
    /// The ResponseURL is not allowed.
    #[error(transparent)]
    Url(#[from] ResponseUrlError),
}

/// Why a request is answered with FAILED before a database is observed. The text is the Reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request's type is not one of the three.
    #[error("RequestType: \"{0}\" is not one of Create, Update, Delete")]
    RequestType(String),
    /// The resource type is not supported.
    #[error("ResourceType: \"{0}\" is not served here; use {first}", first = RESOURCE_TYPES[0])]
    ResourceType(String),
    /// The request does not have the form of CloudFormation's requests.
    #[error("the request is not one of CloudFormation's: {0}")]
    Shape(String),
    /// A property is not valid.
    #[error(transparent)]
    Properties(#[from] PropertiesError),
}

/// The operation of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Change the database to what is declared.
    Create(Properties),
    /// The same for an Update, with the old properties, if they can be parsed.
    Update {
        /// The new properties.
        new: Properties,
        /// The old properties.
        old: Option<Properties>,
    },
    /// Remove what the resource created. Invalid properties never prevent a Delete.
    Delete(Result<Properties, PropertiesError>),
}

/// A request that can be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its identity.
    pub header: RequestHeader,
    /// Its operation.
    pub operation: Operation,
    /// When it was published: an older request never overrides a newer one.
    pub(crate) published_at: DateTime<Utc>,
    /// When the response must have been sent.
    pub(crate) deadline: DateTime<Utc>,
}

/// When a request was published, and when its response must have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// When it was published: an older request never overrides a newer one.
    pub(crate) published_at: DateTime<Utc>,
    /// When the response must have been sent.
    pub(crate) deadline: DateTime<Utc>,
}

impl Timing {
    /// `timestamp` is the envelope's; without it the date of the ResponseURL is used, and without that `now`.
    pub fn of(
        header: &RequestHeader,
        url: &ResponseUrl,
        timestamp: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        // The ledger stores microseconds.
        let published_at = timestamp
            .or_else(|| url.signed_at())
            .unwrap_or(now)
            .trunc_subsecs(6);
        Self {
            published_at,
            deadline: deadline(published_at, header.service_timeout, url.expires_at()),
        }
    }
}

impl Request {
    /// Parses the request.
    ///
    /// # Errors
    /// [`RequestError`], whose text is the Reason.
    pub fn read(
        header: RequestHeader,
        mut message: Map<String, Value>,
        timing: Timing,
    ) -> Result<Self, RequestError> {
        if let RequestType::Unknown(kind) = &header.request_type {
            return Err(RequestError::RequestType(kind.clone()));
        }
        let resource_type = header.resource_type.as_deref().unwrap_or_default();
        if !RESOURCE_TYPES.contains(&resource_type) {
            return Err(RequestError::ResourceType(word(resource_type).to_owned()));
        }
        // Documented as optional, required by the crate's types.
        for field in ["ResourceProperties", "OldResourceProperties"] {
            message
                .entry(field)
                .or_insert_with(|| Value::Object(Map::new()));
        }
        let request = serde_json::from_value(Value::Object(message))
            .map_err(|error| RequestError::Shape(without_value(&error.to_string())))?;
        let operation = match request {
            CloudFormationCustomResourceRequest::<Value, Value>::Create(create) => {
                Operation::Create(Properties::parse(&create.resource_properties)?)
            }
            CloudFormationCustomResourceRequest::Update(update) => {
                let mut new = Properties::parse(&update.resource_properties)?;
                let old = Properties::parse(&update.old_resource_properties).ok();
                if let Some(old) = &old {
                    new.set_previous(old);
                }
                Operation::Update { new, old }
            }
            CloudFormationCustomResourceRequest::Delete(delete) => {
                Operation::Delete(Properties::parse(&delete.resource_properties))
            }
            _ => {
                let kind = header.request_type.as_str().to_owned();
                return Err(RequestError::RequestType(kind));
            }
        };
        Ok(Self {
            header,
            operation,
            published_at: timing.published_at,
            deadline: timing.deadline,
        })
    }
}

/// The deadline: a tenth of the time that CloudFormation waits, 1 s to 15 s but no more than half of it, is reserved for
/// sending the response.
fn deadline(
    published_at: DateTime<Utc>,
    service_timeout: Duration,
    url_expires: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let margin = (service_timeout / 10)
        .clamp(Duration::from_secs(1), Duration::from_secs(15))
        .min(service_timeout / 2);
    let wait = TimeDelta::from_std(service_timeout.saturating_sub(margin)).unwrap_or_default();
    let by_timeout = published_at
        .checked_add_signed(wait)
        .unwrap_or(published_at);
    match url_expires {
        Some(expires) => by_timeout.min(
            expires
                .checked_sub_signed(TimeDelta::seconds(15))
                .unwrap_or(expires),
        ),
        None => by_timeout,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: impl FnOnce(&mut Map<String, Value>)) -> Result<Request, RequestError> {
        let stack = "arn:aws:cloudformation:us-east-1:123456789012:stack/app/5b9";
        let Value::Object(mut message) = json!({
            "RequestType": "Create",
            "ResponseURL": format!(
                "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/{stack}%7CL%7Cr-1\
                 ?X-Amz-Date=20260301T120000Z&X-Amz-Expires=7200&X-Amz-Signature=ab"
            ),
            "StackId": stack,
            "RequestId": "r-1",
            "LogicalResourceId": "L",
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": {"DBSecret": "demo1", "Extensions": ["pgcrypto"]},
        }) else {
            unreachable!()
        };
        change(&mut message);
        let header = RequestHeader::read(&message).unwrap();
        let url = ResponseUrl::check(&header, None, None).unwrap();
        let timing = Timing::of(&header, &url, None, Utc::now());
        Request::read(header, message, timing)
    }

    fn set(field: &str, value: Value) -> impl FnOnce(&mut Map<String, Value>) {
        let field = field.to_owned();
        move |message| drop(message.insert(field, value))
    }

    #[test]
    fn errors_that_can_be_answered_are_reported() {
        let reason = |result: Result<Request, RequestError>| result.unwrap_err().to_string();
        assert_eq!(
            reason(read(set("RequestType", json!("Upsert")))),
            "RequestType: \"Upsert\" is not one of Create, Update, Delete"
        );
        assert_eq!(
            reason(read(set("ResourceType", json!("Custom::Other")))),
            "ResourceType: \"Custom::Other\" is not served here; use Custom::PostgresExtensions"
        );
        assert_eq!(
            reason(read(|message| drop(message.remove("ResourceProperties")))),
            "DBSecret: required"
        );
        assert_eq!(
            reason(read(set("RequestType", json!("Update")))),
            "the request is not one of CloudFormation's: missing field `PhysicalResourceId`"
        );
    }

    #[test]
    fn a_delete_with_useless_properties_is_still_a_delete() {
        let request = read(|message| {
            message.insert("RequestType".to_owned(), json!("Delete"));
            message.insert("PhysicalResourceId".to_owned(), json!("p"));
            message.insert("ResourceProperties".to_owned(), json!({"Old": "format"}));
        });
        assert!(matches!(
            request.unwrap().operation,
            Operation::Delete(Err(_))
        ));
    }

    #[test]
    fn the_deadline_counts_from_publication_and_leaves_time_to_answer() {
        let after = |timeout: &str| {
            let request = read(set("ServiceTimeout", json!(timeout))).unwrap();
            (request.deadline - request.published_at).as_seconds_f64()
        };
        assert_eq!(after("1"), 0.5);
        assert_eq!(after("10"), 9.0);
        assert_eq!(after("60"), 54.0);
        assert_eq!(after("3600"), 3585.0);
    }
}
