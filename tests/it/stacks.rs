//! Stacks, from their creation to their end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Worker, World};

/// CloudFormation confirms each request.
const VERIFYING: &[(&str, &str)] = &[("WORKER_VERIFY_STACKS", "enforce")];

fn installed(extensions: &[(&str, &str)]) -> BTreeMap<String, String> {
    extensions
        .iter()
        .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_stack_creates_updates_and_drops_its_extensions() {
    let world = World::new().await;
    let _worker = Worker::start(&world, VERIFYING);
    let stack = world.stack("app");
    // 1.3 up to PostgreSQL 17.
    let pgcrypto = world.database.default_version("pgcrypto").await;
    let properties =
        |extensions: Value| json!({"DBSecret": world.secret, "Extensions": extensions});

    let created = stack
        .create(
            &properties(json!(["pgcrypto", {"Name": "pg_trgm", "Version": "1.5"}])),
            &["Extensions", "Before", "Changes", "pg_trgm"],
        )
        .await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(
        created.outputs["Extensions"],
        format!("pg_trgm=1.5,pgcrypto={pgcrypto}")
    );
    assert_eq!(created.outputs["Before"], "plpgsql=1.0");
    assert_eq!(
        created.outputs["Changes"],
        format!("created pgcrypto {pgcrypto}; created pg_trgm 1.5")
    );
    assert_eq!(created.outputs["pgtrgm"], "1.5");
    assert_eq!(
        world.database.extensions().await,
        installed(&[("pg_trgm", "1.5"), ("pgcrypto", &pgcrypto)])
    );

    let updated = stack
        .update(
            &properties(json!([{"Name": "pg_trgm", "Version": "1.*"}, "hstore"])),
            &["Changes"],
        )
        .await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert_eq!(
        updated.outputs["Changes"],
        format!("dropped pgcrypto {pgcrypto}; updated pg_trgm 1.5 to 1.6; created hstore 1.8")
    );
    assert_eq!(
        updated.outputs["Id"], created.outputs["Id"],
        "the resource was updated in place"
    );
    assert_eq!(
        world.database.extensions().await,
        installed(&[("hstore", "1.8"), ("pg_trgm", "1.6")])
    );

    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert_eq!(world.database.extensions().await, installed(&[]));
}

#[tokio::test]
async fn the_older_resource_type_works_as_it_is_in_any_letter_case() {
    let world = World::new().await;
    let _worker = Worker::start(&world, VERIFYING);
    let stack = world.stack("app").execute_sql();
    let created = stack
        .create(
            &json!({"DBSecret": world.secret, "PluginsMap": {"PgCrypto": "1.3"}}),
            &["PgCrypto"],
        )
        .await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(created.outputs["PgCrypto"], "1.3");
    assert_eq!(
        world.database.extensions().await,
        installed(&[("pgcrypto", "1.3")])
    );
}

#[tokio::test]
async fn a_failed_create_leaves_nothing_behind() {
    let world = World::new().await;
    let _worker = Worker::start(&world, VERIFYING);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore", {"Name": "pgcrypto", "Version": "9.9"}]});
    let available = world.database.available_versions("pgcrypto").await;
    let failed = world.stack("app").create(&properties, &[]).await;
    assert_eq!(failed.status, "CREATE_FAILED");
    assert!(
        failed
            .reason
            .contains("Extension \"pgcrypto\": version 9.9 cannot be installed"),
        "{failed:?}"
    );
    assert!(
        failed.reason.contains(&format!(
            "Available: {available}. Ask for one of these, or \"1.*\". [22023]"
        )),
        "{failed:?}"
    );
    assert_eq!(world.database.extensions().await, installed(&[]));
}

#[tokio::test]
async fn a_failed_update_leaves_the_database_as_it_was() {
    let world = World::new().await;
    let _worker = Worker::start(&world, VERIFYING);
    let stack = world.stack("app");
    let properties =
        |extensions: Value| json!({"DBSecret": world.secret, "Extensions": extensions});
    stack
        .create(
            &properties(json!([{"Name": "pg_trgm", "Version": "1.5"}])),
            &[],
        )
        .await;

    let failed = stack
        .update(
            &properties(json!([{"Name": "pg_trgm", "Version": "1.6"}, "no_such_extension"])),
            &[],
        )
        .await;
    assert_eq!(failed.status, "UPDATE_FAILED", "{failed:?}");
    assert!(
        failed
            .reason
            .contains("Extension \"no_such_extension\" is not available"),
        "{failed:?}"
    );
    assert_eq!(
        world.database.extensions().await,
        installed(&[("pg_trgm", "1.5")])
    );
}

#[tokio::test]
async fn what_an_extension_requires_comes_and_goes_with_it() {
    let world = World::new().await;
    let _worker = Worker::start(&world, VERIFYING);
    let stack = world.stack("app");
    let version = world.database.default_version("earthdistance").await;
    stack
        .create(
            &json!({"DBSecret": world.secret, "Extensions": ["earthdistance"]}),
            &[],
        )
        .await;
    assert_eq!(
        world.database.extensions().await,
        installed(&[("cube", "1.5"), ("earthdistance", &version)])
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert_eq!(world.database.extensions().await, installed(&[]));
}

#[tokio::test]
async fn an_extension_goes_to_the_schema_that_is_asked_for_and_moves_with_it() {
    let world = World::new().await;
    let _worker = Worker::start(&world, VERIFYING);
    let stack = world.stack("app");
    let in_schema = |schema: &str| json!({"DBSecret": world.secret, "Extensions": [{"Name": "hstore", "Schema": schema, "CreateSchema": true}]});
    let schema =
        "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'hstore'";
    assert_eq!(
        stack.create(&in_schema("foo"), &[]).await.status,
        "CREATE_COMPLETE"
    );
    assert_eq!(world.database.text(schema).await, "foo");
    assert_eq!(
        stack.update(&in_schema("bar"), &[]).await.status,
        "UPDATE_COMPLETE"
    );
    assert_eq!(world.database.text(schema).await, "bar");
}

#[tokio::test]
async fn a_database_is_created_in_one_round_of_ddl_and_the_same_request_again_runs_none() {
    let world = World::new().await;
    let _worker = Worker::start(&world, VERIFYING);
    let stack = world.stack("app");
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    stack.create(&properties, &[]).await;
    let first = world.database.ddl();
    assert_eq!(
        first,
        ["CREATE EXTENSION \"hstore\" SCHEMA \"public\" VERSION '1.8'"]
    );
    let mut same = properties;
    same["DeletionBehavior"] = json!("Retain");
    let updated = stack.update(&same, &["Changes"]).await;
    assert_eq!(updated.outputs["Changes"], "none", "{updated:?}");
    assert_eq!(world.database.ddl(), first);
}

/// The other name of the server makes another id: CloudFormation deletes the old one while the stack cleans up.
#[tokio::test]
async fn a_resource_that_is_replaced_is_confirmed_and_keeps_what_the_new_one_owns() {
    let world = World::new().await;
    let worker = Worker::start(&world, VERIFYING);
    let stack = world.stack("app");
    let properties =
        |host: &str| json!({"DBSecret": world.secret, "DBHost": host, "Extensions": ["hstore"]});
    let created = stack.create(&properties("127.0.0.1"), &[]).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    let updated = stack.update(&properties("localhost"), &[]).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert_ne!(updated.outputs["Id"], created.outputs["Id"]);
    worker
        .logged("the resource that is deleted is not the one that is managed here")
        .await;
    assert_eq!(
        world.database.extensions().await,
        installed(&[("hstore", "1.8")])
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}
