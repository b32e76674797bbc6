//! Updates whose scripts leave deferred triggers pending: each version is committed before the next.

use serde_json::{Value, json};

use super::{Refusal, rows, staged};
use crate::support::{Fixture, ResultsSubscriber, Worker, World};

/// The extension as it was before a worker came.
async fn installed(world: &World, fixture: &Fixture) {
    let create = format!("CREATE EXTENSION {} VERSION '1'", fixture.name);
    world.database.execute(&create).await;
}

fn to_4(world: &World, fixture: &Fixture) -> Value {
    json!({"DBSecret": world.secret, "Extensions": [{"Name": fixture.name, "Version": "4"}]})
}

async fn is_walked(refusal: Refusal) {
    let world = World::new().await;
    let fixture = staged(&world, refusal);
    installed(&world, &fixture).await;
    // One ALTER is refused, and so are two in one transaction.
    let name = &fixture.name;
    let client = crate::support::connect(&world.database.name).await;
    for refused in [
        format!("ALTER EXTENSION {name} UPDATE TO '4'"),
        format!(
            "BEGIN; ALTER EXTENSION {name} UPDATE TO '2'; ALTER EXTENSION {name} UPDATE TO '3'"
        ),
    ] {
        assert!(client.batch_execute(&refused).await.is_err(), "{refused}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }

    let _worker = Worker::start(&world, &[]);
    let answer = world.create(to_4(&world, &fixture)).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let changes = format!("updated {name} 1 to 2, updated {name} 2 to 3, updated {name} 3 to 4");
    let said = answer["Data"]["Changes"].as_str().unwrap();
    assert_eq!(said.replace("; ", ", "), changes);
    assert_eq!(answer["Data"]["Before"], format!("plpgsql=1.0,{name}=1"));
    assert_eq!(answer["Data"][name.as_str()], "4");
    assert_eq!(rows(&world).await, "2 3");
    let requests = "SELECT count(*)::text FROM extension_worker.ledger WHERE kind = 'request'";
    assert_eq!(world.database.text(requests).await, "1");
}

#[tokio::test]
async fn an_update_that_leaves_triggers_pending_is_committed_version_by_version() {
    is_walked(Refusal::Pending).await;
}

#[tokio::test]
async fn the_words_of_rds_for_pending_triggers_are_understood() {
    is_walked(Refusal::Restricted).await;
}

#[tokio::test]
async fn a_stage_that_fails_leaves_those_before_it_and_the_reason_names_them() {
    let world = World::new().await;
    let fixture = staged(&world, Refusal::Pending);
    installed(&world, &fixture).await;
    let name = &fixture.name;
    world
        .database
        .execute(&format!("CREATE TABLE {name}_other (id int)"))
        .await;
    // The last script finds what it makes in its way.
    let child = format!("ALTER TABLE {name}_child ADD COLUMN c4 int;");
    fixture.set_script(
        "3--4",
        &format!("{child} CREATE TABLE {name}_other (id int);"),
    );
    let _worker = Worker::start(&world, &[]);
    let answer = world.create(to_4(&world, &fixture)).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains("already exists"), "{reason}");
    let done = format!("Done before: updated {name} 1 to 2, updated {name} 2 to 3.");
    assert!(reason.contains(&done), "{reason}");
    assert_eq!(world.database.extensions().await[name], "3");

    // The next request goes on from there.
    world
        .database
        .execute(&format!("DROP TABLE {name}_other"))
        .await;
    let answer = world.create(to_4(&world, &fixture)).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["Data"]["Changes"], format!("updated {name} 3 to 4"));
    assert_eq!(rows(&world).await, "2 3");
}

#[tokio::test]
async fn a_repair_commits_the_same_stages_and_says_so_in_one_result() {
    let world = World::new().await;
    let fixture = staged(&world, Refusal::Pending);
    let name = &fixture.name;
    let subscriber = ResultsSubscriber::new(&world).await;
    let topic = [("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str())];
    let _worker = Worker::start(&world, &topic);
    fixture.set_control("default_version = '1'\n");
    let follows = json!({"Name": name, "Version": "default"});
    let properties = json!({"DBSecret": world.secret, "Extensions": [follows]});
    assert_eq!(world.create(properties).await["Status"], "SUCCESS");
    // The engine is upgraded.
    fixture.set_control("default_version = '4'\n");
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    let first = subscriber
        .run_with_id("once", "Repair", targets.clone(), json!({}))
        .await;
    let first = first.result_of(&world.database.name);
    assert_eq!(first["State"], "Repaired", "{first}");
    let stages: Vec<String> = ["2", "3", "4"]
        .map(|version| format!("ALTER EXTENSION \"{name}\" UPDATE TO '{version}'"))
        .into();
    assert_eq!(first["Changes"], json!(stages), "{first}");
    assert_eq!(rows(&world).await, "2 3");
    let again = subscriber
        .run_with_id("once", "Repair", targets, json!({}))
        .await;
    assert_eq!(again.result_of(&world.database.name), first);
}
