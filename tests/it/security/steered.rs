//! A ledger that the worker created, and on which another role was granted something afterwards.

use serde_json::{Value, json};

use super::master::{RANKS, Scene};
use crate::support::{Worker, World};

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    answer["Reason"].as_str().unwrap()
}

/// What was made the attacker's own, or was left for the worker to run, in a schema that is the worker's.
#[tokio::test]
async fn a_ledger_that_another_role_can_steer_is_not_used() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in RANKS {
        is_not_used_once_it_can_be_steered(&world, &Scene::new(&world, rank).await).await;
    }
}

async fn is_not_used_once_it_can_be_steered(world: &World, scene: &Scene) {
    drop(scene.with_payload().await);
    let created = world.create(scene.declare(&json!(["hstore"]))).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    let (attacker, role) = (&scene.attacker, &scene.role);
    let ledger = "extension_worker.ledger";
    for (steer, undo, expected) in [
        (
            format!("ALTER TABLE {ledger} OWNER TO {attacker}"),
            format!("ALTER TABLE {ledger} OWNER TO {role}"),
            "belongs to role",
        ),
        (
            format!(
                "CREATE TRIGGER fire BEFORE INSERT ON {ledger} FOR EACH ROW EXECUTE FUNCTION evil.fire()"
            ),
            format!("DROP TRIGGER fire ON {ledger}"),
            "has a trigger",
        ),
        (
            format!("CREATE RULE fire AS ON INSERT TO {ledger} DO ALSO SELECT evil.payload()"),
            format!("DROP RULE fire ON {ledger}"),
            "has a rule",
        ),
        (
            format!("CREATE POLICY fire ON {ledger} USING (evil.payload() = '')"),
            format!("DROP POLICY fire ON {ledger}"),
            "has a row security policy",
        ),
        (
            format!("CREATE TABLE evil.child () INHERITS ({ledger})"),
            "DROP TABLE evil.child".to_owned(),
            "has a parent or a child",
        ),
        (
            format!("ALTER TABLE {ledger} ALTER COLUMN owns SET DEFAULT evil.payload()::jsonb"),
            format!("ALTER TABLE {ledger} ALTER COLUMN owns DROP DEFAULT"),
            "uses a function",
        ),
        (
            format!(
                "ALTER TABLE {ledger} ADD CONSTRAINT fire CHECK (evil.payload() = '') NOT VALID"
            ),
            format!("ALTER TABLE {ledger} DROP CONSTRAINT fire"),
            "uses a function",
        ),
        (
            format!("ALTER TABLE {ledger} ADD COLUMN more text"),
            format!("ALTER TABLE {ledger} DROP COLUMN more"),
            "has other columns",
        ),
        (
            format!("GRANT TRIGGER ON {ledger} TO {attacker}"),
            format!("REVOKE ALL ON {ledger} FROM {attacker}"),
            "grants TRIGGER to role",
        ),
        (
            format!("GRANT UPDATE (data) ON {ledger} TO {attacker}"),
            format!("REVOKE UPDATE (data) ON {ledger} FROM {attacker}"),
            "grants rights on a column",
        ),
        (
            format!("GRANT CREATE ON SCHEMA extension_worker TO {attacker}"),
            format!("REVOKE CREATE ON SCHEMA extension_worker FROM {attacker}"),
            "may create objects in the schema",
        ),
        (
            "CREATE TABLE extension_worker.more ()".to_owned(),
            "DROP TABLE extension_worker.more".to_owned(),
            "is no part of the ledger",
        ),
        (
            format!("ALTER TABLE {ledger} SET UNLOGGED"),
            format!("ALTER TABLE {ledger} SET LOGGED"),
            "does not outlive a crash",
        ),
    ] {
        scene.database.execute(&steer).await;
        let answer = world.create(scene.declare(&json!(["pg_trgm"]))).await;
        assert!(!scene.is_taken().await, "{steer}: {answer}");
        assert!(reason(&answer).contains(expected), "{steer}: {answer}");
        if expected == "has other columns" {
            // A column that was dropped leaves its place: only another ledger has the right ones again.
            let again = "DROP SCHEMA extension_worker CASCADE; DROP EXTENSION hstore";
            scene.database.execute(&format!("{undo}; {again}")).await;
            let created = world.create(scene.declare(&json!(["hstore"]))).await;
            assert_eq!(created["Status"], "SUCCESS", "{created}");
        } else {
            scene.database.execute(&undo).await;
        }
    }
    let answer = world.create(scene.declare(&json!(["pg_trgm"]))).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}
