//! Where the catalogue and PostgreSQL differ, PostgreSQL decides.

use serde_json::{Value, json};

use crate::support::{Fixture, Worker, World};

/// Has the catalogue of this database, and of no other, list what `body` returns.
pub(crate) async fn list(world: &World, function: &str, body: &str) {
    let columns = match function {
        "pg_available_extensions" => "OUT name name, OUT default_version text, OUT comment text",
        _ => {
            "OUT name name, OUT version text, OUT superuser boolean, OUT trusted boolean, \
             OUT relocatable boolean, OUT schema name, OUT requires name[], OUT comment text"
        }
    };
    let sql = format!(
        "SET allow_system_table_mods = on;
         ALTER FUNCTION pg_catalog.{function}() RENAME TO {function}_real;
         CREATE FUNCTION pg_catalog.{function}({columns}) RETURNS SETOF record
         LANGUAGE plpgsql STABLE AS $$ BEGIN {body}; END $$"
    );
    world.database.execute(&sql).await;
}

/// Has pg_tle offer an extension. It is not packaged: this is what it leaves in the catalogue.
pub(crate) async fn offer_by_tle(world: &World, shop: &str) {
    Fixture::install(
        "pg_tle",
        "default_version = '1.4.0'\nschema = 'pgtle'\nrelocatable = false\n",
        &[("1.4.0", "SELECT 1;")],
    );
    world
        .database
        .execute(&format!(
            "CREATE EXTENSION pg_tle;
             CREATE FUNCTION pgtle.\"{shop}.control\"() RETURNS text LANGUAGE sql AS
             $o$SELECT $_pgtle_i_$default_version = '1.0'
             comment = 'a shop'
             $_pgtle_i_$$o$;
             CREATE FUNCTION pgtle.\"{shop}--1.0.sql\"() RETURNS text LANGUAGE sql AS $o$SELECT 'SELECT 1'$o$;
             CREATE FUNCTION pgtle.\"{shop}--1.0--1.1.sql\"() RETURNS text LANGUAGE sql AS $o$SELECT 'SELECT 1'$o$;"
        ))
        .await;
}

fn reason(answer: &Value) -> &str {
    answer["Reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_the_catalogue_does_not_list_is_installed_where_postgresql_can() {
    let world = World::new().await;
    let version = world.database.default_version("hstore").await;
    list(&world, "pg_available_extensions", "RETURN").await;
    list(&world, "pg_available_extension_versions", "RETURN").await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore", {"Name": "cube", "Version": "1.5"}]}))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["Data"]["hstore"], version.as_str());
    assert_eq!(answer["Data"]["cube"], "1.5");
    let refused = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["no_such"]}))
        .await;
    assert!(
        reason(&refused).contains("\"no_such\" is not available on"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_version_that_the_catalogue_does_not_know_is_gone_to_where_postgresql_can() {
    let world = World::new().await;
    let name = format!("{}_hidden", world.name);
    Fixture::install(
        &name,
        "default_version = '1'\n",
        &[
            ("1", "SELECT 1;"),
            ("2", "SELECT 1;"),
            ("1--2", "SELECT 1;"),
        ],
    );
    let hidden = "OUT source text, OUT target text, OUT path text";
    world
        .database
        .execute(&format!(
            "CREATE EXTENSION {name}; SET allow_system_table_mods = on;
             ALTER FUNCTION pg_catalog.pg_extension_update_paths(name) RENAME TO pg_extension_update_paths_real;
             CREATE FUNCTION pg_catalog.pg_extension_update_paths(name name, {hidden}) RETURNS SETOF record
             LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN; END $$"
        ))
        .await;
    let _worker = Worker::start(&world, &[]);
    let create = async |version: &str| {
        world
            .create(json!({"DBSecret": world.secret, "PluginsMap": {name.as_str(): version}}))
            .await
    };
    let answer = create("2").await;
    assert_eq!(answer["Data"][&name], "2", "{answer}");
    let refused = create("3").await;
    assert_eq!(refused["Status"], "FAILED", "{refused}");
    assert!(
        reason(&refused).contains("version 3 cannot be installed"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_broken_control_file_of_another_extension_fails_no_request() {
    let world = World::new().await;
    // As for a directory of that name, which PostgreSQL has no state of its own for.
    let broken = "RAISE EXCEPTION 'input in flex scanner failed at file \"/x/odd.control\" line 1' \
                  USING ERRCODE = 'XX000'";
    list(&world, "pg_available_extensions", broken).await;
    list(&world, "pg_available_extension_versions", broken).await;
    let _worker = Worker::start(&world, &[]);
    let create = async |extension: Value| {
        world
            .create(json!({"DBSecret": world.secret, "Extensions": [extension]}))
            .await
    };
    let answer = create(json!("hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let changes = answer["Data"]["Changes"].as_str().unwrap();
    assert!(changes.contains("created hstore"), "{changes}");
    assert!(changes.contains("odd.control"), "{changes}");
    // A dry run tries nothing, and does not call unavailable what it could not look for.
    let planned = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["cube"], "DryRun": true}))
        .await;
    assert!(reason(&planned).contains("odd.control"), "{planned}");
    // Which versions there are to choose from is not known.
    let refused = create(json!({"Name": "cube", "Version": "1.*"})).await;
    assert!(reason(&refused).contains("odd.control"), "{refused}");
}

#[tokio::test]
async fn what_pg_tle_offers_is_offered() {
    let world = World::new().await;
    let shop = format!("{}_shop", world.name);
    offer_by_tle(&world, &shop).await;
    let _worker = Worker::start(&world, &[]);
    let plan = async |version: &str| {
        let properties = json!({
            "DBSecret": world.secret, "PluginsMap": {shop.as_str(): version}, "DryRun": true,
        });
        world.create(properties).await
    };
    for (asked, version) in [("", "1.0"), ("1.*", "1.1"), ("1.1", "1.1")] {
        let answer = plan(asked).await;
        assert_eq!(
            answer["Data"]["Changes"],
            format!("CREATE EXTENSION \"{shop}\" SCHEMA \"public\" VERSION '{version}'"),
            "{answer}"
        );
    }
    let unknown = plan("7").await;
    assert!(
        reason(&unknown).contains("Available: 1.0, 1.1"),
        "{unknown}"
    );
    // Without pg_tle's library PostgreSQL itself knows nothing of it: the words are PostgreSQL's.
    let refused = world
        .create(json!({"DBSecret": world.secret, "Extensions": [shop]}))
        .await;
    assert!(
        reason(&refused).contains(&format!("extension \"{shop}\" is not available")),
        "{refused}"
    );
}
