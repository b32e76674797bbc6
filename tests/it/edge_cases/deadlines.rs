//! Deadlines: met, past, and none that makes sense.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use extension_worker::handler::Disposition;
use serde_json::json;

use super::{Case, reason, slow};
use crate::support::{Fixture, delivery, eventually};

// 18
#[tokio::test]
async fn at_the_deadline_the_statement_is_cancelled_and_the_answer_says_what_it_was() {
    let mut case = Case::new().await;
    let slow = slow(&case, 60);
    // What comes before takes its share of the time.
    let first = Fixture::install(
        &format!("{}_first", case.database.name),
        "default_version = '1'\n",
        &[("1", "SELECT pg_sleep(2);")],
    );
    let mut properties = case.declare(&json!([first.name, slow.name]));
    properties["ServiceTimeout"] = json!("5");
    let begun = Instant::now();
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        reason(&failed).contains(&format!("Extension \"{}\"", slow.name)),
        "{failed}"
    );
    assert!(reason(&failed).contains("did not end in time"), "{failed}");
    assert!(case.installed().await.is_empty());
    let busy = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
                AND query LIKE 'CREATE EXTENSION%' AND state <> 'idle'";
    eventually("the statement's end", async || {
        (case.database.text(busy).await == "0").then_some(())
    })
    .await;

    // The Reason also says what another request holds.
    let _lock = case.database.lock().await;
    case.now = Utc::now();
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(reason(&failed).contains("is locked by process"), "{failed}");
}

// 19
#[tokio::test]
async fn a_message_that_is_past_its_deadline_changes_nothing_and_is_not_answered() {
    let mut case = Case::new().await;
    let mut properties = case.declare(&json!(["hstore"]));
    properties["ServiceTimeout"] = json!("60");
    case.now = Utc::now() - TimeDelta::seconds(61);
    let create = case.ask("Create", &properties);
    let disposition = case.worker.handle(&delivery(create.body())).await;
    assert_eq!(disposition, Disposition::Done);
    assert_eq!(case.answers.of(&create.key), [""; 0]);
    assert!(case.installed().await.is_empty());

    // Raw delivery: the URL says when the request was made.
    let mut raw = case.ask("Create", &properties);
    for signed in [
        format!(
            "X-Amz-Date={}&X-Amz-Expires=7200&X-Amz-Signature=ab",
            case.now.format("%Y%m%dT%H%M%SZ")
        ),
        format!(
            "AWSAccessKeyId=A&Expires={}&Signature=ab",
            case.now.timestamp() + 7200
        ),
    ] {
        let url = raw.message["ResponseURL"].as_str().unwrap().to_owned();
        let (path, _) = url.split_once('?').unwrap();
        raw.message["ResponseURL"] = json!(format!("{path}?{signed}"));
        let disposition = case.worker.handle(&delivery(raw.message.to_string())).await;
        assert_eq!(disposition, Disposition::Done);
        assert_eq!(case.answers.of(&raw.key), [""; 0]);
    }
    assert!(case.installed().await.is_empty());

    // Nor is one that could not have been carried out.
    let mut old = case.ask("Delete", &properties).with_id("id");
    old.message["ResourceType"] = json!("Custom::Other");
    let disposition = case.worker.handle(&delivery(old.body())).await;
    assert_eq!(disposition, Disposition::Done);
    assert_eq!(case.answers.of(&old.key), [""; 0]);
}

// 20
#[tokio::test]
async fn a_service_timeout_that_makes_no_sense_is_an_hour() {
    let mut case = Case::new().await;
    for timeout in [
        json!("soon"),
        json!("0"),
        json!("3601"),
        json!({}),
        json!(-1),
    ] {
        let properties = case.declare(&json!(["hstore"]));
        case.now = Utc::now() - TimeDelta::minutes(59);
        let mut create = case.ask("Create", &properties);
        create.message["ServiceTimeout"] = timeout.clone();
        let answer = case.answer(&create).await;
        assert_eq!(answer["Status"], "SUCCESS", "{timeout}: {answer}");
        case.now = Utc::now() - TimeDelta::minutes(61);
        let mut old = case.ask("Create", &properties);
        old.message["ServiceTimeout"] = timeout;
        case.worker.handle(&delivery(old.body())).await;
        assert_eq!(case.answers.of(&old.key), [""; 0]);
        case.stack_id.push('x');
    }
}
