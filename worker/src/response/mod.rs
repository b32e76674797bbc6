//! The answer to CloudFormation: at most 4096 bytes, whatever happened. Pure.

mod data;
mod physical_id;
pub mod reason;

use std::collections::BTreeMap;

pub use data::data;
pub use physical_id::{own_id, physical_resource_id, was_never_created};

use aws_lambda_events::cloudformation::CloudFormationCustomResourceResponseStatus as Status;
use serde::Serialize;

use crate::message::Coordinates;

/// CloudFormation's bound of the body, in bytes after JSON escaping.
pub const MAX_BODY_BYTES: usize = 4096;

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was carried out; the texts are what `Fn::GetAtt` finds.
    Success(BTreeMap<String, String>),
    /// It was not; the text is the Reason.
    Failed(String),
}

/// The document that is PUT.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    status: Status,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: &'a BTreeMap<String, String>,
}

/// Writes the body. What is too long is cut: the Reason at its end; of the Data the longest value first, so that every
/// key that a template names is still there.
pub fn body(coordinates: &Coordinates, physical_resource_id: &str, verdict: &Verdict) -> Vec<u8> {
    let nothing = BTreeMap::new();
    let (status, mut reason, mut data) = match verdict {
        Verdict::Success(data) => (Status::Success, String::new(), data.clone()),
        Verdict::Failed(reason) => (Status::Failed, reason.clone(), nothing),
    };
    loop {
        let body = Body {
            status: status.clone(),
            reason: &reason,
            physical_resource_id,
            stack_id: &coordinates.stack_id.arn,
            request_id: &coordinates.request_id,
            logical_resource_id: &coordinates.logical_resource_id,
            data: &data,
        };
        // A struct of texts always serialises.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let excess = bytes.len().saturating_sub(MAX_BODY_BYTES);
        if excess == 0 {
            return bytes;
        }
        let longest = data
            .values_mut()
            .max_by_key(|value| value.len())
            .filter(|value| !value.is_empty());
        if !reason.is_empty() {
            shorten(&mut reason, excess);
        } else if let Some(value) = longest {
            shorten(value, excess);
        } else if data.pop_last().is_none() {
            // The coordinates are bounded where they are read: this is never reached.
            return bytes;
        }
    }
}

const ELLIPSIS: &str = "…";

/// Takes at least `excess` bytes from the end, and all where that is as much.
fn shorten(text: &mut String, excess: usize) {
    let mut keep = text.len().saturating_sub(excess + ELLIPSIS.len());
    while !text.is_char_boundary(keep) {
        keep -= 1;
    }
    text.truncate(keep);
    if keep > 0 {
        text.push_str(ELLIPSIS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn coordinates() -> Coordinates {
        let message = json!({
            "RequestType": "Create",
            "ResponseURL": "https://example/",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10",
            "RequestId": "7f6f9b2e",
            "LogicalResourceId": "InstallPlugins",
        });
        Coordinates::read(message.as_object().unwrap()).unwrap()
    }

    fn text(verdict: &Verdict) -> String {
        String::from_utf8(body(&coordinates(), "id", verdict)).unwrap()
    }

    #[test]
    fn an_answer_holds_what_cloudformation_needs_and_no_nulls() {
        insta::assert_snapshot!(text(&Verdict::Failed("no".to_owned())), @r#"{"Status":"FAILED","Reason":"no","PhysicalResourceId":"id","StackId":"arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10","RequestId":"7f6f9b2e","LogicalResourceId":"InstallPlugins"}"#);
        let data = BTreeMap::from([("Extensions".to_owned(), "pgcrypto=1.3".to_owned())]);
        insta::assert_snapshot!(text(&Verdict::Success(data)), @r#"{"Status":"SUCCESS","PhysicalResourceId":"id","StackId":"arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10","RequestId":"7f6f9b2e","LogicalResourceId":"InstallPlugins","Data":{"Extensions":"pgcrypto=1.3"}}"#);
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
        let answer: Value = serde_json::from_str(&text(&Verdict::Success(data.clone()))).unwrap();
        let keys: Vec<&String> = answer["Data"].as_object().unwrap().keys().collect();
        assert_eq!(keys, data.keys().collect::<Vec<_>>());
        assert_eq!(answer["Data"]["x"], "1.0");
    }

    proptest! {
        #[test]
        fn no_answer_is_larger_than_cloudformation_takes(reason in "\\PC{0,5000}|[\"\\\\\u{0}\u{1f600}]{0,5000}") {
            let body = text(&Verdict::Failed(reason.clone()));
            prop_assert!(body.len() <= MAX_BODY_BYTES);
            let answer: Value = serde_json::from_str(&body).unwrap();
            let told = answer["Reason"].as_str().unwrap_or_default().trim_end_matches('…');
            prop_assert!(reason.starts_with(told));
        }

        #[test]
        fn no_data_makes_it_larger(data in proptest::collection::btree_map("[a-z\"]{0,40}", "\\PC{0,600}", 0..40)) {
            let body = text(&Verdict::Success(data));
            prop_assert!(body.len() <= MAX_BODY_BYTES);
        }
    }
}
