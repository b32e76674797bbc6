//! First stage: the fields that a response needs, parsed leniently, so that a request with any other error can be answered.

use std::time::Duration;

use serde_json::{Map, Value};

use super::text::{printable, word};
use super::{Arn, HeaderError};

/// CloudFormation's default and maximum of `ServiceTimeout`.
const MAX_SERVICE_TIMEOUT: Duration = Duration::from_secs(3600);

/// CloudFormation's limit for a physical resource id; the other texts that a response repeats are shorter. With these
/// limits the 4096 bytes of a response have room for a Reason.
const MAX_ID_BYTES: usize = 1024;
/// CloudFormation's limit for a logical resource id; a request id is a UUID.
const MAX_NAME_BYTES: usize = 255;
/// Maximum length of a quoted text that is not `Create`, `Update` or `Delete`.
const MAX_KIND_CHARACTERS: usize = 64;

/// The type of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestType {
    /// The resource is created.
    Create,
    /// Its properties changed.
    Update,
    /// The resource is deleted.
    Delete,
    /// A type that CloudFormation does not document; empty if the field is missing.
    Unknown(String),
}

impl RequestType {
    /// CloudFormation's word for the type.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Unknown(text) => text,
        }
    }
}

/// The ARN of a stack: `arn:<partition>:cloudformation:<region>:<account>:stack/<name>/<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StackId {
    /// The whole ARN.
    pub(crate) arn: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(crate) partition: String,
    /// The stack's region.
    pub(crate) region: String,
    /// The stack's account.
    pub(crate) account: String,
}

impl StackId {
    fn parse(arn: &str) -> Option<Self> {
        let Arn {
            partition,
            region,
            account,
            resource,
            ..
        } = Arn::parse(arn).filter(|arn| arn.service == "cloudformation")?;
        // The region becomes part of a host name: it may contain only the characters of regions.
        let is_region = !region.is_empty()
            && region
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let is_account = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_partition = !partition.is_empty()
            && partition
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        (is_partition && is_region && is_account && resource.starts_with("stack/")).then(|| Self {
            arn: arn.to_owned(),
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
        })
    }
}

/// The identity of a request, and where its response is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The type of the request.
    pub(crate) request_type: RequestType,
    /// The stack.
    pub(crate) stack_id: StackId,
    /// Identifies the request within the stack.
    pub(crate) request_id: String,
    /// The logical id: the resource's name in the template.
    pub(crate) logical_resource_id: String,
    /// The physical id in an earlier response; a Create has none.
    pub(crate) physical_resource_id: Option<String>,
    /// `Custom::…`.
    pub(crate) resource_type: Option<String>,
    /// The ResponseURL, not yet checked.
    pub(crate) response_url: String,
    /// How long CloudFormation waits for the response, 1 s to 1 h.
    pub(crate) service_timeout: Duration,
}

impl RequestHeader {
    /// Parses the header.
    ///
    /// # Errors
    /// [`HeaderError`] with the field without which no response can be sent.
    pub fn read(message: &Map<String, Value>) -> Result<Self, HeaderError> {
        let text = |field: &str| {
            message
                .get(field)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let required = |field: &'static str| text(field).ok_or(HeaderError::Missing(field));
        // Repeated in the response: printable, so that JSON does not make it longer.
        let repeated = |field: &'static str, max_bytes: usize| {
            required(field).and_then(|text| {
                let fits = text.len() <= max_bytes && text.chars().all(|c| c.is_ascii_graphic());
                if fits {
                    Ok(text)
                } else {
                    Err(HeaderError::Unrepeatable(field))
                }
            })
        };
        let response_url = required("ResponseURL")?;
        let stack_id = repeated("StackId", MAX_ID_BYTES)?;
        let physical_resource_id = text("PhysicalResourceId");
        let is_too_much = |id: &String| id.len() > MAX_ID_BYTES || id.contains(char::is_control);
        if physical_resource_id.as_ref().is_some_and(is_too_much) {
            return Err(HeaderError::Unrepeatable("PhysicalResourceId"));
        }
        Ok(Self {
            request_type: match message.get("RequestType") {
                Some(Value::String(kind)) => match kind.as_str() {
                    "Create" => RequestType::Create,
                    "Update" => RequestType::Update,
                    "Delete" => RequestType::Delete,
                    other => RequestType::Unknown(printable(word(other), MAX_KIND_CHARACTERS)),
                },
                Some(other) => {
                    RequestType::Unknown(printable(word(&other.to_string()), MAX_KIND_CHARACTERS))
                }
                None => RequestType::Unknown(String::new()),
            },
            stack_id: StackId::parse(&stack_id).ok_or(HeaderError::StackId)?,
            request_id: repeated("RequestId", MAX_NAME_BYTES)?,
            logical_resource_id: repeated("LogicalResourceId", MAX_NAME_BYTES)?,
            physical_resource_id,
            resource_type: text("ResourceType"),
            response_url,
            service_timeout: service_timeout(message),
        })
    }
}

/// A value that is missing or out of CloudFormation's range means the default, as CloudFormation itself waits that long.
fn service_timeout(message: &Map<String, Value>) -> Duration {
    let declared = message.get("ServiceTimeout").or_else(|| {
        message
            .get("ResourceProperties")
            .and_then(|properties| properties.get("ServiceTimeout"))
    });
    let seconds = match declared {
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_u64(),
        _ => None,
    };
    seconds
        .map(Duration::from_secs)
        .filter(|timeout| (Duration::from_secs(1)..=MAX_SERVICE_TIMEOUT).contains(timeout))
        .unwrap_or(MAX_SERVICE_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(change: impl FnOnce(&mut Map<String, Value>)) -> Map<String, Value> {
        let Value::Object(mut message) = json!({
            "RequestType": "Create",
            "ResponseURL": "https://example/",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10",
            "RequestId": "7f6f9b2e",
            "LogicalResourceId": "InstallPlugins",
        }) else {
            unreachable!()
        };
        change(&mut message);
        message
    }

    #[test]
    fn any_other_fault_leaves_the_coordinates_readable() {
        let header = RequestHeader::read(&message(|message| {
            message.insert("RequestType".to_owned(), json!(["Create"]));
            message.insert("ResourceProperties".to_owned(), json!("nonsense"));
        }))
        .unwrap();
        assert_eq!(
            header.request_type,
            RequestType::Unknown("(not shown)".to_owned())
        );
    }

    #[test]
    fn what_an_answer_needs_is_named_when_it_is_missing() {
        for field in ["ResponseURL", "StackId", "RequestId", "LogicalResourceId"] {
            let error =
                RequestHeader::read(&message(|message| drop(message.remove(field)))).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
        let foreign = message(|message| {
            drop(message.insert("StackId".to_owned(), json!("arn:aws:s3:::bucket")))
        });
        assert!(matches!(
            RequestHeader::read(&foreign),
            Err(HeaderError::StackId)
        ));
    }

    #[test]
    fn a_service_timeout_that_is_missing_garbage_or_out_of_range_is_an_hour() {
        let with = |timeout: Value| {
            RequestHeader::read(&message(|message| {
                drop(message.insert("ServiceTimeout".to_owned(), timeout))
            }))
            .unwrap()
            .service_timeout
            .as_secs()
        };
        assert_eq!(with(json!("30")), 30);
        assert_eq!(with(json!(30)), 30);
        for odd in [
            json!("0"),
            json!("3601"),
            json!("soon"),
            json!(-1),
            json!(null),
            json!({}),
        ] {
            assert_eq!(with(odd), 3600);
        }
    }
}
