//! Schemas that an extension's script will see.

use serde_json::{Value, json};

use super::master::{RANKS, Rank, Scene};
use crate::support::{Fixture, Worker, World};

/// A function of the attacker's that leaves a proof of having run.
fn stealing(name: &str) -> String {
    format!(
        "CREATE FUNCTION shared.{name} RETURNS text LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_catalog.nextval('public.proof'); RETURN $1::text; END $$"
    )
}

/// An operator of the attacker's with a better fitting signature than PostgreSQL's own.
fn operator() -> String {
    format!(
        "{}; CREATE OPERATOR shared.|| (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = shared.steal)",
        stealing("steal(varchar, varchar)")
    )
}

/// The control file of an extension that requires no other.
const FREE: &str = "default_version = '1'\nrelocatable = false\nsuperuser = true\ntrusted = true\n";

/// An extension whose script uses PostgreSQL's operator and function in a way that others can replace. A role that may
/// create objects in the database may create it: its script runs as a superuser.
fn fixture(world: &World) -> Fixture {
    Fixture::install(
        &format!("{}_script", world.name),
        FREE,
        &[
            (
                "1",
                "CREATE TABLE @extschema@.made AS SELECT lower('a'::varchar) || 'b'::varchar AS text, 'a'::varchar || 'b' AS more;",
            ),
            (
                "1--2",
                "CREATE TABLE @extschema@.further AS SELECT 'a'::varchar || 'b' AS text;",
            ),
        ],
    )
}

async fn scene(world: &World, rank: Rank) -> Scene {
    let scene = Scene::new(world, rank).await;
    let attacker = scene.attacker().await;
    attacker
        .batch_execute("CREATE SCHEMA shared")
        .await
        .unwrap();
    scene
}

fn declare(scene: &Scene, extension: &Fixture, version: &str) -> Value {
    scene.declare(&json!([{"Name": extension.name, "Version": version, "Schema": "shared"}]))
}

#[tokio::test]
async fn an_operator_of_the_owners_is_not_used_by_a_script_that_is_created_or_updated() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = fixture(&world);
    for rank in RANKS {
        let scene = scene(&world, rank).await;
        let first = declare(&scene, &extension, "1");
        let answer = world.create(first.clone()).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
        let changes = answer["Data"]["Changes"].as_str().unwrap();
        let warning = format!(
            "warning: in schema \"shared\" (role \"{}\")",
            scene.attacker
        );
        assert!(changes.contains(&warning), "{answer}");

        let attacker = scene.attacker().await;
        attacker.batch_execute(&operator()).await.unwrap();
        let second = declare(&scene, &extension, "2");
        let dropped = format!("DROP EXTENSION {}", extension.name);
        for (properties, before) in [(&second, None), (&first, Some(&dropped))] {
            if let Some(before) = before {
                scene.database.execute(before).await;
            }
            let answer = world.create(properties.clone()).await;
            assert!(!scene.is_taken().await, "{rank:?}: {answer}");
            assert_eq!(answer["Status"], "FAILED", "{answer}");
            let expected = "operator shared.||(character varying, character varying) of role";
            let reason = answer["Reason"].as_str().unwrap();
            assert!(reason.contains(expected), "{answer}");
        }
    }
}

#[tokio::test]
async fn whatever_a_script_may_find_in_the_place_of_postgresqls_own_is_named() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = fixture(&world);
    for (objects, expected) in [
        (
            stealing("lower(varchar)"),
            "function shared.lower(character varying) of role",
        ),
        (
            "CREATE TYPE shared.varchar AS ENUM ('x')".to_owned(),
            "type shared.\"varchar\" of role",
        ),
        (
            "CREATE TYPE shared.mine AS ENUM ('x');
             CREATE FUNCTION shared.of(varchar) RETURNS shared.mine LANGUAGE sql AS $$ SELECT 'x'::shared.mine $$;
             CREATE CAST (varchar AS shared.mine) WITH FUNCTION shared.of(varchar) AS IMPLICIT"
                .to_owned(),
            "cast from character varying to shared.mine of role",
        ),
        (
            "CREATE SCHEMA own;
             DO $$ BEGIN
               IF pg_catalog.current_setting('server_version_num')::int >= 140000 THEN
                 CREATE TYPE own.range AS RANGE (SUBTYPE = int4, MULTIRANGE_TYPE_NAME = shared.varchar);
               ELSE
                 CREATE TYPE shared.varchar AS ENUM ('x');
               END IF;
             END $$"
                .to_owned(),
            "type shared.\"varchar\" of role",
        ),
    ] {
        let scene = scene(&world, Rank::RdsMaster).await;
        let attacker = scene.attacker().await;
        attacker.batch_execute(&objects).await.unwrap();
        let answer = world.create(declare(&scene, &extension, "1")).await;
        assert!(!scene.is_taken().await, "{answer}");
        assert_eq!(answer["Status"], "FAILED", "{answer}");
        let reason = answer["Reason"].as_str().unwrap();
        assert!(reason.contains(expected), "{answer}");
    }
}

/// The owner of a trusted extension may put a function into it.
#[tokio::test]
async fn a_function_that_the_attacker_put_into_an_extension_is_found_all_the_same() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = fixture(&world);
    let other = Fixture::install(
        &format!("{}_other", world.name),
        FREE,
        &[("1", "SELECT 1;")],
    );
    for owned in [&other, &extension] {
        let scene = scene(&world, Rank::RdsMaster).await;
        let attacker = scene.attacker().await;
        let added = format!(
            "CREATE EXTENSION {name} SCHEMA shared VERSION '1'; {function};
             ALTER EXTENSION {name} ADD FUNCTION shared.lower(varchar)",
            name = owned.name,
            function = stealing("lower(varchar)"),
        );
        attacker.batch_execute(&added).await.unwrap();
        let answer = world.create(declare(&scene, &extension, "2")).await;
        assert!(!scene.is_taken().await, "{answer}");
        assert_eq!(answer["Status"], "FAILED", "{answer}");
        let reason = answer["Reason"].as_str().unwrap();
        let expected = "function shared.lower(character varying) of role";
        assert!(reason.contains(expected), "{answer}");
    }
}

/// The names that an extension brings are known once its script has run.
#[tokio::test]
async fn what_has_a_name_of_the_extensions_own_is_found_before_the_commit() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = Fixture::install(
        &format!("{}_own", world.name),
        "default_version = '1'\nrelocatable = false\nsuperuser = true\ntrusted = true\n",
        &[(
            "1",
            "CREATE FUNCTION @extschema@.tally(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
             CREATE TABLE @extschema@.made AS SELECT @extschema@.tally('a'::varchar) AS text;",
        )],
    );
    for rank in RANKS {
        let scene = scene(&world, rank).await;
        let attacker = scene.attacker().await;
        let function = stealing("tally(varchar)");
        attacker.batch_execute(&function).await.unwrap();
        let answer = world.create(declare(&scene, &extension, "1")).await;
        assert_eq!(answer["Status"], "FAILED", "{rank:?}: {answer}");
        let reason = answer["Reason"].as_str().unwrap();
        let expected = "function shared.tally(character varying) of role";
        assert!(reason.contains(expected), "{answer}");
        let installed = scene.database.extensions().await;
        assert!(!installed.contains_key(&extension.name), "{rank:?}");
    }
}

/// A script sees the schemas of what it requires. Which extensions these are is not known when a Create is planned: where
/// the attacker has something in the schema of any, it is found out before a script runs.
#[tokio::test]
async fn an_operator_in_the_schema_of_what_is_required_is_found_before_the_script_runs() {
    let world = World::new().await;
    let base = Fixture::install(
        &format!("{}_base", world.name),
        "default_version = '1'\nrelocatable = false\n",
        &[("1", "SELECT 1;")],
    );
    let free = fixture(&world);
    let requiring = Fixture::install(
        &format!("{}_requiring", world.name),
        &format!("{FREE}requires = '{}'\n", base.name),
        &[(
            "1",
            "CREATE TABLE made AS SELECT 'a'::varchar || 'b' AS text;",
        )],
    );
    for rank in RANKS {
        let scene = scene(&world, rank).await;
        let install = format!("CREATE EXTENSION {} SCHEMA shared", base.name);
        scene.database.execute(&install).await;
        let attacker = scene.attacker().await;
        attacker.batch_execute(&operator()).await.unwrap();
        for (extension, expected) in [(&requiring, "FAILED"), (&free, "SUCCESS")] {
            // A new one has read no versions.
            let mut worker = Worker::start(&world, &[]);
            let answer = world.create(scene.declare(&json!([extension.name]))).await;
            worker.signal("TERM");
            worker.exit().await;
            assert!(!scene.is_taken().await, "{rank:?}: {answer}");
            assert_eq!(answer["Status"], expected, "{rank:?}: {answer}");
            if expected == "FAILED" {
                let found = "operator shared.||(character varying, character varying) of role";
                let reason = answer["Reason"].as_str().unwrap();
                assert!(reason.contains(found), "{answer}");
            } else {
                // What it does not require matters to no one.
                let changes = answer["Data"]["Changes"].as_str().unwrap();
                assert!(!changes.contains("shared"), "{answer}");
            }
        }
    }
}

/// The names that a script uses are not PostgreSQL's and its own alone.
#[tokio::test]
async fn what_has_a_name_of_an_extension_that_is_required_is_found_before_the_script_runs() {
    let world = World::new().await;
    let base = Fixture::install(
        &format!("{}_base", world.name),
        "default_version = '1'\nrelocatable = false\n",
        &[(
            "1",
            "CREATE FUNCTION @extschema@.tally(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
             CREATE TABLE @extschema@.kinds AS SELECT 'a' AS name;",
        )],
    );
    let requiring = Fixture::install(
        &format!("{}_requiring", world.name),
        &format!("{FREE}requires = '{}'\n", base.name),
        &[(
            "1",
            "CREATE TABLE @extschema@.made AS SELECT tally('a'::varchar) AS text, (SELECT count(*) FROM kinds) AS kinds;",
        )],
    );
    let function = stealing("tally(varchar)");
    let view = format!(
        "{}; CREATE VIEW shared.kinds AS SELECT shared.steal('a', 'b') AS name; GRANT ALL ON shared.kinds TO PUBLIC",
        stealing("steal(varchar, varchar)")
    );
    for rank in RANKS {
        for (objects, expected) in [
            (
                function.as_str(),
                "function shared.tally(character varying) of role",
            ),
            (view.as_str(), "relation shared.kinds of role"),
        ] {
            let scene = scene(&world, rank).await;
            let install = format!(
                "CREATE SCHEMA base; GRANT USAGE ON SCHEMA base TO PUBLIC; CREATE EXTENSION {} SCHEMA base;
                 GRANT ALL ON base.kinds TO PUBLIC",
                base.name
            );
            scene.database.execute(&install).await;
            scene.attacker().await.batch_execute(objects).await.unwrap();
            // A new one has read no versions.
            let mut worker = Worker::start(&world, &[]);
            let answer = world.create(declare(&scene, &requiring, "1")).await;
            worker.signal("TERM");
            worker.exit().await;
            assert!(!scene.is_taken().await, "{rank:?}: {answer}");
            assert_eq!(answer["Status"], "FAILED", "{rank:?}: {answer}");
            let reason = answer["Reason"].as_str().unwrap();
            assert!(reason.contains(expected), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_has_a_name_of_an_extension_that_the_same_request_creates_is_found_before_the_next_script_runs()
 {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let base = Fixture::install(
        &format!("{}_base", world.name),
        FREE,
        &[(
            "1",
            "CREATE FUNCTION @extschema@.tally(text) RETURNS text LANGUAGE sql AS 'SELECT $1';",
        )],
    );
    let requiring = Fixture::install(
        &format!("{}_requiring", world.name),
        &format!("{FREE}requires = '{}'\n", base.name),
        &[(
            "1",
            "CREATE TABLE @extschema@.made AS SELECT tally('a'::varchar) AS text;",
        )],
    );
    for rank in RANKS {
        let scene = scene(&world, rank).await;
        let both = [&base, &requiring];
        let both = both.map(|one| json!({"Name": one.name, "Schema": "shared"}));
        let both = scene.declare(&json!(both));
        let function = stealing("tally(varchar)");
        let attacker = scene.attacker().await;
        attacker.batch_execute(&function).await.unwrap();
        let answer = world.create(both.clone()).await;
        assert!(!scene.is_taken().await, "{rank:?}: {answer}");
        assert_eq!(answer["Status"], "FAILED", "{rank:?}: {answer}");
        let reason = answer["Reason"].as_str().unwrap();
        let expected = "function shared.tally(character varying) of role";
        assert!(reason.contains(expected), "{answer}");

        let drop = "DROP FUNCTION shared.tally(varchar)";
        attacker.batch_execute(drop).await.unwrap();
        let answer = world.create(both).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
    }
}

/// An extension that takes no superuser belongs to the role that created it, and its objects do.
#[tokio::test]
async fn an_update_does_not_run_what_a_role_of_lower_rank_made_of_its_extension() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = Fixture::install(
        &format!("{}_theirs", world.name),
        "default_version = '1'\nrelocatable = false\nsuperuser = false\n",
        &[
            (
                "1",
                "CREATE FUNCTION @extschema@.tally(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
                 CREATE TABLE @extschema@.kinds (name text, extra text);",
            ),
            (
                "1--2",
                "CREATE TABLE @extschema@.made AS SELECT @extschema@.tally('a') AS text;
                 INSERT INTO @extschema@.kinds (name) VALUES ('a');",
            ),
        ],
    );
    let trigger = "ALTER FUNCTION shared.tally(text) OWNER TO {role};
         CREATE FUNCTION shared.fire() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_catalog.nextval('public.proof'); RETURN NEW; END $$;
         CREATE TRIGGER fire BEFORE INSERT ON shared.kinds FOR EACH ROW EXECUTE FUNCTION shared.fire();
         ALTER FUNCTION shared.fire() OWNER TO {attacker}; ";
    let value = "ALTER FUNCTION shared.tally(text) OWNER TO {role};
         CREATE FUNCTION shared.value() RETURNS text LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_catalog.nextval('public.proof'); RETURN ''; END $$;
         ALTER FUNCTION shared.value() OWNER TO {attacker};
         ALTER TABLE shared.kinds ALTER extra SET DEFAULT shared.value()";
    let function = stealing("tally(text)").replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION");
    for rank in RANKS {
        for (change, is_admins, expected) in [
            (
                function.as_str(),
                false,
                "function shared.tally(text) of role",
            ),
            (trigger, true, "relation shared.kinds of role"),
            (value, true, "relation shared.kinds of role"),
        ] {
            let scene = scene(&world, rank).await;
            let attacker = scene.attacker().await;
            let create = format!(
                "CREATE EXTENSION {} SCHEMA shared VERSION '1'; GRANT ALL ON SCHEMA shared TO PUBLIC",
                extension.name
            );
            attacker.batch_execute(&create).await.unwrap();
            let change = change
                .replace("{role}", &scene.role)
                .replace("{attacker}", &scene.attacker);
            // The function is given to the worker's role, which the attacker cannot do: the table alone is left.
            if is_admins {
                scene.database.execute(&change).await;
            } else {
                attacker.batch_execute(&change).await.unwrap();
            }
            let answer = world.create(declare(&scene, &extension, "2")).await;
            assert!(!scene.is_taken().await, "{rank:?}: {answer}");
            assert_eq!(answer["Status"], "FAILED", "{rank:?}: {answer}");
            let reason = answer["Reason"].as_str().unwrap();
            assert!(reason.contains(expected), "{answer}");
        }
    }
}

#[tokio::test]
async fn with_a_warning_alone_the_operator_is_named() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[("WORKER_SCHEMA_CHECK", "warn")]);
    let extension = fixture(&world);
    for rank in RANKS {
        let scene = scene(&world, rank).await;
        let attacker = scene.attacker().await;
        attacker.batch_execute(&operator()).await.unwrap();
        let answer = world.create(declare(&scene, &extension, "1")).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        let changes = answer["Data"]["Changes"].as_str().unwrap();
        assert!(
            changes.contains("the script of an extension sees operator shared.||"),
            "{answer}"
        );
        // What the check is for.
        assert!(scene.is_taken().await, "{rank:?}");
    }
}

#[tokio::test]
async fn a_schema_full_of_an_applications_own_functions_is_no_obstacle() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = fixture(&world);
    for rank in RANKS {
        let scene = scene(&world, rank).await;
        scene
            .attacker()
            .await
            .batch_execute(
                "CREATE FUNCTION shared.price(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
                 CREATE TYPE shared.mood AS ENUM ('good'); CREATE TABLE shared.path (id int); CREATE DOMAIN shared.cents AS int",
            )
            .await
            .unwrap();
        let answer = world.create(declare(&scene, &extension, "1")).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
    }
}
