//! A re-sync learns as much of what a server offers as a request does.

use serde_json::json;

use super::{extension, only, worker};
use crate::reported::offers::{list, offer_by_tle};
use crate::support::{ResultsSubscriber, World};

#[tokio::test]
async fn what_the_catalogue_does_not_list_is_repaired_where_postgresql_can() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore", {"Name": "cube", "Version": "1.5"}]}))
        .await;
    world
        .database
        .execute("DROP EXTENSION hstore; DROP EXTENSION cube")
        .await;
    list(&world, "pg_available_extensions", "RETURN").await;
    list(&world, "pg_available_extension_versions", "RETURN").await;
    let targets = only(&world, &[&world.database.name]);
    let events = subscriber.run("Repair", targets, json!({})).await;
    let repaired = events.result_of(&world.database.name);
    assert_eq!(repaired["State"], "Repaired", "{repaired}");
    assert_eq!(world.database.extensions().await["cube"], "1.5");
    assert!(world.database.extensions().await.contains_key("hstore"));
}

#[tokio::test]
async fn a_broken_control_file_of_an_undeclared_extension_fails_no_database() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore", "cube"]}))
        .await;
    world.database.execute("DROP EXTENSION cube").await;
    let broken = "RAISE EXCEPTION 'syntax error in file \"/x/odd.control\" line 1, near token \"x\"' \
                  USING ERRCODE = '42601'";
    list(&world, "pg_available_extensions", broken).await;
    list(&world, "pg_available_extension_versions", broken).await;
    let targets = only(&world, &[&world.database.name]);
    let events = subscriber.run("Report", targets.clone(), json!({})).await;
    let report = events.result_of(&world.database.name);
    assert_eq!(report["State"], "Drifted", "{report}");
    assert_eq!(extension(report, "hstore")["State"], "InSync", "{report}");
    let reason = report["Reason"].as_str().unwrap();
    assert!(reason.contains("odd.control"), "{report}");
    assert!(!reason.contains("is not available"), "{report}");

    let events = subscriber.run("Repair", targets, json!({})).await;
    let repaired = events.result_of(&world.database.name);
    assert_eq!(repaired["State"], "Repaired", "{repaired}");
    let reason = repaired["Reason"].as_str().unwrap();
    assert!(reason.contains("odd.control"), "{repaired}");
    assert!(world.database.extensions().await.contains_key("cube"));
}

#[tokio::test]
async fn what_pg_tle_offers_can_be_repaired() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let shop = format!("{}_shop", world.name);
    offer_by_tle(&world, &shop).await;
    let targets = only(&world, &[&world.database.name]);
    let baseline = json!({"Extensions": [{"Name": shop, "Version": "1.*"}]});
    let events = subscriber.run("Report", targets, baseline).await;
    let report = events.result_of(&world.database.name);
    assert_eq!(
        report["Changes"],
        json!([format!(
            "CREATE EXTENSION \"{shop}\" SCHEMA \"public\" VERSION '1.1'"
        )]),
        "{report}"
    );
}
