//! ResponseBucket: given twice, not taken, not acknowledged, at the last chance.

use std::time::{Duration, Instant};

use extension_worker::credentials::secrets::Password;
use extension_worker::handler::{Disposition, HandlerSettings};
use serde_json::json;

use super::{Case, reason, with_short_retry_budget};
use crate::support::{
    Database, Fixture, Put, delivery, handler, handler_settings, handler_with, secret,
};

// 15
#[tokio::test]
async fn a_request_that_comes_twice_is_answered_byte_for_byte_by_any_worker() {
    let mut case = Case::new().await;
    let other = Database::create(&format!("{}_b", case.database.name)).await;
    let alone = case.declare(&json!(["hstore"]));
    let mut both = case.declare(&json!(["cube"]));
    both["Databases"] = json!([case.database.name, other.name]);
    for properties in [alone, both] {
        let create = case.ask("Create", &properties);
        case.answer(&create).await;
        let ddl = (case.database.ddl(), other.ddl());
        // What the first answer says has changed since.
        case.database
            .execute("CREATE EXTENSION IF NOT EXISTS citext")
            .await;
        case.answer(&create).await;
        case.delivered_to(&handler(&case.answers), &create).await;
        let answers = case.answers.of(&create.key);
        assert_eq!(answers.len(), 3);
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:#?}"
        );
        assert_eq!((case.database.ddl(), other.ddl()), ddl);
    }
}

/// A database that was made meanwhile would be first in the list.

#[tokio::test]
async fn what_was_answered_for_every_database_is_answered_again_whatever_databases_there_are() {
    let mut case = Case::new().await;
    let role = format!("{}_role", case.database.name);
    let (owned, password) =
        Database::create_owned(&format!("{}_b", case.database.name), &role).await;
    let mut own = secret();
    own.username = role.clone();
    own.password = Some(Password::new(password));
    own.dbname = Some(owned.name.clone());
    let worker = handler_with(&case.answers, handler_settings(), own.clone());
    let mut properties = case.declare(&json!([{"Name": "hstore", "Version": "no-such"}]));
    properties.as_object_mut().unwrap().remove("DBName");
    properties["Databases"] = json!("*");
    let create = case.ask("Create", &properties);
    let failed = case.delivered_to(&worker, &create).await;
    assert!(reason(&failed).contains("hstore"), "{failed}");
    assert!(
        reason(&failed).contains(&owned.name),
        "the secret's database comes first: {failed}"
    );
    assert_eq!(
        owned
            .text("SELECT count(*)::text FROM extension_worker.ledger WHERE kind = 'request'")
            .await,
        "1"
    );
    let newer = Database::create(&format!("a{}", case.database.name)).await;
    let other_worker = handler_with(&case.answers, handler_settings(), own);
    case.delivered_to(&other_worker, &create).await;
    let answers = case.answers.of(&create.key);
    assert_eq!(answers[0], answers[1]);
    let ledger = "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'extension_worker'";
    assert_eq!(newer.text(ledger).await, "0");
}

// 16
#[tokio::test]
async fn an_answer_whose_message_could_not_be_acknowledged_is_given_again() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let properties = case.declare(&json!(["hstore"]));
    let delete = case.ask("Delete", &properties).with_id(&id);
    case.answer(&delete).await;
    // The acknowledgement got lost; meanwhile the database was used.
    case.database.execute("CREATE EXTENSION hstore").await;
    case.delivered_to(&handler(&case.answers), &delete).await;
    let answers = case.answers.of(&delete.key);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(case.installed().await, ["hstore"]);
}

// 17
#[tokio::test]
async fn a_message_whose_answer_is_not_taken_stays_in_the_queue() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let create = case.ask("Create", &properties);
    case.answers.set_next(&create.key, [Put::RequestLost; 100]);
    let worker = handler_with(&case.answers, with_short_retry_budget(), secret());
    let given_back = worker.handle(&delivery(create.body())).await;
    assert!(
        matches!(given_back, Disposition::ReturnToQueue(_)),
        "{given_back:?}"
    );
    assert_eq!(case.answers.of(&create.key), [""; 0]);
    case.answers.set_next(&create.key, []);
    let answer = case.delivered_to(&handler(&case.answers), &create).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(case.database.ddl().len(), 1);
}

#[tokio::test]
async fn an_answer_is_put_again_where_that_may_help_and_nowhere_else() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["no_such_extension"]));
    for status in [408, 429, 500, 503] {
        let create = case.ask("Create", &properties);
        case.answers.set_next(&create.key, [Put::Status(status); 2]);
        let failed = case.answer(&create).await;
        assert!(reason(&failed).contains("is not available"), "{status}");
    }
    // The URL expired or is wrong; and no redirect is followed.
    for status in [400, 403, 404, 301, 307] {
        let create = case.ask("Create", &properties);
        case.answers
            .set_next(&create.key, [Put::Status(status), Put::Accepted]);
        let disposition = case.worker.handle(&delivery(create.body())).await;
        assert_eq!(disposition, Disposition::Done, "{status}");
        assert_eq!(case.answers.of(&create.key), [""; 0]);
    }
    let keys = case.answers.all().into_iter().map(|(key, _)| key);
    assert!(keys.into_iter().all(|key| key.starts_with("arn:")));
}

// 24
#[tokio::test]
async fn on_the_last_receive_a_request_fails_that_would_else_be_tried_again() {
    let mut case = Case::new().await;
    let mut properties = case.declare(&json!(["hstore"]));
    properties["DBPort"] = json!(1);
    let create = case.ask("Create", &properties);
    let settings = HandlerSettings {
        max_receives: 3,
        retry_budget: Duration::from_secs(1),
        ..handler_settings()
    };
    let worker = handler_with(&case.answers, settings, secret());
    let mut message = delivery(create.body());
    message.receive_count = 2;
    let given_back = worker.handle(&message).await;
    assert!(
        matches!(given_back, Disposition::ReturnToQueue(_)),
        "{given_back:?}"
    );
    assert_eq!(case.answers.of(&create.key), [""; 0]);
    message.receive_count = 3;
    assert_eq!(worker.handle(&message).await, Disposition::Done);
    let answers = case.answers.of(&create.key);
    assert!(
        answers[0].contains("127.0.0.1:1 could not be reached"),
        "{answers:?}"
    );
}

// 26
#[tokio::test]
async fn what_failed_never_succeeds_later() {
    let mut case = Case::new().await;
    let name = format!("{}_late", case.database.name);
    let properties = case.declare(&json!([name]));
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(reason(&failed).contains("is not available"), "{failed}");
    // The cause is gone when the message comes again, to a worker that knows nothing of the first time.
    Fixture::install(&name, "default_version = '1'\n", &[("1", "SELECT 1;")]);
    case.delivered_to(&handler(&case.answers), &create).await;
    let answers = case.answers.of(&create.key);
    assert_eq!(answers[0], answers[1]);
    assert!(case.installed().await.is_empty());

    // Where no database could be asked, the worker itself remembers.
    let mut wrong = secret();
    wrong.password = Some(Password::new("wrong".to_owned()));
    let worker = handler_with(&case.answers, with_short_retry_budget(), wrong);
    let create = case.ask("Create", &case.declare(&json!(["hstore"])));
    case.delivered_to(&worker, &create).await;
    let begun = Instant::now();
    case.delivered_to(&worker, &create).await;
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
    let answers = case.answers.of(&create.key);
    assert_eq!(answers[0], answers[1]);
}
