//! Changes to a ledger or a session between two requests that the same session carries out.

use serde_json::json;

use super::master::{RANKS, Rank, Scene};
use crate::support::{Worker, World};

/// The number of the worker's process in PostgreSQL.
const BACKEND: &str = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = 'extension-worker'";

/// The second request looks at all of the ledger, the third compares its mark.
async fn warm(world: &World, scene: &Scene) -> String {
    for _ in 0..3 {
        let answer = world.create(scene.declare(&json!(["hstore"]))).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    }
    scene.database.text(BACKEND).await
}

#[tokio::test]
async fn what_is_granted_on_the_ledger_between_two_requests_is_seen_by_the_second() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let attacker = scene.with_payload().await;
        let (role, ledger) = (&scene.attacker, "extension_worker.ledger");
        if rank == Rank::RdsMaster {
            let grant = format!(
                "GRANT CREATE ON DATABASE \"{}\" TO {}",
                scene.database.name, scene.role
            );
            scene.database.execute(&grant).await;
        }
        for (grant, deed, undo, expected) in [
            (
                format!(
                    "GRANT TRIGGER ON {ledger} TO {role}; GRANT USAGE ON SCHEMA extension_worker TO {role}"
                ),
                "CREATE TRIGGER fire BEFORE INSERT OR UPDATE ON extension_worker.ledger
                 FOR EACH ROW EXECUTE FUNCTION evil.fire()",
                format!("DROP TRIGGER fire ON {ledger}; REVOKE TRIGGER ON {ledger} FROM {role}"),
                "has a trigger",
            ),
            (
                format!("GRANT UPDATE (data) ON {ledger} TO {role}"),
                "UPDATE extension_worker.ledger SET data = '{}' WHERE false",
                format!("REVOKE UPDATE (data) ON {ledger} FROM {role}"),
                "grants rights on a column",
            ),
            (
                format!("GRANT CREATE ON SCHEMA extension_worker TO {role}"),
                "CREATE TABLE extension_worker.more ()",
                format!(
                    "REVOKE CREATE ON SCHEMA extension_worker FROM {role}; DROP TABLE extension_worker.more"
                ),
                "may create objects in the schema",
            ),
            (
                format!("ALTER TABLE {ledger} OWNER TO {role}"),
                "CREATE RULE fire AS ON UPDATE TO extension_worker.ledger DO ALSO SELECT evil.payload()",
                format!(
                    "ALTER TABLE {ledger} OWNER TO {}; DROP RULE fire ON {ledger}",
                    scene.role
                ),
                "belongs to role",
            ),
        ] {
            let before = warm(&world, &scene).await;
            scene.database.execute(&grant).await;
            attacker.batch_execute(deed).await.unwrap();
            assert_eq!(
                scene.database.text(BACKEND).await,
                before,
                "the same session"
            );
            let answer = world.create(scene.declare(&json!(["hstore"]))).await;
            let reason = answer["Reason"].as_str().unwrap_or_default();
            assert!(reason.contains(expected), "{rank:?}: {grant}: {answer}");
            assert!(!scene.is_taken().await, "{rank:?}: {grant}");
            scene.database.execute(&undo).await;
        }
    }
}

/// An event trigger runs as the worker's role inside its DDL, and ends with it.
#[tokio::test]
async fn a_statement_that_was_prepared_inside_ddl_is_not_executed_afterwards() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let scene = Scene::new(&world, Rank::Superuser).await;
    drop(scene.with_payload().await);
    let statements: String = [
        "begin (text, text)",
        "look (text)",
        "unchanged (text)",
        "read (text, text, text)",
    ]
    .map(|name| format!("EXECUTE 'PREPARE extension_worker_{name} AS SELECT evil.payload()';"))
    .concat();
    scene
        .database
        .execute(&format!(
            "CREATE FUNCTION public.prepare() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN DEALLOCATE ALL; {statements} END $$;
             CREATE EVENT TRIGGER prepare ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
               EXECUTE FUNCTION public.prepare()"
        ))
        .await;
    for extensions in [
        json!(["hstore"]),
        json!(["hstore"]),
        json!(["hstore", "pg_trgm"]),
        json!(["hstore"]),
    ] {
        let answer = world.create(scene.declare(&extensions)).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    }
    assert!(!scene.is_taken().await);
}
