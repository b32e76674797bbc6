//! Extensions, versions, schemas and databases: what is declared, and what a server then has.

mod databases;
mod versions;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Database, Fixture, Worker, World, variable};

/// A chain of versions: 1.0 → 2.0 → 2.1 with a script each, and 3.0 that no path leads to.
fn chain(world: &World) -> Fixture {
    Fixture::install(
        &format!("{}_chain", world.name),
        "default_version = '1.0'\nrelocatable = true\ncomment = 'a test'\n",
        &[
            (
                "1.0",
                "CREATE FUNCTION chained() RETURNS int LANGUAGE sql AS 'SELECT 1';",
            ),
            ("1.0--2.0", "SELECT 1;"),
            ("2.0--2.1", "SELECT 1;"),
            (
                "3.0",
                "CREATE FUNCTION chained() RETURNS int LANGUAGE sql AS 'SELECT 3';",
            ),
        ],
    )
}

fn only(name: &str, version: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), version.to_owned())])
}

fn extensions(world: &World, list: Value) -> Value {
    json!({"DBSecret": world.secret, "Extensions": list})
}

#[tokio::test]
async fn a_script_that_fails_half_way_leaves_nothing() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let broken = Fixture::install(
        &format!("{}_broken", world.name),
        "default_version = '1'\n",
        &[("1", "CREATE TABLE half (); SELECT 1/0;")],
    );
    let (a, b) = (format!("{}_a", world.name), format!("{}_b", world.name));
    Fixture::install(
        &a,
        &format!("default_version = '1'\nrequires = '{b}'\n"),
        &[("1", "SELECT 1;")],
    );
    Fixture::install(
        &b,
        &format!("default_version = '1'\nrequires = '{a}'\n"),
        &[("1", "SELECT 1;")],
    );
    // From PostgreSQL 18 on the context of the statement stands between message and state.
    for (name, message, state) in [
        (&broken.name, "division by zero", "[22012]"),
        (&a, "", "[42P19]"),
    ] {
        let answer = world
            .create(extensions(&world, json!(["hstore", name])))
            .await;
        assert_eq!(answer["Status"], "FAILED", "{answer}");
        let reason = answer["Reason"].as_str().unwrap();
        assert!(
            reason.contains(message) && reason.contains(state),
            "{answer}"
        );
    }
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn what_the_server_no_longer_offers_is_dropped_all_the_same() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    let stack = world.stack("app");
    stack
        .create(&extensions(&world, json!([chain.name])), &[])
        .await;
    chain.remove_control();
    let unchanged = stack
        .update(&extensions(&world, json!([chain.name, "hstore"])), &[])
        .await;
    assert_eq!(unchanged.status, "UPDATE_COMPLETE", "{unchanged:?}");
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn a_dry_run_answers_with_the_sql_and_changes_nothing() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let mut properties = extensions(
        &world,
        json!(["earthdistance", {"Name": "hstore", "Version": "1.4"}]),
    );
    properties["DryRun"] = json!("true");
    let version = world.database.default_version("earthdistance").await;
    let stack = world.stack("app");
    let created = stack.create(&properties, &["Changes"]).await;
    assert_eq!(
        created.outputs["Changes"],
        format!(
            "CREATE EXTENSION \"earthdistance\" SCHEMA \"public\" VERSION '{version}' CASCADE; \
             CREATE EXTENSION \"hstore\" SCHEMA \"public\" VERSION '1.4'"
        )
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
    assert_eq!(
        world
            .database
            .text("SELECT coalesce(to_regnamespace('extension_worker')::text, 'none')")
            .await,
        "none"
    );
}

#[tokio::test]
async fn a_role_without_rights_gets_a_reason_that_names_what_it_lacks() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[]);
    let role = format!("{}_role", world.name);
    let (database, password) =
        Database::create_owned(&format!("{}_owned", world.name), &role).await;
    let secret = world
        .secret_with(&json!({"username": role, "password": password, "dbname": database.name}))
        .await;
    let with = |name: &str| json!({"DBSecret": secret, "Extensions": [name]});
    // Trusted: who may create in the database may have it.
    let answer = world.create(with("hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let answer = world.create(with("pageinspect")).await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("permission denied to create extension \"pageinspect\""),
        "{reason}"
    );
    assert!(
        reason.contains("Must be superuser to create this extension [42501]"),
        "{reason}"
    );

    let allow = format!(
        "ALTER DATABASE {} SET rds.allowed_extensions = 'hstore, pgcrypto'",
        database.name
    );
    world.database.execute(&allow).await;
    // RDS refuses what is not in its list; here an event trigger does.
    let refuse = "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
                  RAISE EXCEPTION 'not allowed' USING ERRCODE = '42501'; END $$; \
                  CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') \
                  EXECUTE FUNCTION refuse()";
    database.execute(refuse).await;
    // A parameter group takes effect with a reboot; here new connections see it.
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    let _worker = Worker::start(&world, &[]);
    let answer = world.create(with("pg_trgm")).await;
    let expected = format!(
        "user \"{role}\" may not create it on {}/{}: it is not in rds.allowed_extensions (hstore, pgcrypto)",
        variable("PGHOST"),
        database.name
    );
    assert!(
        answer["Reason"].as_str().unwrap().contains(&expected),
        "{answer}"
    );
}

#[tokio::test]
async fn a_dry_run_of_an_update_that_would_release_something_is_refused() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let other = Database::create(&format!("{}_b", world.name)).await;
    let stack = world.stack("app");
    let mut properties = extensions(&world, json!(["hstore"]));
    properties["Databases"] = json!([world.database.name, other.name]);
    stack.create(&properties, &[]).await;
    properties["Databases"] = json!([world.database.name]);
    properties["DryRun"] = json!(true);
    let refused = stack.update(&properties, &[]).await;
    assert_eq!(refused.status, "UPDATE_FAILED");
    assert!(refused.reason.contains("DryRun"), "{refused:?}");
    assert_eq!(other.extensions().await, only("hstore", "1.8"));
}
