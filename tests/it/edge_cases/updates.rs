//! Updates and their rollbacks: the id, the place, the form of the properties.

use std::time::{Duration, Instant};

use chrono::Utc;
use extension_worker::target::Host;
use serde_json::{Value, json};

use super::{Case, reason};
use crate::support::{Database, Fixture, handler_settings, handler_with, secret, variable};

// 9
#[tokio::test]
async fn an_update_that_fails_is_answered_with_the_id_that_it_came_with() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let new = case.declare(&json!(["no_such_extension"]));
    for id in [id.as_str(), "an-id-of-long-ago"] {
        let update = case
            .ask("Update", &new)
            .with_id(id)
            .with_old_properties(old.clone());
        let failed = case.answer(&update).await;
        assert!(reason(&failed).contains("no_such_extension"), "{failed}");
        assert_eq!(failed["PhysicalResourceId"], id);
    }
}

// 10
#[tokio::test]
async fn a_resource_has_one_id_as_long_as_it_stays_on_its_server() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let mut new = case.declare(&json!([{"Name": "cube", "Schema": "public"}]));
    new["DBHost"] = json!(variable("PGHOST"));
    new["DBName"] = json!("postgres");
    new["Databases"] = json!([case.database.name]);
    let update = case
        .ask("Update", &new)
        .with_id(&id)
        .with_old_properties(old);
    let answer = case.answer(&update).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["PhysicalResourceId"], id);

    // A host name is the same in any letter case.
    let mut ids = Vec::new();
    for host in ["localhost", "LocalHost"] {
        let mut properties = case.declare(&json!(["hstore"]));
        properties["DBHost"] = json!(host);
        let create = case.ask("Create", &properties);
        ids.push(case.answer(&create).await["PhysicalResourceId"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

// 13
#[tokio::test]
async fn a_rollback_goes_back_to_the_version_and_to_the_form_of_properties_that_were_before() {
    let mut case = Case::new().await;
    let chain = Fixture::install(
        &format!("{}_chain", case.database.name),
        "default_version = '1.0'\n",
        &[
            ("1.0", "SELECT 1;"),
            ("1.0--2.0", "SELECT 1;"),
            ("2.0--1.0", "SELECT 1;"),
        ],
    );
    let old = json!({"DBSecret": "given", "DBName": case.database.name, "PluginsMap": {&chain.name: "1.0"}});
    let new = case.declare(&json!([{"Name": chain.name, "Version": "2.0"}]));
    let mut create = case.ask("Create", &old);
    create.message["ResourceType"] = json!("Custom::ExecuteSQL");
    let created = case.answer(&create).await;
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let mut update = case
        .ask("Update", &new)
        .with_id(id)
        .with_old_properties(old.clone());
    update.message["ResourceType"] = json!("Custom::ExecuteSQL");
    assert_eq!(case.answer(&update).await["Status"], "SUCCESS");
    assert_eq!(case.database.extensions().await[&chain.name], "2.0");
    // Another resource of the stack failed.
    let mut back = case
        .ask("Update", &old)
        .with_id(id)
        .with_old_properties(new);
    back.message["ResourceType"] = json!("Custom::ExecuteSQL");
    let answer = case.answer(&back).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["PhysicalResourceId"], id);
    assert_eq!(case.database.extensions().await[&chain.name], "1.0");
}

#[tokio::test]
async fn the_rollback_of_a_move_does_not_fail_for_the_place_that_could_not_be_moved_to() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let other = Database::create(&format!("{}_b", case.database.name)).await;
    let role = format!("{}_role", other.name);
    let own = format!("CREATE ROLE {role}; CREATE SCHEMA extension_worker AUTHORIZATION {role}");
    other.execute(&own).await;
    let with = |field: &str, value: Value| {
        let mut new = old.clone();
        new[field] = value;
        new["ServiceTimeout"] = json!("3");
        new
    };
    for new in [
        with("DBPort", json!(1)),
        with("DBHost", json!("no-such-host.invalid")),
        with("DBName", json!(other.name)),
    ] {
        case.now = Utc::now();
        let update = case
            .ask("Update", &new)
            .with_id(&id)
            .with_old_properties(old.clone());
        let failed = case.answer(&update).await;
        assert!(!reason(&failed).is_empty());
        let begun = Instant::now();
        let back = case
            .ask("Update", &old)
            .with_id(&id)
            .with_old_properties(new);
        let answer = case.answer(&back).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(answer["PhysicalResourceId"], id);
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(case.installed().await, ["hstore"]);
    }
}

#[tokio::test]
async fn a_dry_run_moves_nothing() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let mut dry = case.declare(&json!(["cube"]));
    dry["DryRun"] = json!(true);
    let update = case
        .ask("Update", &dry)
        .with_id(&id)
        .with_old_properties(old.clone());
    let answer = case.answer(&update).await;
    assert_eq!(answer["PhysicalResourceId"], id);
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    for (field, value) in [("DBHost", "localhost"), ("DBName", "postgres")] {
        let mut elsewhere = dry.clone();
        elsewhere[field] = json!(value);
        let update = case
            .ask("Update", &elsewhere)
            .with_id(&id)
            .with_old_properties(old.clone());
        let failed = case.answer(&update).await;
        assert!(
            reason(&failed).starts_with("DryRun: cannot be combined"),
            "{failed}"
        );
        assert_eq!(failed["PhysicalResourceId"], id);
    }
    // The secret leads to the server by its other name now.
    let mut moved = secret();
    moved.host = Some(Host::parse("localhost").unwrap());
    let worker = handler_with(&case.answers, handler_settings(), moved);
    let update = case
        .ask("Update", &dry)
        .with_id(&id)
        .with_old_properties(old);
    let answer = case.delivered_to(&worker, &update).await;
    assert_eq!(answer["PhysicalResourceId"], id);
    assert_eq!(case.installed().await, ["hstore"]);
}
