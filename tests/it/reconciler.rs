//! Extensions, versions, schemas and databases: what is declared, and what a server then has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Database, Fixture, Mode, PrivateServer, Worker, World, variable};

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
async fn a_version_moves_along_the_paths_that_there_are() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    let name = &chain.name;
    let stack = world.stack("app");
    let at = |version: &str| extensions(&world, json!([{"Name": name, "Version": version}]));
    stack.create(&extensions(&world, json!([name])), &[]).await;
    assert_eq!(world.database.extensions().await, only(name, "1.0"));
    stack.update(&at("2.0"), &[]).await;
    assert_eq!(world.database.extensions().await, only(name, "2.0"));
    // With the version left out it stays where it is.
    stack
        .update(
            &extensions(&world, json!([{"Name": name, "Cascade": false}])),
            &[],
        )
        .await;
    assert_eq!(world.database.extensions().await, only(name, "2.0"));

    let failed = stack.update(&at("3.0"), &[]).await;
    assert!(
        failed
            .reason
            .contains("there is no update path from the installed version 2.0 to 3.0"),
        "{failed:?}"
    );
    assert!(
        failed.reason.contains("It can be updated to: 2.1."),
        "{failed:?}"
    );
    let failed = stack.update(&at("1.0"), &[]).await;
    assert!(
        failed
            .reason
            .contains("no update path from the installed version 2.0 to 1.0"),
        "{failed:?}"
    );
    assert_eq!(world.database.extensions().await, only(name, "2.0"));
    stack.update(&at("2.*"), &[]).await;
    assert_eq!(world.database.extensions().await, only(name, "2.1"));
}

#[tokio::test]
async fn default_follows_the_servers_default_up_and_never_down() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    let stack = world.stack("app");
    let properties = |cascade: bool| {
        extensions(
            &world,
            json!([{"Name": chain.name, "Version": "default", "Cascade": cascade}]),
        )
    };
    stack.create(&properties(true), &[]).await;
    chain.set_control("default_version = '2.1'\nrelocatable = true\n");
    stack.update(&properties(false), &[]).await;
    assert_eq!(world.database.extensions().await, only(&chain.name, "2.1"));
    chain.set_control("default_version = '1.0'\nrelocatable = true\n");
    let updated = stack.update(&properties(true), &["Changes"]).await;
    assert_eq!(updated.outputs["Changes"], "none");
    assert_eq!(world.database.extensions().await, only(&chain.name, "2.1"));
}

#[tokio::test]
async fn zero_is_a_version() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let zero = Fixture::install(
        &format!("{}_zero", world.name),
        "default_version = '0'\n",
        &[("0", "SELECT 1;")],
    );
    let answer = world
        .create(extensions(
            &world,
            json!([{"Name": zero.name, "Version": 0}]),
        ))
        .await;
    assert_eq!(answer["Data"][&zero.name], "0", "{answer}");
}

#[tokio::test]
async fn version_and_schema_change_in_one_request_or_not_at_all() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    let stack = world.stack("app");
    let place = |version: &str, schema: &str| {
        let declared =
            json!({"Name": chain.name, "Version": version, "Schema": schema, "CreateSchema": true});
        extensions(
            &world,
            json!([declared, {"Name": "hstore", "Schema": schema, "CreateSchema": true}]),
        )
    };
    let schemas = "SELECT string_agg(DISTINCT extnamespace::regnamespace::text, ',') FROM pg_extension WHERE extname <> 'plpgsql'";
    stack.create(&place("1.0", "here"), &[]).await;
    assert_eq!(world.database.text(schemas).await, "here");
    let updated = stack.update(&place("2.0", "there"), &[]).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert_eq!(world.database.text(schemas).await, "there");
    let failed = stack.update(&place("9.9", "elsewhere"), &[]).await;
    assert_eq!(failed.status, "UPDATE_FAILED");
    assert_eq!(world.database.text(schemas).await, "there");
}

#[tokio::test]
async fn a_schema_that_an_extension_does_not_leave_is_reported() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let own = format!("{}_own", world.name);
    let fixed = Fixture::install(
        &format!("{}_fixed", world.name),
        &format!("default_version = '1'\nschema = {own}\n"),
        &[("1", "SELECT 1;")],
    );
    let stuck = Fixture::install(
        &format!("{}_stuck", world.name),
        "default_version = '1'\n",
        &[("1", "SELECT 1;")],
    );
    let other = json!({"Name": fixed.name, "Schema": "public"});
    let answer = world.create(extensions(&world, json!([other]))).await;
    assert!(
        answer["Reason"]
            .as_str()
            .unwrap()
            .contains(&format!("must be installed in schema {own}, not public")),
        "{answer}"
    );
    let answer = world
        .create(extensions(&world, json!([fixed.name, stuck.name])))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let moved = json!({"Name": stuck.name, "Schema": own});
    let answer = world
        .create(extensions(&world, json!([fixed.name, moved])))
        .await;
    assert!(
        answer["Reason"]
            .as_str()
            .unwrap()
            .contains("is installed in schema public"),
        "{answer}"
    );
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
        let printed = answer["Reason"].as_str().unwrap();
        assert!(
            printed.contains(message) && printed.contains(state),
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
async fn several_databases_are_each_as_declared_and_no_other_is_touched() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let mut names = Vec::new();
    let mut databases = Vec::new();
    for suffix in ["b", "c", "untouched"] {
        databases.push(Database::create(&format!("{}_{suffix}", world.name)).await);
    }
    names.push(world.database.name.clone());
    names.extend(
        databases
            .iter()
            .take(2)
            .map(|database| database.name.clone()),
    );
    let stack = world.stack("app");
    let mut properties = extensions(&world, json!(["hstore"]));
    properties["Databases"] = json!(names);
    let created = stack
        .create(&properties, &["Databases", "hstore", "Changes"])
        .await;
    assert_eq!(created.outputs["Databases"], names.join(","), "{created:?}");
    assert_eq!(created.outputs["hstore"], "1.8");
    let [b, c, untouched] = databases.as_slice() else {
        unreachable!()
    };
    for database in [&world.database, b, c] {
        assert_eq!(database.extensions().await, only("hstore", "1.8"));
    }
    assert!(untouched.extensions().await.is_empty());

    // What an update no longer names is released.
    properties["Databases"] = json!([b.name]);
    assert_eq!(
        stack.update(&properties, &[]).await.status,
        "UPDATE_COMPLETE"
    );
    assert!(world.database.extensions().await.is_empty() && c.extensions().await.is_empty());
    assert_eq!(b.extensions().await, only("hstore", "1.8"));
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(b.extensions().await.is_empty());
}

#[tokio::test]
async fn a_failure_in_one_database_reports_the_changes_in_the_others_and_the_rollback_undoes_them()
{
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let broken = Database::create(&format!("{}_broken", world.name)).await;
    broken.execute("CREATE TYPE hstore AS ENUM ()").await;
    let mut properties = extensions(&world, json!(["hstore"]));
    properties["Databases"] = json!([world.database.name, broken.name]);
    let request = world.create_request(properties.clone()).await;
    world.publish(&request).await;
    let answer = world.answer(&request).await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("type \"hstore\" already exists") && reason.contains("[42710]"),
        "{reason}"
    );
    assert!(
        reason.contains(&format!(
            "Done before: {}: created hstore 1.8.",
            world.database.name
        )),
        "{reason}"
    );
    assert!(!world.database.extensions().await.is_empty());

    let rollback = world
        .delete_request(properties, answer["PhysicalResourceId"].as_str().unwrap())
        .await;
    world.publish(&rollback).await;
    assert_eq!(world.answer(&rollback).await["Status"], "SUCCESS");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn a_star_stands_for_every_database_of_the_server() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    server.execute("CREATE DATABASE one").await;
    server
        .execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        .await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": ""}))
        .await;
    let stack = world.stack("app");
    let properties = json!({"DBSecret": secret, "Databases": "*", "Extensions": ["hstore"]});
    let created = stack.create(&properties, &["Databases", "hstore"]).await;
    assert_eq!(created.outputs["Databases"], "postgres,one", "{created:?}");
    assert_eq!(created.outputs["hstore"], "1.8");
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
}

#[tokio::test]
async fn a_replica_is_recognised() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = PrivateServer::start(&world, Mode::Replica).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let answer = world
        .create(json!({"DBSecret": secret, "Extensions": ["hstore"]}))
        .await;
    let expected = "127.0.0.1/postgres: the server is a replica and takes no changes. Name the writer's endpoint. [25006]";
    assert_eq!(answer["Reason"], expected, "{answer}");
    // Nothing can have been created there.
    let id = answer["PhysicalResourceId"].as_str().unwrap();
    let properties = json!({"DBSecret": secret, "Extensions": ["hstore"]});
    let delete = world.delete_request(properties, id).await;
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");
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
    // RDS refuses what its list leaves out; here somebody has to.
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

#[tokio::test]
async fn a_move_to_another_server_that_fails_is_undone_there() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    server.execute("CREATE DATABASE whole").await;
    server.execute("CREATE TYPE hstore AS ENUM ()").await;
    let there = world.secret_with(&json!({"port": server.port})).await;
    let stack = world.stack("app");
    stack
        .create(&extensions(&world, json!(["hstore"])), &[])
        .await;
    let moved =
        json!({"DBSecret": there, "Databases": ["whole", "postgres"], "Extensions": ["hstore"]});
    let failed = stack.update(&moved, &[]).await;
    assert_eq!(failed.status, "UPDATE_FAILED");
    assert!(
        failed.reason.contains("Done before: whole: created hstore"),
        "{failed:?}"
    );
    assert!(!failed.reason.contains("rollback failed"), "{failed:?}");
    assert_eq!(server.extensions("whole").await, "plpgsql");
    assert_eq!(world.database.extensions().await, only("hstore", "1.8"));
}
