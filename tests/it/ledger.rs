//! The ledger as other roles of the database see it.

use serde_json::json;

use crate::support::{Database, Worker, World};

#[tokio::test]
async fn every_role_may_ask_who_has_what() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let stack = world.stack("app");
    stack
        .create(
            &json!({"DBSecret": world.secret, "Extensions": ["earthdistance"]}),
            &[],
        )
        .await;
    let role = format!("{}_reader", world.name);
    world.database.execute(&format!("CREATE ROLE {role}")).await;
    let message = "SELECT string_agg(concat_ws(' ', name, installed_version, origin, role, logical_resource_id), '; ' ORDER BY name)
                FROM extension_worker.managed_extensions";
    let client = crate::support::connect(&world.database.name).await;
    client
        .batch_execute(&format!("SET ROLE {role}"))
        .await
        .unwrap();
    let version = world.database.default_version("earthdistance").await;
    let row = client.query_one(message, &[]).await.unwrap();
    assert_eq!(
        row.get::<_, String>(0),
        format!("cube 1.5 created dependency; earthdistance {version} created declared")
    );
    assert!(
        client
            .execute("DELETE FROM extension_worker.ledger", &[])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_ledger_that_a_newer_worker_made_is_left_alone() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    world.create(properties.clone()).await;
    world
        .database
        .execute(
            "COMMENT ON SCHEMA extension_worker IS 'Ledger of extension-worker, version 99: …'",
        )
        .await;
    let mut properties = properties;
    properties["ServiceTimeout"] = json!(4);
    let answer = world.create(properties).await;
    assert!(
        answer["Reason"]
            .as_str()
            .unwrap()
            .contains("has version 99, which this worker does not know"),
        "{answer}"
    );
}

/// `pg_restore --no-comments`.
#[tokio::test]
async fn a_ledger_that_was_restored_without_its_comment_is_the_same() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    world.create(properties.clone()).await;
    world
        .database
        .execute("COMMENT ON SCHEMA extension_worker IS NULL")
        .await;
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}

/// The first version did not keep the answer.
#[tokio::test]
async fn a_ledger_of_the_first_version_is_brought_to_the_newest() {
    an_older_ledger_is_brought_to_the_newest("").await;
}

#[tokio::test]
async fn a_ledger_of_the_second_version_is_brought_to_the_newest() {
    an_older_ledger_is_brought_to_the_newest(include_str!("../../worker/src/ledger/from_1.sql"))
        .await;
}

async fn an_older_ledger_is_brought_to_the_newest(from_1: &str) {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["earthdistance"]});
    let request = world.create_request(properties.clone()).await;
    world.publish(&request).await;
    let first = world.answer(&request).await;
    let owned = "SELECT string_agg(concat_ws(' ', name, origin, role, logical_resource_id), '; ' ORDER BY name)
                 FROM extension_worker.managed_extensions";
    let before = world.database.text(owned).await;
    let older = concat!(include_str!("../testdata/ledger_1.sql"), "\n");
    world.database.execute(&format!("{older}{from_1}")).await;
    let statements = world.database.ddl().len();
    // Another worker: this one remembers what it answered.
    world.delete_answer(&request).await;
    worker.signal("TERM");
    worker.exit().await;
    let _other = Worker::start(&world, &[]);
    world.publish(&request).await;
    assert_eq!(world.answer(&request).await, first);
    assert_eq!(world.database.ddl().len(), statements);
    let dry = json!({"DBSecret": world.secret, "Extensions": ["earthdistance"], "DryRun": true});
    assert_eq!(world.create(dry).await["Status"], "SUCCESS");
    // The next one that writes.
    let id = first["PhysicalResourceId"].as_str().unwrap();
    let delete = world.delete_request(properties, id).await;
    assert_eq!(world.database.text(owned).await, before);
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");
    assert!(world.database.extensions().await.is_empty());
    let relations = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class
                     WHERE relnamespace = 'extension_worker'::regnamespace AND relkind IN ('r', 'v')";
    assert_eq!(
        world.database.text(relations).await,
        "ledger,managed_extensions"
    );
}

#[tokio::test]
async fn a_schema_that_another_role_laid_out_is_not_trusted() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let role = format!("{}_stranger", world.name);
    let (database, _) = Database::create_owned(&format!("{}_laid", world.name), &role).await;
    database
        .execute(&format!(
            "CREATE SCHEMA extension_worker AUTHORIZATION {role}"
        ))
        .await;
    let secret = world.secret_with(&json!({"dbname": database.name})).await;
    let answer = world
        .create(json!({"DBSecret": secret, "Extensions": ["hstore"]}))
        .await;
    let expected = format!("the schema belongs to role \"{role}\"");
    assert!(
        answer["Reason"].as_str().unwrap().contains(&expected),
        "{answer}"
    );
    assert!(database.extensions().await.is_empty());
}

#[tokio::test]
async fn a_request_that_changes_nothing_costs_two_round_trips() {
    let world = World::new().await;
    let counter = crate::support::RoundTripCounter::start().await;
    let worker = Worker::start(&world, &[]);
    let secret = world.secret_with(&json!({"port": counter.port()})).await;
    let properties = json!({"DBSecret": secret, "Extensions": ["hstore", {"Name": "pg_trgm", "Version": "1.*"}]});
    world.create(properties.clone()).await;
    // What is sent together may be counted twice on a busy machine, and never less than once.
    let mut least = usize::MAX;
    for _ in 0..10 {
        let before = counter.round_trips();
        world.create(properties.clone()).await;
        least = least.min(counter.round_trips() - before);
        if least == 2 {
            break;
        }
    }
    // Begin, lock, observe and what the ledger says; the ledger's new entry and COMMIT.
    assert_eq!(least, 2, "{}", worker.log());
}

#[tokio::test]
async fn a_ledger_that_is_dropped_between_two_requests_is_made_again() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let secret = world.secret_with(&json!({})).await;
    world
        .create(json!({"DBSecret": secret, "Extensions": ["hstore"]}))
        .await;
    // The worker's connection has met the ledger.
    world
        .database
        .execute("DROP SCHEMA extension_worker CASCADE")
        .await;
    let answer = world
        .create(json!({"DBSecret": secret, "Extensions": ["hstore", "pg_trgm"]}))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let owned =
        "SELECT string_agg(name, ',' ORDER BY name) FROM extension_worker.managed_extensions";
    assert_eq!(world.database.text(owned).await, "hstore,pg_trgm");
}
