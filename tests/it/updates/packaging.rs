//! PostGIS, whose raster was a part of it up to 2.5: the objects are there, and the extension is not.

use serde_json::json;

use crate::support::{ResultsSubscriber, Worker, World};

/// What an update of PostGIS from 2.5 leaves: raster's functions and types, in use, and no extension that they belong to.
async fn leave_unpackaged(world: &World) {
    let unpackage = "CREATE EXTENSION postgis; CREATE EXTENSION postgis_raster;
        CREATE TABLE pictures (id int, picture raster);
        INSERT INTO pictures VALUES (1, ST_MakeEmptyRaster(1, 1, 0, 0, 1));
        DO $$ DECLARE member record; BEGIN
            FOR member IN SELECT i.type, i.identity FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
                WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'postgis_raster'
            LOOP
                EXECUTE format('ALTER EXTENSION postgis_raster DROP %s %s', member.type, member.identity);
            END LOOP;
        END $$;
        DROP EXTENSION postgis_raster;";
    world.database.execute(unpackage).await;
}

async fn raster_members(world: &World) -> String {
    let members = "SELECT count(*)::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'postgis_raster'";
    world.database.text(members).await
}

#[tokio::test]
async fn raster_without_its_extension_is_packaged_and_stays_with_its_data() {
    let world = World::new().await;
    leave_unpackaged(&world).await;
    let _worker = Worker::start(&world, &[]);
    let version = world.database.default_version("postgis_raster").await;
    let declared = json!({"DBSecret": world.secret, "Extensions": ["postgis", "postgis_raster"]});
    let mut dry = declared.clone();
    dry["DryRun"] = json!("true");
    let planned = world.create(dry).await;
    let changes = planned["Data"]["Changes"].as_str().unwrap();
    assert!(
        changes.contains("VERSION 'unpackaged'; ALTER EXTENSION"),
        "{planned}"
    );

    let request = world.create_request(declared).await;
    world.publish(&request).await;
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["Data"]["postgis_raster"], version);
    let changes = answer["Data"]["Changes"].as_str().unwrap();
    assert!(
        changes.starts_with(&format!("packaged postgis_raster as {version}")),
        "{changes}"
    );
    assert!(raster_members(&world).await.parse::<u32>().unwrap() > 300);
    let used = "SELECT ST_Width(picture)::text FROM pictures";
    assert_eq!(world.database.text(used).await, "1");
    // It is not the worker's own: its objects were there.
    let origin = "SELECT data ->> 'origin' FROM extension_worker.ledger WHERE kind = 'extension' AND name = 'postgis_raster'";
    assert_eq!(world.database.text(origin).await, "adopted");
}

#[tokio::test]
async fn a_repair_packages_raster_too() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let topic = [("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str())];
    leave_unpackaged(&world).await;
    let _worker = Worker::start(&world, &topic);
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    let baseline = json!({"Extensions": ["postgis_raster"], "Baseline": "fleet"});
    let repaired = subscriber.run("Repair", targets, baseline).await;
    let repaired = repaired.result_of(&world.database.name);
    assert_eq!(repaired["State"], "Repaired", "{repaired}");
    assert!(raster_members(&world).await.parse::<u32>().unwrap() > 300);
}

/// A role that owns one of the objects could change it once the extension's users trust it.
#[tokio::test]
async fn nothing_of_a_role_of_lower_rank_becomes_a_part_of_an_extension() {
    let world = World::new().await;
    leave_unpackaged(&world).await;
    let role = format!("{}_low", world.name);
    // Of functions PostGIS's own script says so, and makes its views anew.
    let own = format!("CREATE ROLE {role}; ALTER TYPE addbandarg OWNER TO {role}");
    world.database.execute(&own).await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["postgis_raster"]}))
        .await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains("type public.addbandarg"), "{reason}");
    assert!(reason.contains(&role), "{reason}");
    let installed = world.database.extensions().await;
    assert!(!installed.contains_key("postgis_raster"), "{installed:?}");
}
