//! A Reason names the statement that failed, and where.

use serde_json::{Value, json};

use crate::support::{Database, Fixture, Worker, World, variable};

#[tokio::test]
async fn an_update_that_a_view_is_in_the_way_of_says_what_to_do_around_the_update() {
    let world = World::new().await;
    let name = format!("{}_stats", world.name);
    Fixture::install(
        &name,
        "default_version = '1.0'\n",
        &[
            ("1.0", &format!("CREATE VIEW {name} AS SELECT 1 AS calls;")),
            (
                "1.0--1.1",
                &format!(
                    "ALTER EXTENSION {name} DROP VIEW {name}; DROP VIEW {name};
                     CREATE VIEW {name} AS SELECT 1 AS calls, 2 AS rows;"
                ),
            ),
        ],
    );
    let install = format!("CREATE EXTENSION {name}; CREATE VIEW mine AS SELECT * FROM {name}");
    world.database.execute(&install).await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "PluginsMap": {name.as_str(): "1.1"}}))
        .await;
    let reason = answer["Reason"].as_str().unwrap();
    let expected = format!(
        "Extension \"{name}\" on {}/{} cannot be updated from 1.0 to 1.1: ",
        variable("PGHOST"),
        world.database.name
    );
    assert!(reason.starts_with(&expected), "{reason}");
    assert!(reason.contains("view mine depends on view"), "{reason}");
    assert!(
        reason.ends_with(
            "Drop what depends on it, update the stack, and create it again afterwards. [2BP01]"
        ),
        "{reason}"
    );
    assert!(!reason.contains("DeletionBehavior"), "{reason}");
}

#[tokio::test]
async fn a_long_reason_of_characters_that_json_escapes_is_cut_and_not_lost() {
    let world = World::new().await;
    let name = format!("{}_quotes", world.name);
    let raise = "DO $$ BEGIN RAISE 'refused: %', repeat('\"', 9000); END $$;";
    let _fixture = Fixture::install(&name, "default_version = '1'\n", &[("1", raise)]);
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": [name]}))
        .await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains("refused: \"\"\""), "{reason}");
    assert!(reason.ends_with("\"…"), "{reason}");
    assert!(answer.to_string().len() <= 4096, "{answer}");
}

#[tokio::test]
async fn of_several_databases_the_reason_names_the_one_that_refuses() {
    let world = World::new().await;
    let other = Database::create(&format!("{}_b", world.name)).await;
    other.execute("CREATE TYPE hstore AS ENUM ()").await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({
            "DBSecret": world.secret,
            "Databases": [world.database.name, other.name],
            "Extensions": ["hstore"],
        }))
        .await;
    let reason = answer["Reason"].as_str().unwrap();
    let expected = format!(
        "Extension \"hstore\" on {}/{}: type \"hstore\" already exists.",
        variable("PGHOST"),
        other.name
    );
    assert!(reason.starts_with(&expected), "{reason}");
}

#[tokio::test]
async fn whatever_names_shared_preload_libraries_is_about_the_parameter_group() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for (number, refusal) in [
        "'pglogical is not in shared_preload_libraries' USING ERRCODE = 'XX000'",
        "'x must be preloaded' USING ERRCODE = '58P01', \
         HINT = 'Please preload the library via shared_preload_libraries.'",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("{}_preload{number}", world.name);
        let script = format!("DO $$ BEGIN RAISE EXCEPTION {refusal}; END $$;");
        Fixture::install(&name, "default_version = '1'\n", &[("1", &script)]);
        let answer = world
            .create(json!({"DBSecret": world.secret, "Extensions": [name]}))
            .await;
        let reason = answer["Reason"].as_str().unwrap();
        assert!(
            reason.contains(
                "add it to shared_preload_libraries in the DB parameter group and reboot the instance"
            ),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_missing_public_schema_names_schema_and_create_schema() {
    let world = World::new().await;
    world.database.execute("DROP SCHEMA public").await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.ends_with(
            "schema \"public\" does not exist. Create the schema, or name one with Schema and set CreateSchema: true. \
             [3F000]"
        ),
        "{reason}"
    );
}

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    answer["Reason"].as_str().unwrap()
}

#[tokio::test]
async fn a_version_without_a_script_is_said_to_have_none() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let control = "default_version = '2'\n";
    let bare = Fixture::install(&format!("{}_bare", world.name), control, &[]);
    let older = Fixture::install(
        &format!("{}_older", world.name),
        control,
        &[("1", "SELECT 1;")],
    );
    let create = async |name: &str| {
        world
            .create(json!({"DBSecret": world.secret, "Extensions": [name]}))
            .await
    };
    let refused = create(&bare.name).await;
    let expected = "the server has a control file of it, and no script. [22023]";
    assert!(reason(&refused).ends_with(expected), "{refused}");
    let refused = create(&older.name).await;
    assert!(
        reason(&refused).contains("its default version 2 cannot be installed"),
        "{refused}"
    );
    assert!(reason(&refused).contains("Available: 1. Ask"), "{refused}");
}

#[tokio::test]
async fn what_refuses_the_ledger_is_said_to_refuse_it() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    world
        .database
        .execute(
            "CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION E'schemas are made\\nby operations'; END $$;
             CREATE EVENT TRIGGER guard ON ddl_command_start WHEN tag IN ('CREATE SCHEMA') EXECUTE FUNCTION guard()",
        )
        .await;
    let refused = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    let expected = format!(
        "{}/{}: the ledger (schema extension_worker) cannot be created: schemas are made; by operations. Context: PL/pgSQL \
         function",
        variable("PGHOST"),
        world.database.name
    );
    assert!(reason(&refused).starts_with(&expected), "{refused}");
    assert!(reason(&refused).ends_with("[P0001]"), "{refused}");
}

#[tokio::test]
async fn a_dry_run_that_fails_in_one_database_did_nothing_in_another() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let gone = format!("{}_gone", world.name);
    let refused = world
        .create(json!({
            "DBSecret": world.secret,
            "Databases": [world.database.name, gone],
            "Extensions": ["hstore"],
            "DryRun": true,
        }))
        .await;
    assert!(reason(&refused).contains(&gone), "{refused}");
    assert!(!reason(&refused).contains("Done before"), "{refused}");
}
