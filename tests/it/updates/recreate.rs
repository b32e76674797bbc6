//! Extensions that no update leads on: `OnNoUpdatePath: Recreate`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Fixture, ResultsSubscriber, Worker, World};

/// Versions 1 and 2 without a path between them: a schema of its own, a function, an operator, a table and a view.
fn without_path(world: &World) -> Fixture {
    let name = format!("{}_pathless", world.name);
    let script = |version: &str| {
        format!(
            "CREATE TABLE {name}_settings (id int PRIMARY KEY, text text);
             CREATE FUNCTION {name}_version() RETURNS text LANGUAGE sql AS $$ SELECT '{version}' $$;
             REVOKE ALL ON FUNCTION {name}_version() FROM PUBLIC;
             CREATE VIEW {name}_shown AS SELECT {name}_version() AS version;
             GRANT SELECT ON {name}_shown TO PUBLIC;"
        )
    };
    let (one, two) = (
        script("1"),
        format!(
            "{} CREATE FUNCTION {name}_more() RETURNS int LANGUAGE sql AS 'SELECT 1';",
            script("2")
        ),
    );
    let control =
        "default_version = '1'\nrelocatable = true\ncomment = 'what its control file says'\n";
    Fixture::install(&name, control, &[("1", &one), ("2", &two)])
}

fn declare(world: &World, fixture: &Fixture, more: Value) -> Value {
    let mut extension = json!({"Name": fixture.name});
    for (name, value) in more.as_object().unwrap() {
        extension[name] = value.clone();
    }
    json!({"DBSecret": world.secret, "Extensions": [extension]})
}

fn recreated(world: &World, fixture: &Fixture) -> Value {
    declare(
        world,
        fixture,
        json!({"Version": "2", "OnNoUpdatePath": "Recreate"}),
    )
}

async fn version(world: &World, fixture: &Fixture) -> String {
    world.database.extensions().await[&fixture.name].clone()
}

#[tokio::test]
async fn an_extension_without_a_path_is_recreated_in_its_schema_with_its_comment() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let fixture = without_path(&world);
    let name = &fixture.name;
    let setup = format!(
        "CREATE SCHEMA elsewhere; CREATE EXTENSION {name} SCHEMA elsewhere;
         COMMENT ON EXTENSION {name} IS 'what its user says';"
    );
    world.database.execute(&setup).await;

    // By default it fails, and the Reason offers the way out.
    let refused = world
        .create(declare(&world, &fixture, json!({"Version": "2"})))
        .await;
    assert_eq!(refused["Status"], "FAILED", "{refused}");
    let reason = refused["Reason"].as_str().unwrap();
    assert!(reason.contains("OnNoUpdatePath: Recreate"), "{reason}");

    let dry = declare(
        &world,
        &fixture,
        json!({"Version": "2", "OnNoUpdatePath": "Recreate"}),
    );
    let mut dry = dry;
    dry["DryRun"] = json!("true");
    let answer = world.create(dry).await;
    let statements = format!(
        "DROP EXTENSION \"{name}\"; CREATE EXTENSION \"{name}\" SCHEMA \"elsewhere\" VERSION '2'"
    );
    assert_eq!(answer["Data"]["Changes"], statements);
    assert_eq!(version(&world, &fixture).await, "1");

    let answer = world.create(recreated(&world, &fixture)).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(
        answer["Data"]["Changes"],
        format!("recreated {name} 1 as 2")
    );
    assert_eq!(answer["Data"][name.as_str()], "2");
    let shown = format!("SELECT version FROM elsewhere.{name}_shown");
    assert_eq!(world.database.text(&shown).await, "2");
    let comment = format!(
        "SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = '{name}'"
    );
    assert_eq!(world.database.text(&comment).await, "what its user says");
    // It was there before any resource declared it, and still was: a Delete leaves it.
    let origin = "SELECT string_agg(name || ' ' || (data ->> 'origin'), ' ') FROM extension_worker.ledger WHERE kind = 'extension'";
    assert_eq!(world.database.text(origin).await, format!("{name} adopted"));
}

#[tokio::test]
async fn nothing_is_recreated_where_something_would_be_lost() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let fixture = without_path(&world);
    let name = &fixture.name;
    let create = format!(
        "CREATE EXTENSION {name}; CREATE ROLE {name}_reader; CREATE TABLE {name}_mine (id int);"
    );
    world.database.execute(&create).await;
    // What is done, how it is named, and how it is undone.
    let obstacles = BTreeMap::from([
        (
            format!("CREATE VIEW v AS SELECT {name}_version()"),
            ("view v depends on", "DROP VIEW v"),
        ),
        (
            format!("INSERT INTO {name}_settings VALUES (1)"),
            ("holds rows", "DELETE FROM @_settings"),
        ),
        (
            format!("GRANT EXECUTE ON FUNCTION {name}_version() TO {name}_reader"),
            (
                "rights on function",
                "REVOKE ALL ON FUNCTION @_version() FROM @_reader",
            ),
        ),
        (
            format!("REVOKE SELECT ON {name}_shown FROM PUBLIC"),
            ("rights on view", "GRANT SELECT ON @_shown TO PUBLIC"),
        ),
        (
            format!("GRANT SELECT (text) ON {name}_settings TO {name}_reader"),
            (
                "rights on table column",
                "REVOKE SELECT (text) ON @_settings FROM @_reader",
            ),
        ),
        (
            format!("COMMENT ON TABLE {name}_settings IS 'mine'"),
            ("comment on table", "COMMENT ON TABLE @_settings IS NULL"),
        ),
        (
            format!("ALTER FUNCTION {name}_version() OWNER TO {name}_reader"),
            (
                "would belong to role",
                "ALTER FUNCTION @_version() OWNER TO postgres",
            ),
        ),
        (
            format!("CREATE INDEX {name}_i ON {name}_settings (text)"),
            ("_i would be gone", "DROP INDEX @_i"),
        ),
        (
            format!(
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f() DEPENDS ON EXTENSION {name}"
            ),
            ("function public.f() would be gone", "DROP FUNCTION f()"),
        ),
        (
            format!("CREATE PUBLICATION p FOR TABLE {name}_settings"),
            ("in publication p would be gone", "DROP PUBLICATION p"),
        ),
    ]);
    for (done, (named, undone)) in obstacles {
        world.database.execute(&done).await;
        let before = state(&world, name).await;
        let answer = world.create(recreated(&world, &fixture)).await;
        assert_eq!(answer["Status"], "FAILED", "{done}: {answer}");
        let reason = answer["Reason"].as_str().unwrap();
        assert!(reason.contains(named), "{done}: {reason}");
        assert_eq!(version(&world, &fixture).await, "1", "{done}");
        assert_eq!(state(&world, name).await, before, "{done}");
        world.database.execute(&undone.replace('@', name)).await;
    }
    let answer = world.create(recreated(&world, &fixture)).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}

/// The OIDs of the extension and its objects: the very same ones as before.
async fn state(world: &World, name: &str) -> String {
    let members = format!(
        "SELECT string_agg(d.classid || '/' || d.objid, ' ' ORDER BY d.classid, d.objid) FROM pg_depend d
         JOIN pg_extension e ON e.oid = d.refobjid WHERE d.refclassid = 'pg_extension'::regclass AND e.extname = '{name}'"
    );
    world.database.text(&members).await
}

#[tokio::test]
async fn a_repair_recreates_what_its_declaration_lets_it() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let topic = [("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str())];
    let _worker = Worker::start(&world, &topic);
    let fixture = without_path(&world);
    let name = &fixture.name;
    let follows = declare(
        &world,
        &fixture,
        json!({"Version": "default", "OnNoUpdatePath": "Recreate"}),
    );
    assert_eq!(world.create(follows).await["Status"], "SUCCESS");
    // The engine is upgraded.
    fixture.set_control("default_version = '2'\nrelocatable = true\n");
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    world
        .database
        .execute(&format!("INSERT INTO {name}_settings VALUES (1)"))
        .await;
    let refused = subscriber.run("Repair", targets.clone(), json!({})).await;
    let refused = refused.result_of(&world.database.name);
    assert_eq!(refused["State"], "Failed", "{refused}");
    assert!(
        refused["Reason"].as_str().unwrap().contains("holds rows"),
        "{refused}"
    );
    world
        .database
        .execute(&format!("DELETE FROM {name}_settings"))
        .await;
    let repaired = subscriber.run("Repair", targets, json!({})).await;
    let repaired = repaired.result_of(&world.database.name);
    assert_eq!(repaired["State"], "Repaired", "{repaired}");
    assert_eq!(version(&world, &fixture).await, "2");
}
