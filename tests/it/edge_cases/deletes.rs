//! Deletes: of what is not known, not reached, or somewhere else by now.

use std::time::{Duration, Instant};

use chrono::Utc;
use extension_worker::target::Host;
use serde_json::{Value, json};

use super::{Case, reason};
use crate::support::{handler_settings, handler_with, secret};

// 2
#[tokio::test]
async fn a_delete_with_the_marker_id_touches_nothing() {
    let mut case = Case::new().await;
    case.database.execute("CREATE EXTENSION hstore").await;
    let properties = case.declare(&json!([{"Name": "hstore", "Version": "no-such"}]));
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    let id = failed["PhysicalResourceId"].as_str().unwrap();
    // PostgreSQL was asked for the version that the catalogue does not know.
    let before = case.database.ddl().len();
    let delete = case.ask("Delete", &properties).with_id(id);
    let answer = case.answer(&delete).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(case.installed().await, ["hstore"]);
    assert_eq!(case.database.ddl().len(), before);
}

// 3
#[tokio::test]
async fn a_delete_with_an_unknown_id_is_decided_from_what_is_recorded() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    // The worker did not create it.
    case.database.execute("CREATE EXTENSION hstore").await;
    let delete = case
        .ask("Delete", &properties)
        .with_id("app-Extensions-1A2B3C4D5E6F");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert_eq!(case.installed().await, ["hstore"]);

    // The worker created it, and CloudFormation never learnt the id.
    let mut case = Case::new().await;
    case.create(&json!(["hstore"])).await;
    let properties = case.declare(&json!(["hstore"]));
    let delete = case
        .ask("Delete", &properties)
        .with_id("app-Extensions-1A2B3C4D5E6F");
    let answer = case.answer(&delete).await;
    assert_eq!(answer["Status"], "SUCCESS");
    assert_eq!(answer["PhysicalResourceId"], "app-Extensions-1A2B3C4D5E6F");
    assert!(case.installed().await.is_empty());
}

// 8
#[tokio::test]
async fn a_delete_succeeds_at_once_where_host_or_database_is_gone_and_in_time_where_the_server_is_silent()
 {
    let mut case = Case::new().await;
    let mut gone = case.declare(&json!(["hstore"]));
    gone["DBName"] = json!("no_such_database");
    let mut no_host = case.declare(&json!(["hstore"]));
    no_host["DBHost"] = json!("no-such-host.invalid");
    for properties in [gone, no_host] {
        let begun = Instant::now();
        let delete = case.ask("Delete", &properties).with_id("id");
        assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
    let mut down = case.declare(&json!(["hstore"]));
    down["DBPort"] = json!(1);
    down["ServiceTimeout"] = json!("4");
    case.now = Utc::now();
    let delete = case.ask("Delete", &down).with_id("id");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    down["OnUnreachableDelete"] = json!("Fail");
    case.now = Utc::now();
    let delete = case.ask("Delete", &down).with_id("id");
    let failed = case.answer(&delete).await;
    assert!(
        reason(&failed).starts_with("127.0.0.1:1 could not be reached"),
        "{failed}"
    );
}

// 11
#[tokio::test]
async fn a_delete_of_an_old_id_leaves_what_the_new_id_has_in_the_same_database() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    // The same server by its other name.
    let mut new = old.clone();
    new["DBHost"] = json!("localhost");
    let update = case
        .ask("Update", &new)
        .with_id(&id)
        .with_old_properties(old.clone());
    let updated = case.answer(&update).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_ne!(updated["PhysicalResourceId"], id);
    let cleanup = case.ask("Delete", &old).with_id(&id);
    assert_eq!(case.answer(&cleanup).await["Status"], "SUCCESS");
    assert_eq!(case.installed().await, ["hstore"]);

    let id = updated["PhysicalResourceId"].as_str().unwrap();
    let delete = case.ask("Delete", &new).with_id(id);
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(case.installed().await.is_empty());
}

// 12
#[tokio::test]
async fn a_delete_drops_nothing_on_the_server_that_its_secret_leads_to_now() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    // A snapshot of the server was restored, with the ledger in it, and the secret names the new host.
    let mut moved = secret();
    moved.host = Some(Host::parse("localhost").unwrap());
    let worker = handler_with(&case.answers, handler_settings(), moved);
    let properties = case.declare(&json!(["hstore"]));
    for id in [id.as_str(), "app-Extensions-1A2B3C4D5E6F"] {
        let delete = case.ask("Delete", &properties).with_id(id);
        let answer = case.delivered_to(&worker, &delete).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(case.installed().await, ["hstore"]);
    }
    // An Update noticed that, and gave the resource a new id: CloudFormation deletes the old one, with the same secret.
    let update = case
        .ask("Update", &properties)
        .with_id(&id)
        .with_old_properties(properties.clone());
    let updated = case.delivered_to(&worker, &update).await;
    assert_ne!(updated["PhysicalResourceId"], id);
    let cleanup = case.ask("Delete", &properties).with_id(&id);
    let answer = case.delivered_to(&worker, &cleanup).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(case.installed().await, ["hstore"]);
}

// 14
#[tokio::test]
async fn a_delete_is_not_blocked_by_invalid_properties() {
    let mut case = Case::new().await;
    for properties in [
        json!({"Old": "format"}),
        json!("nonsense"),
        json!({"DBSecret": "given", "Extensions": [{"Name": "a--b"}]}),
        Value::Null,
    ] {
        let delete = case.ask("Delete", &properties).with_id("id");
        let answer = case.answer(&delete).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(answer["PhysicalResourceId"], "id");
    }
}
