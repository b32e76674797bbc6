//! Creates: late, interrupted, undone, and what is owned together.

use futures_util::future::join;
use serde_json::json;

use super::{Case, reason, running, slow};
use crate::support::{Database, handler};

// 1
#[tokio::test]
async fn a_create_that_fails_before_anything_is_known_is_answered_with_a_marker_id() {
    let mut case = Case::new().await;
    let create = case.ask("Create", &json!({"Extensions": ["hstore"]}));
    let answer = case.answer(&create).await;
    assert_eq!(reason(&answer), "DBSecret: required");
    let id = answer["PhysicalResourceId"].as_str().unwrap();
    assert!(id.starts_with("not-created/Extensions/"), "{id}");
}

// 4
#[tokio::test]
async fn a_delete_that_arrives_while_its_create_runs_undoes_it() {
    let mut case = Case::new().await;
    let slow = slow(&case, 2);
    let properties = case.declare(&json!([slow.name]));
    let create = case.ask("Create", &properties);
    let delete = case
        .ask("Delete", &properties)
        .with_id("app-Extensions-1A2B3C4D5E6F");
    let other_worker = handler(&case.answers);
    let late = async {
        running(&case.database, "CREATE EXTENSION").await;
        case.delivered_to(&other_worker, &delete).await
    };
    let (created, deleted) = join(case.answer(&create), late).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(case.installed().await.is_empty());
    assert_eq!(case.database.ddl().len(), 2, "{:?}", case.database.ddl());
}

// 5
#[tokio::test]
async fn a_create_that_comes_after_its_delete_changes_nothing() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let create = case.ask("Create", &properties);
    let delete = case
        .ask("Delete", &properties)
        .with_id("app-Extensions-1A2B3C4D5E6F");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    let late = case.answer(&create).await;
    assert!(reason(&late).contains("newer request"), "{late}");
    assert!(case.installed().await.is_empty());
    assert!(case.database.ddl().is_empty());
}

/// With raw delivery the time of a request is that of its URL, which has whole seconds.

#[tokio::test]
async fn a_create_in_the_same_second_as_its_delete_is_the_older() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let create = case.ask("Create", &properties);
    let mut delete = case
        .ask("Delete", &properties)
        .with_id("app-Extensions-1A2B3C4D5E6F");
    delete.published_at = create.published_at;
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(reason(&case.answer(&create).await).contains("newer request"));
    assert!(case.installed().await.is_empty());
}

// 6
#[tokio::test]
async fn what_a_create_did_in_some_databases_before_it_failed_is_undone_by_its_rollback() {
    let mut case = Case::new().await;
    let other = Database::create(&format!("{}_b", case.database.name)).await;
    other
        .execute("CREATE SCHEMA cube; CREATE TYPE public.cube AS ENUM ()")
        .await;
    let mut properties = case.declare(&json!(["cube"]));
    properties["Databases"] = json!([case.database.name, other.name]);
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(
        reason(&failed).contains(&format!(
            "Done before: {}: created cube",
            case.database.name
        )),
        "{failed}"
    );
    assert_eq!(case.installed().await, ["cube"]);
    let id = failed["PhysicalResourceId"].as_str().unwrap();
    let delete = case.ask("Delete", &properties).with_id(id);
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(case.installed().await.is_empty());
}

// 7
#[tokio::test]
async fn an_extension_that_was_there_before_is_adopted_and_left() {
    let mut case = Case::new().await;
    case.database.execute("CREATE EXTENSION hstore").await;
    let id = case.create(&json!(["hstore", "cube"])).await;
    let properties = case.declare(&json!(["hstore", "cube"]));
    let delete = case.ask("Delete", &properties).with_id(&id);
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert_eq!(case.installed().await, ["hstore"]);
}

// 25
#[tokio::test]
async fn what_two_resources_own_goes_with_the_last_of_them() {
    let mut case = Case::new().await;
    let first = case.create(&json!(["hstore"])).await;
    let first_stack = case.stack_id.clone();
    case.stack_id.push_str("-other");
    let second = case.create(&json!(["hstore"])).await;
    let properties = case.declare(&json!(["hstore"]));
    for (stack_id, id, left) in [(first_stack, first, 1), (case.stack_id.clone(), second, 0)] {
        case.stack_id = stack_id;
        let delete = case.ask("Delete", &properties).with_id(&id);
        assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
        assert_eq!(case.installed().await.len(), left);
    }
}
