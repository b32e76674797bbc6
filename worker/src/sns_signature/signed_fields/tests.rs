//! Fields, and the text that is signed.

use serde_json::json;

use super::*;
use crate::sns_signature::{Signature, SignatureFieldError, SignatureVersion, SignedFields};

const FILE: &str = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:extension-worker";

fn envelope() -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "7c72a0bb",
        "TopicArn": TOPIC,
        "Subject": "AWS CloudFormation custom resource request",
        "Message": "{\"b\": 1,\n  \"a\": \"ü\\u00fc\"}",
        "Timestamp": "2026-03-01T12:00:00.042Z",
        "SignatureVersion": "1",
        "Signature": "AAEC",
        "SigningCertURL": format!("https://sns.us-east-1.amazonaws.com/{FILE}"),
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
}

fn read(envelope: Value) -> Result<Signature, SignatureFieldError> {
    SignedFields::new(envelope.as_object().unwrap()).signature(None)
}

fn with(field: &str, value: Value) -> Result<Signature, SignatureFieldError> {
    let mut envelope = envelope();
    envelope[field] = value;
    read(envelope)
}

fn without(field: &str) -> Result<Signature, SignatureFieldError> {
    let mut envelope = envelope();
    envelope.as_object_mut().unwrap().remove(field);
    read(envelope)
}

#[test]
fn the_text_is_the_fields_as_they_came() {
    let signature = read(envelope()).unwrap();
    insta::assert_snapshot!(signature.text, @r#"
    Message
    {"b": 1,
      "a": "ü\u00fc"}
    MessageId
    7c72a0bb
    Subject
    AWS CloudFormation custom resource request
    Timestamp
    2026-03-01T12:00:00.042Z
    TopicArn
    arn:aws:sns:us-east-1:123456789012:extension-worker
    Type
    Notification
    "#);
    assert!(signature.text.ends_with("Notification\n"));
    assert_eq!(signature.version, SignatureVersion::One);
    assert_eq!(signature.bytes, [0, 1, 2]);
}

#[test]
fn a_subject_may_be_absent() {
    for read in [without("Subject"), with("Subject", Value::Null)] {
        let text = read.unwrap().text;
        assert!(text.contains("MessageId\n7c72a0bb\nTimestamp\n"), "{text}");
    }
}

#[test]
fn every_other_field_is_needed_and_named() {
    for field in [
        "Message",
        "MessageId",
        "Timestamp",
        "TopicArn",
        "Type",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
    ] {
        assert_eq!(
            without(field).unwrap_err().to_string(),
            format!("the SNS envelope has no {field}")
        );
        assert_eq!(
            with(field, json!(1)).unwrap_err().to_string(),
            format!("{field} of the SNS envelope is not a string")
        );
    }
}

#[test]
fn versions_are_one_and_two() {
    assert_eq!(
        with("SignatureVersion", json!("2")).unwrap().version,
        SignatureVersion::Two
    );
    assert_eq!(
        with("SignatureVersion", json!("3"))
            .unwrap_err()
            .to_string(),
        "SignatureVersion \"3\" of the SNS envelope is not one of 1, 2"
    );
    let hostile = format!("1\u{0}\n{}", "2".repeat(300_000));
    assert_eq!(
        with("SignatureVersion", json!(hostile)),
        Err(SignatureFieldError::Version(
            "12222222222222222222".to_owned()
        ))
    );
}

#[test]
fn a_signature_is_base64() {
    for wrong in ["EXAMPLE", "****", "AAEC\n"] {
        assert_eq!(
            with("Signature", json!(wrong)),
            Err(SignatureFieldError::NotBase64),
            "{wrong}"
        );
    }
}

#[test]
fn the_other_spelling_of_the_url_will_do() {
    let mut envelope = envelope();
    let url = envelope.as_object_mut().unwrap().remove("SigningCertURL");
    envelope["SigningCertUrl"] = url.unwrap();
    assert_eq!(
        read(envelope).unwrap().certificate.url().path(),
        format!("/{FILE}")
    );
}
