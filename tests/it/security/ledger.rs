//! The ledger in a database that its owner controls. The worker's privileges do not matter to who holds a lock, nor to the
//! names of databases that are refused before a connection.

use serde_json::{Value, json};

use super::master::{RANKS, Rank, Scene};
use crate::support::{Worker, World, connect, eventually};

/// The ledger's table and view as the worker makes them, but for who owns them.
const FORGED: &str = "CREATE SCHEMA extension_worker; GRANT ALL ON SCHEMA extension_worker TO PUBLIC;
    COMMENT ON SCHEMA extension_worker IS 'Ledger of extension-worker, version 3: forged';
    CREATE TABLE extension_worker.ledger (kind text, stack_id text, logical_resource_id text, name text,
      requested_at timestamptz, owns jsonb, data jsonb, PRIMARY KEY (kind, stack_id, logical_resource_id, name));
    GRANT ALL ON extension_worker.ledger TO PUBLIC;";

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    answer["Reason"].as_str().unwrap()
}

async fn a_forged_ledger_is_refused(set_role: bool, forged: &str, dry_run: bool) {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let attacker = scene.with_payload().await;
        attacker.batch_execute(forged).await.unwrap();
        if set_role {
            let (name, role) = (&scene.database.name, &scene.attacker);
            attacker
                .batch_execute(&format!("ALTER DATABASE \"{name}\" SET role = {role}"))
                .await
                .unwrap();
        }
        let mut properties = scene.declare(&json!(["hstore"]));
        properties["DryRun"] = json!(dry_run);
        let answer = world.create(properties).await;
        assert!(!scene.is_taken().await, "{rank:?}: {answer}");
        let expected = format!("the schema belongs to role \"{}\"", scene.attacker);
        assert!(reason(&answer).contains(&expected), "{rank:?}: {answer}");
        assert!(!reason(&answer).contains("give the schema"), "{answer}");
    }
}

#[tokio::test]
async fn a_trigger_of_the_owner_of_the_database_does_not_run_as_the_worker() {
    let trigger = "CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON extension_worker.ledger
                   FOR EACH ROW EXECUTE FUNCTION evil.fire()";
    a_forged_ledger_is_refused(true, &format!("{FORGED}{trigger}"), false).await;
}

#[tokio::test]
async fn a_view_of_the_owner_of_the_database_is_not_read_in_a_dry_run() {
    let view = "CREATE SCHEMA extension_worker; GRANT ALL ON SCHEMA extension_worker TO PUBLIC;
        CREATE VIEW extension_worker.ledger AS SELECT evil.payload() AS kind, ''::text AS stack_id, ''::text AS logical_resource_id,
          ''::text AS name, now() AS requested_at, '{}'::jsonb AS owns, '{}'::jsonb AS data;
        GRANT ALL ON extension_worker.ledger TO PUBLIC";
    a_forged_ledger_is_refused(true, view, true).await;
    a_forged_ledger_is_refused(false, view, true).await;
}

/// To bring it to the newest form means to read it: a view of the attacker's stands where a table was.
#[tokio::test]
async fn a_ledger_of_an_older_form_that_the_owner_forged_is_not_brought_to_the_newest() {
    let tables = include_str!("../../testdata/ledger_1.sql")
        .replace("DROP VIEW extension_worker.managed_extensions;", "");
    let tables = tables.split("INSERT INTO").next().unwrap();
    let older = format!(
        "{tables} DROP TABLE extension_worker.extension CASCADE;
         CREATE VIEW extension_worker.extension AS SELECT evil.payload() AS name, ''::text AS origin;
         GRANT ALL ON SCHEMA extension_worker TO PUBLIC;
         GRANT ALL ON ALL TABLES IN SCHEMA extension_worker TO PUBLIC"
    );
    a_forged_ledger_is_refused(true, &older, false).await;
}

/// Nor does it own what the worker makes.
#[tokio::test]
async fn a_role_that_the_owner_sets_for_the_database_is_not_the_workers() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let (name, attacker) = (&scene.database.name, &scene.attacker);
        let set = format!("ALTER DATABASE \"{name}\" SET role = {attacker}");
        scene.attacker().await.batch_execute(&set).await.unwrap();
        let answer = world.create(scene.declare(&json!(["hstore"]))).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
        let owners = "SELECT concat_ws(',', extowner::regrole, 'extension_worker.ledger'::regclass, relowner::regrole)
                      FROM pg_extension, pg_class WHERE extname = 'hstore' AND pg_class.oid = 'extension_worker.ledger'::regclass";
        let expected = format!("{role},extension_worker.ledger,{role}", role = scene.role);
        assert_eq!(scene.database.text(owners).await, expected, "{rank:?}");
    }
}

/// The attacker's schema appears after the look and before the worker makes its own: an event trigger has the worker wait
/// between the two.
#[tokio::test]
async fn a_schema_that_appears_since_the_look_is_not_taken_for_the_workers_own() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let attacker = scene.with_payload().await;
        // A session that gets a lock of a table sees what was committed meanwhile.
        let wait = "CREATE TABLE public.gate (); CREATE FUNCTION public.wait() RETURNS event_trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
              IF current_setting('application_name') = 'extension-worker' THEN LOCK TABLE public.gate; END IF;
            END $$;
            CREATE EVENT TRIGGER wait ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION public.wait()";
        scene.database.execute(wait).await;
        let trigger = "CREATE TRIGGER fire BEFORE INSERT ON extension_worker.ledger FOR EACH ROW EXECUTE FUNCTION evil.fire()";
        let gate = connect(&scene.database.name).await;
        gate.batch_execute("BEGIN; LOCK TABLE public.gate")
            .await
            .unwrap();
        let request = world
            .create_request(scene.declare(&json!(["hstore"])))
            .await;
        world.publish(&request).await;
        eventually("the wait for the attacker", async || {
            scene.database.is_waiting().await.then_some(())
        })
        .await;
        attacker
            .batch_execute(&format!("{FORGED}{trigger}"))
            .await
            .unwrap();
        gate.batch_execute("COMMIT").await.unwrap();
        let answer = world.answer(&request).await;
        assert!(!scene.is_taken().await, "{rank:?}: {answer}");
        assert!(
            reason(&answer).contains("the schema belongs to role"),
            "{rank:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_role_named_rds_superuser_has_no_rank_on_a_server_that_is_not_of_rds() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let scene = Scene::new(&world, Rank::RdsMaster).await;
    let grant = format!("GRANT rds_superuser TO {}", scene.attacker);
    scene.database.execute(&grant).await;
    scene.attacker().await.batch_execute(FORGED).await.unwrap();
    let answer = world.create(scene.declare(&json!(["hstore"]))).await;
    assert!(
        reason(&answer).contains("the schema belongs to role"),
        "{answer}"
    );
}

#[tokio::test]
async fn default_privileges_give_no_right_on_a_new_ledger() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let app = format!("app_{}", scene.attacker);
        // Default privileges are of a role in a database.
        scene
            .database
            .execute(&format!(
                "CREATE ROLE {app}; GRANT CREATE ON DATABASE \"{name}\" TO {role};
                 ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT ALL ON TABLES TO {app};
                 ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT ALL ON SCHEMAS TO {app}, PUBLIC",
                name = scene.database.name,
                role = scene.role,
            ))
            .await;
        for extensions in [json!(["hstore"]), json!(["hstore", "pg_trgm"])] {
            let answer = world.create(scene.declare(&extensions)).await;
            assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
        }
        let rights = format!(
            "SELECT concat_ws(',', has_table_privilege('{app}', 'extension_worker.ledger', 'TRIGGER, SELECT, INSERT'),
                              has_schema_privilege('{app}', 'extension_worker', 'CREATE'))"
        );
        assert_eq!(scene.database.text(&rights).await, "f,f", "{rank:?}");
    }
}

#[tokio::test]
async fn an_advisory_lock_that_any_role_may_take_holds_no_request_up() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let attacker = scene.attacker().await;
        // The key by which workers of before version 3 of the ledger waited for each other.
        attacker
            .batch_execute(
                "SELECT pg_advisory_lock(x'65787477'::bigint << 32 | x'6f726b72'::bigint)",
            )
            .await
            .unwrap();
        let mut properties = scene.declare(&json!(["hstore"]));
        properties["ServiceTimeout"] = json!(8);
        let answer = world.create(properties).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
    }
}

/// Takes as long as a worker waits for a lock.
#[tokio::test]
async fn who_holds_the_ledgers_lock_is_named() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let mut properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    world.create(properties.clone()).await;
    let holder = world.database.lock().await;
    let row = holder
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    let expected = format!(
        "is locked by process {} of user \"postgres\"",
        row.get::<_, i32>(0)
    );
    properties["ServiceTimeout"] = json!(10);
    let answer = world.create(properties).await;
    assert!(reason(&answer).contains(&expected), "{answer}");
}

#[tokio::test]
async fn a_template_is_no_database_to_manage() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for name in ["template1", "template0", "rdsadmin"] {
        let answer = world
            .create(json!({"DBSecret": world.secret, "DBName": name, "Extensions": ["hstore"]}))
            .await;
        let expected = format!("database {name} is not managed");
        assert!(reason(&answer).contains(&expected), "{answer}");
    }
    let there = "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'extension_worker'";
    let row = connect("template1")
        .await
        .query_one(there, &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "0");
}

/// CREATE EXTENSION looks at no right on the schema, and the script of a trusted extension runs as a superuser.
#[tokio::test]
async fn a_trusted_extension_that_the_owner_puts_into_the_ledgers_schema_is_no_obstacle() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let grant = format!(
            "GRANT CREATE ON DATABASE \"{}\" TO {}",
            scene.database.name, scene.role
        );
        scene.database.execute(&grant).await;
        let answer = world.create(scene.declare(&json!(["hstore"]))).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
        let put = "CREATE EXTENSION tablefunc SCHEMA extension_worker";
        scene.attacker().await.batch_execute(put).await.unwrap();
        let both = scene.declare(&json!(["hstore", "pg_trgm"]));
        let answer = world.create(both).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
    }
}
