//! Schemas that an extension's script will see.

use serde_json::json;

use super::master::{Rank, Scene};
use crate::support::{Fixture, Worker, World};

/// An operator of the attacker's with a better fitting signature than PostgreSQL's own.
const OPERATOR: &str = "CREATE FUNCTION shared.steal(varchar, varchar) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO public.proof VALUES (session_user, current_user); RETURN $1::text; END $$;
    CREATE OPERATOR shared.|| (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = shared.steal)";

/// An extension whose script uses PostgreSQL's operator in a way that another can stand in for.
fn fixture(world: &World) -> Fixture {
    Fixture::install(
        &format!("{}_script", world.name),
        "default_version = '1'\nrelocatable = false\nsuperuser = true\n",
        &[
            (
                "1",
                "CREATE TABLE @extschema@.made AS SELECT 'a'::varchar || 'b' AS text;",
            ),
            (
                "1--2",
                "CREATE TABLE @extschema@.more AS SELECT 'a'::varchar || 'b' AS text;",
            ),
        ],
    )
}

async fn scene(world: &World) -> Scene {
    let scene = Scene::new(world, Rank::Superuser).await;
    let attacker = scene.attacker().await;
    attacker
        .batch_execute("CREATE SCHEMA shared")
        .await
        .unwrap();
    scene
}

#[tokio::test]
async fn an_operator_of_the_owners_is_not_used_by_a_script_that_is_created_or_updated() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = fixture(&world);
    let name = &extension.name;
    let scene = scene(&world).await;
    let first = scene.declare(&json!([{"Name": name, "Version": "1", "Schema": "shared"}]));
    let answer = world.create(first.clone()).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let changes = answer["Data"]["Changes"].as_str().unwrap();
    let warning = format!(
        "warning: in schema \"shared\" (role \"{}\")",
        scene.attacker
    );
    assert!(changes.contains(&warning), "{answer}");

    scene
        .attacker()
        .await
        .batch_execute(OPERATOR)
        .await
        .unwrap();
    let second = scene.declare(&json!([{"Name": name, "Version": "2", "Schema": "shared"}]));
    let dropped = format!("DROP EXTENSION {name}");
    for (properties, before) in [(&second, None), (&first, Some(&dropped))] {
        if let Some(before) = before {
            scene.database.execute(before).await;
        }
        let answer = world.create(properties.clone()).await;
        assert_eq!(answer["Status"], "FAILED", "{answer}");
        let expected = "operator shared.||(character varying, character varying) of role";
        assert!(
            answer["Reason"].as_str().unwrap().contains(expected),
            "{answer}"
        );
        assert!(!scene.is_taken().await);
    }
}

#[tokio::test]
async fn with_a_warning_alone_the_operator_is_named() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[("WORKER_SCHEMA_CHECK", "warn")]);
    let extension = fixture(&world);
    let scene = scene(&world).await;
    scene
        .attacker()
        .await
        .batch_execute(OPERATOR)
        .await
        .unwrap();
    let properties =
        scene.declare(&json!([{"Name": extension.name, "Version": "1", "Schema": "shared"}]));
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let changes = answer["Data"]["Changes"].as_str().unwrap();
    assert!(
        changes.contains("the script of an extension sees operator shared.||"),
        "{answer}"
    );
    // What the check is for.
    assert!(scene.is_taken().await);
}

#[tokio::test]
async fn a_schema_full_of_an_applications_own_functions_is_no_obstacle() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = fixture(&world);
    let scene = scene(&world).await;
    scene
        .attacker()
        .await
        .batch_execute(
            "CREATE FUNCTION shared.price(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE TYPE shared.mood AS ENUM ('good'); CREATE TABLE shared.path (id int); CREATE DOMAIN shared.cents AS int",
        )
        .await
        .unwrap();
    let properties =
        scene.declare(&json!([{"Name": extension.name, "Version": "1", "Schema": "shared"}]));
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}
