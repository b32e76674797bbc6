//! The response to CloudFormation: at most 4096 bytes. Pure.

mod data;
mod physical_id;
pub(crate) mod reason;

use std::collections::BTreeMap;

use data::data;
pub use physical_id::physical_resource_id;
pub(crate) use physical_id::{unchanged_id, was_never_created};

use aws_lambda_events::cloudformation::CloudFormationCustomResourceResponseStatus as Status;
use serde::{Deserialize, Serialize};

use crate::plan::DatabaseOutcome;
use crate::request::{Properties, RequestHeader, RequestType};

/// CloudFormation's limit for the body, in bytes after JSON escaping.
pub(crate) const MAX_BODY_BYTES: usize = 4096;

/// A response. Its text is the body of the PUT, and is stored in the ledger, so that each PUT sends the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    document: Document,
    text: String,
}

/// The document. It has no NoEcho: the Data contains no secret, and is visible by CloudFormation's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    status: Status,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    physical_resource_id: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<String, String>,
}

/// The parameters of the response of a request that may still succeed.
#[derive(Debug, Clone, Copy)]
pub struct SuccessTemplate<'a> {
    /// The request.
    pub header: &'a RequestHeader,
    /// The properties.
    pub properties: &'a Properties,
    /// The physical id in case of success.
    pub physical_resource_id: &'a str,
}

impl SuccessTemplate<'_> {
    /// The response when each database has this outcome. The response to a Delete has no Data, because nothing can refer to
    /// it any more: its Reason says which extensions stayed, and why.
    pub fn success(&self, outcomes: &[(String, DatabaseOutcome)]) -> Response {
        let (reason, data) = match self.header.request_type {
            RequestType::Delete => (reason::of_what_stayed(outcomes), BTreeMap::new()),
            RequestType::Create | RequestType::Update | RequestType::Unknown(_) => {
                (String::new(), data(self.properties, outcomes))
            }
        };
        Response::write(
            self.header,
            self.physical_resource_id,
            Status::Success,
            reason,
            data,
        )
    }
}

impl Response {
    /// The response to a failed request: the resource keeps its physical id.
    pub(crate) fn failed(header: &RequestHeader, reason: String) -> Self {
        let id = unchanged_id(header);
        Self::write(header, &id, Status::Failed, reason, BTreeMap::new())
    }

    /// The response to a Delete of a resource that was never created.
    pub(crate) fn nothing_to_delete(header: &RequestHeader) -> Self {
        let id = unchanged_id(header);
        Self::write(header, &id, Status::Success, String::new(), BTreeMap::new())
    }

    /// The response to a Delete that succeeded although something stays: the Reason says what and why.
    pub(crate) fn deleted_with_reason(header: &RequestHeader, why: String) -> Self {
        let id = unchanged_id(header);
        Self::write(header, &id, Status::Success, why, BTreeMap::new())
    }

    /// Serializes the response. Text that is too long is cut: first the end of the Reason, then the longest values of the
    /// Data, so that every key that a template refers to still exists.
    fn write(
        header: &RequestHeader,
        physical_resource_id: &str,
        status: Status,
        reason: String,
        data: BTreeMap<String, String>,
    ) -> Self {
        let mut document = Document {
            status,
            reason,
            physical_resource_id: physical_resource_id.to_owned(),
            stack_id: header.stack_id.arn.clone(),
            request_id: header.request_id.clone(),
            logical_resource_id: header.logical_resource_id.clone(),
            data,
        };
        loop {
            // A struct of texts can always be serialized.
            let text = serde_json::to_string(&document).unwrap_or_default();
            let excess = text.len().saturating_sub(MAX_BODY_BYTES);
            if excess == 0 {
                return Self { document, text };
            }
            let longest = document
                .data
                .values_mut()
                .max_by_key(|value| value.len())
                .filter(|value| !value.is_empty());
            if !document.reason.is_empty() {
                shorten(&mut document.reason, excess);
            } else if let Some(value) = longest {
                // No more than half at once, so that a value is left of each that is long.
                let half = value.len() / 2 + 1;
                shorten(value, excess.min(half));
            } else if document.data.pop_last().is_none() {
                // The fields of the header are limited when they are parsed: this is never reached.
                return Self { document, text };
            }
        }
    }

    /// Parses a response that was stored.
    ///
    /// # Errors
    /// The text is not a response.
    pub(crate) fn from_text(text: String) -> Result<Self, serde_json::Error> {
        Ok(Self {
            document: serde_json::from_str(&text)?,
            text,
        })
    }

    /// The body, at most [`MAX_BODY_BYTES`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the status is SUCCESS.
    pub(crate) fn is_success(&self) -> bool {
        self.document.status == Status::Success
    }

    /// `SUCCESS` or `FAILED`.
    pub(crate) fn status(&self) -> &'static str {
        if self.is_success() {
            "SUCCESS"
        } else {
            "FAILED"
        }
    }

    /// The Reason of a failure; of a successful Delete the extensions that stayed, and why; otherwise empty.
    pub(crate) fn reason(&self) -> &str {
        &self.document.reason
    }

    /// The physical resource id.
    pub(crate) fn physical_resource_id(&self) -> &str {
        &self.document.physical_resource_id
    }
}

const ELLIPSIS: &str = "…";

/// Removes at least `excess` bytes of JSON from the end, or the whole text.
fn shorten(text: &mut String, excess: usize) {
    let mut taken = 0;
    let keep = text.char_indices().rev().find_map(|(at, character)| {
        taken += escaped_bytes(character);
        (taken >= excess + ELLIPSIS.len()).then_some(at)
    });
    let keep = keep.unwrap_or_default();
    text.truncate(keep);
    if keep > 0 {
        text.push_str(ELLIPSIS);
    }
}

/// How many bytes JSON makes of a character.
fn escaped_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn header() -> RequestHeader {
        let message = json!({
            "RequestType": "Create",
            "ResponseURL": "https://example/",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10",
            "RequestId": "7f6f9b2e",
            "LogicalResourceId": "InstallPlugins",
        });
        RequestHeader::read(message.as_object().unwrap()).unwrap()
    }

    fn failed(reason: String) -> Response {
        Response::write(&header(), "id", Status::Failed, reason, BTreeMap::new())
    }

    fn succeeded(data: BTreeMap<String, String>) -> Response {
        Response::write(&header(), "id", Status::Success, String::new(), data)
    }

    #[test]
    fn an_answer_holds_what_cloudformation_needs_and_no_nulls() {
        insta::assert_snapshot!(failed("no".to_owned()).text, @r#"{"Status":"FAILED","Reason":"no","PhysicalResourceId":"id","StackId":"arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10","RequestId":"7f6f9b2e","LogicalResourceId":"InstallPlugins"}"#);
        let data = BTreeMap::from([("Extensions".to_owned(), "pgcrypto=1.3".to_owned())]);
        insta::assert_snapshot!(succeeded(data).text, @r#"{"Status":"SUCCESS","PhysicalResourceId":"id","StackId":"arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10","RequestId":"7f6f9b2e","LogicalResourceId":"InstallPlugins","Data":{"Extensions":"pgcrypto=1.3"}}"#);
    }

    #[test]
    fn a_long_answer_keeps_its_keys() {
        let data: BTreeMap<String, String> = [
            ("Changes", "created x; ".repeat(900)),
            ("Extensions", "x=1,".repeat(300)),
            ("x", "1.0".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let answer: Value = serde_json::from_str(&succeeded(data.clone()).text).unwrap();
        let keys: Vec<&String> = answer["Data"].as_object().unwrap().keys().collect();
        assert_eq!(keys, data.keys().collect::<Vec<_>>());
        assert_eq!(answer["Data"]["x"], "1.0");
    }

    #[test]
    fn of_several_long_values_a_part_of_each_is_left() {
        let data = ["Before", "Changes", "Databases"];
        let data = data.map(|key| (key.to_owned(), "x".repeat(20_000 * key.len())));
        let answer: Value = serde_json::from_str(&succeeded(data.into()).text).unwrap();
        for (key, value) in answer["Data"].as_object().unwrap() {
            assert!(value.as_str().unwrap().len() > 500, "{key}: {value}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_larger_than_cloudformation_takes(reason in "\\PC{0,5000}|[\"\\\\\u{0}\u{1f600}]{0,5000}") {
            let body = failed(reason.clone()).text;
            prop_assert!(body.len() <= MAX_BODY_BYTES);
            let answer: Value = serde_json::from_str(&body).unwrap();
            let printed = answer["Reason"].as_str().unwrap_or_default();
            // What is cut fills the answer.
            prop_assert!(printed == reason || body.len() > MAX_BODY_BYTES - 2 * "\\u0000".len());
            let printed = printed.trim_end_matches('…');
            prop_assert!(reason.starts_with(printed));
        }

        #[test]
        fn no_data_makes_it_larger(data in proptest::collection::btree_map("[a-z\"]{0,40}", "\\PC{0,600}", 0..40)) {
            let body = succeeded(data).text;
            prop_assert!(body.len() <= MAX_BODY_BYTES);
        }

        #[test]
        fn what_was_kept_is_put_as_it_was(data in proptest::collection::btree_map("[a-z]{0,9}", "\\PC{0,60}", 0..4), reason in "\\PC{0,60}") {
            for response in [succeeded(data.clone()), failed(reason.clone())] {
                prop_assert_eq!(&Response::from_text(response.text().to_owned()).unwrap(), &response);
            }
        }
    }
}
