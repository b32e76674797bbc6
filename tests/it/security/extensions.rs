//! Extensions that the operator does not allow are not created, and not dropped with what depends on them.

use serde_json::json;

use super::master::{RANKS, Scene, world_of};
use crate::support::{Fixture, ResultsSubscriber, Worker, World};

#[tokio::test]
async fn an_extension_that_is_not_allowed_is_not_created_not_even_by_cascade() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let _worker = Worker::start(&world, &[("WORKER_EXTENSIONS", "earth*,hstore")]);
        let refused = [
            (json!(["citext"]), "WORKER_EXTENSIONS"),
            (
                json!(["hstore", "earthdistance"]),
                "\"cube\", which it requires",
            ),
        ];
        for (extensions, named) in refused {
            let answer = world
                .create(json!({"DBSecret": world.secret, "Extensions": extensions}))
                .await;
            assert_eq!(answer["Status"], "FAILED");
            let reason = answer["Reason"].as_str().unwrap();
            assert!(reason.contains(named), "{reason}");
        }
        assert!(world.database.extensions().await.is_empty());
    }
}

#[tokio::test]
async fn a_re_sync_creates_no_extension_that_is_not_allowed() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let subscriber = ResultsSubscriber::new(&world).await;
        let settings = [
            ("WORKER_EXTENSIONS", "hstore"),
            ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        ];
        let _worker = Worker::start(&world, &settings);
        let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
        let baseline = json!({"Extensions": ["hstore", "dblink"]});
        let text = subscriber.run("Repair", targets, baseline).await;
        let result = text.result_of(&world.database.name);
        assert_eq!(result["State"], "Failed", "{result}");
        let reason = result["Reason"].as_str().unwrap();
        assert!(reason.contains("WORKER_EXTENSIONS"), "{reason}");
        assert!(world.database.extensions().await.keys().eq(["hstore"]));
    }
}

#[tokio::test]
async fn drop_cascade_is_refused_by_the_name_of_its_setting() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let mut worker = Worker::start(&world, &[("WORKER_ALLOW_DROP_CASCADE", "true")]);
        let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"], "DeletionBehavior": "DropCascade"});
        let created = world.create(properties.clone()).await;
        assert_eq!(created["Status"], "SUCCESS", "{created}");
        worker.signal("TERM");
        worker.exit().await;
        world
            .database
            .execute("CREATE TABLE shop (item hstore)")
            .await;

        let _worker = Worker::start(&world, &[]);
        let id = created["PhysicalResourceId"].as_str().unwrap();
        let delete = world.delete_request(properties.clone(), id).await;
        let create = world.create_request_of("New", properties).await;
        for request in [delete, create] {
            world.publish(&request).await;
            let answer = world.answer(&request).await;
            assert_eq!(answer["Status"], "FAILED");
            let reason = answer["Reason"].as_str().unwrap();
            assert!(reason.contains("WORKER_ALLOW_DROP_CASCADE"), "{reason}");
        }
        assert!(world.database.extensions().await.contains_key("hstore"));
    }
}

/// Before an extension is dropped, its configuration tables are read by the conditions that its script gave, whose columns the
/// owner of the tables may change.
#[tokio::test]
async fn a_cast_in_the_condition_of_a_configuration_table_does_not_run() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let extension = Fixture::install(
        &format!("{}_configured", world.name),
        "default_version = '1'\nrelocatable = false\nsuperuser = false\n",
        &[(
            "1",
            "CREATE TABLE @extschema@.settings (is_default boolean);
             SELECT pg_catalog.pg_extension_config_dump('@extschema@.settings', 'WHERE NOT is_default');",
        )],
    );
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let attacker = scene.with_payload().await;
        let create = format!("CREATE EXTENSION {} SCHEMA evil", extension.name);
        attacker.batch_execute(&create).await.unwrap();
        attacker
            .batch_execute(
                "CREATE TYPE evil.flag AS ENUM ('x');
                 CREATE FUNCTION evil.boolean_of(evil.flag) RETURNS boolean LANGUAGE plpgsql AS
                   $$ BEGIN PERFORM evil.payload(); RETURN true; END $$;
                 CREATE CAST (evil.flag AS boolean) WITH FUNCTION evil.boolean_of(evil.flag) AS IMPLICIT;
                 ALTER TABLE evil.settings ALTER is_default TYPE evil.flag USING NULL;
                 INSERT INTO evil.settings VALUES ('x')",
            )
            .await
            .unwrap();
        let absent = json!([{"Name": extension.name, "Ensure": "absent"}]);
        let answer = world.create(scene.declare(&absent)).await;
        assert!(!scene.is_taken().await, "{rank:?}: {answer}");
        assert_eq!(answer["Status"], "FAILED", "{rank:?}: {answer}");
        let reason = answer["Reason"].as_str().unwrap();
        assert!(
            reason.contains("table evil.settings cannot be looked at"),
            "{answer}"
        );

        attacker
            .batch_execute("TRUNCATE evil.settings; ALTER TABLE evil.settings ALTER is_default TYPE boolean USING NULL")
            .await
            .unwrap();
        let answer = world.create(scene.declare(&absent)).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
    }
}
