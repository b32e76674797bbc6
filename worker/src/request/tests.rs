//! A message as SNS delivers it, the whole way through both stages.

use super::*;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:extension-worker";

#[test]
fn a_realistic_message_is_read_whole() {
    let body = include_str!("../../testdata/sns-create.json");
    let envelope = Envelope::open(body, &[TOPIC.to_owned()]).unwrap();
    let header = RequestHeader::read(&envelope.message).unwrap();
    let url = ResponseUrl::check(&header, envelope.topic_arn.as_deref(), None).unwrap();
    let timing = Timing::of(&header, &url, envelope.timestamp, chrono::Utc::now());
    let request = Request::read(header, envelope.message, timing).unwrap();

    let Operation::Create(properties) = request.operation else {
        panic!("{:?} is no Create", request.operation);
    };
    let declared: Vec<String> = properties
        .declarations
        .iter()
        .map(|declaration| format!("{} {}", declaration.name, declaration.version.as_str()))
        .collect();
    assert_eq!(declared, ["PostGIS 3.0.3", "pgcrypto 1.3"]);
    assert_eq!(
        properties.db_secret,
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo1-AbCdEf"
    );
    // ServiceTimeout 600, less the 15 s that are kept for the answer.
    assert_eq!(
        request.deadline.to_rfc3339(),
        "2026-03-01T12:09:45.042+00:00"
    );
}
