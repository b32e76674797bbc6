//! Messages that the worker does not serve, does not understand or may not answer.

use extension_worker::handler::{Disposition, HandlerSettings};
use serde_json::{Value, json};

use super::{Case, reason};
use crate::support::{delivery, handler_settings, handler_with, secret};

// 21
#[tokio::test]
async fn a_resource_type_that_is_not_served_fails_at_once_and_can_be_deleted() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let mut create = case.ask("Create", &properties);
    create.message["ResourceType"] = json!("Custom::MysqlPlugins");
    let failed = case.answer(&create).await;
    assert!(
        reason(&failed).contains("\"Custom::MysqlPlugins\" is not served"),
        "{failed}"
    );
    let id = failed["PhysicalResourceId"].as_str().unwrap();
    let mut delete = case.ask("Delete", &properties).with_id(id);
    delete.message["ResourceType"] = json!("Custom::MysqlPlugins");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(case.installed().await.is_empty());
}

// 22
#[tokio::test]
async fn a_request_that_cannot_be_understood_is_answered_where_it_says_where() {
    let mut case = Case::new().await;
    let good = case.declare(&json!(["hstore"]));
    let mut bad = good.clone();
    bad["Extensionz"] = json!([]);
    for (kind, properties, expected) in [
        ("Upsert", &good, "RequestType: \"Upsert\""),
        ("", &good, "RequestType: \"\""),
        ("Create", &bad, "Extensionz: unknown property"),
        (
            "Create",
            &json!([]),
            "ResourceProperties: must be an object",
        ),
        ("Update", &bad, "PhysicalResourceId"),
    ] {
        let request = case.ask(kind, properties);
        let failed = case.answer(&request).await;
        assert!(reason(&failed).contains(expected), "{failed}");
    }
    assert!(case.database.ddl().is_empty());
}

// 23
#[tokio::test]
async fn a_request_that_may_not_be_answered_is_a_dead_letter_and_touches_nothing() {
    let mut case = Case::new().await;
    let settings = HandlerSettings {
        topics: vec!["arn:aws:sns:us-east-1:123456789012:extension-worker".to_owned()],
        accounts: vec!["123456789012".to_owned()],
        ..handler_settings()
    };
    let worker = handler_with(&case.answers, settings, secret());
    let properties = case.declare(&json!(["hstore"]));
    let good = case.ask("Create", &properties);
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request.message[field] = value;
        request.body()
    };
    let foreign = good
        .message
        .to_string()
        .replace("123456789012", "210987654321");
    for (body, expected) in [
        ("nonsense".to_owned(), "the body is not JSON"),
        (
            with("ResponseURL", json!("https://evil.example/")),
            "ResponseURL names host \"evil.example\"",
        ),
        (with("ResponseURL", Value::Null), "ResponseURL: missing"),
        (
            with("StackId", json!("arn:aws:s3:::bucket")),
            "StackId: not the ARN of a stack",
        ),
        (
            good.body().replace(":extension-worker", ":another"),
            "topic arn:aws:sns:us-east-1:123456789012:another",
        ),
        (foreign, "account 210987654321"),
        (
            with(
                "ResponseURL",
                json!(format!("https://{}/", "a".repeat(100_000))),
            ),
            "ResponseURL",
        ),
        (
            good.body().replace(
                ":extension-worker",
                &format!(":{}\\u0001", "x".repeat(100_000)),
            ),
            "topic (not shown)",
        ),
    ] {
        match worker.handle(&delivery(body)).await {
            Disposition::DeadLetter(reason) => {
                assert!(reason.contains(expected), "{reason}");
                assert!(reason.len() < 2000 && !reason.contains(char::is_control));
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(case.answers.of(&good.key), [""; 0]);
    assert!(case.installed().await.is_empty());
}
