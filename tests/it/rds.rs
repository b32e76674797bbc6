//! What RDS has beside contrib: PostGIS, pg_cron, and a master user that is no superuser but may create the extensions of
//! a list.

use serde_json::json;

use crate::support::{Database, Worker, World};

#[tokio::test]
async fn the_postgis_family_comes_in_order_and_goes_in_order() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let family = [
        "postgis_tiger_geocoder",
        "postgis_topology",
        "postgis_raster",
        "postgis_sfcgal",
        "PostGIS",
    ];
    let stack = world.stack("app");
    let properties = json!({"DBSecret": world.secret, "Extensions": family});
    let created = stack.create(&properties, &["PostGIS"]).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert!(created.outputs["PostGIS"].starts_with("3."));
    let installed = world.database.extensions().await;
    let expected = [
        "fuzzystrmatch",
        "postgis",
        "postgis_raster",
        "postgis_sfcgal",
        "postgis_tiger_geocoder",
        "postgis_topology",
    ];
    assert!(installed.keys().eq(expected), "{installed:?}");
    // PostgreSQL refuses the first without what it requires; then that is known.
    let ddl = world.database.ddl();
    assert!(ddl[0].contains("\"postgis_tiger_geocoder\""), "{ddl:?}");
    assert!(
        ddl[1].contains("CREATE EXTENSION \"postgis\" SCHEMA"),
        "{ddl:?}"
    );
    // Its scripts add to the database's search_path what they find there.
    let path = world
        .database
        .text("SELECT current_setting('search_path')")
        .await;
    assert_eq!(path, "\"$user\", public, topology");
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn what_an_extension_with_a_schema_of_its_own_brings_along_goes_to_public() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["postgis_tiger_geocoder"]}))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let places =
        "SELECT string_agg(extname || ' in ' || extnamespace::regnamespace, ', ' ORDER BY extname)
                  FROM pg_extension WHERE extname <> 'plpgsql'";
    assert_eq!(
        world.database.text(places).await,
        "fuzzystrmatch in public, postgis in public, postgis_tiger_geocoder in tiger"
    );
}

#[tokio::test]
async fn pg_cron_in_the_wrong_database_is_refused_before_any_ddl() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore", "pg_cron"]}))
        .await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("\"pg_cron\" can only be in database postgres (cron.database_name)"),
        "{reason}"
    );
    assert!(world.database.ddl().is_empty());
}

#[tokio::test]
async fn a_master_user_creates_what_its_list_allows() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let role = format!("{}_master", world.name);
    let (database, password) = Database::create_owned(&format!("{}_rds", world.name), &role).await;
    let settings = format!(
        "ALTER ROLE {role} SET session_preload_libraries = 'pgextwlist';
         ALTER DATABASE {name} SET extwlist.extensions = 'pageinspect,pgstattuple';
         ALTER DATABASE {name} SET rds.extensions = 'pageinspect,pgstattuple,pgcrypto'",
        name = database.name
    );
    world.database.execute(&settings).await;
    let secret = world
        .secret_with(&json!({"username": role, "password": password, "dbname": database.name}))
        .await;
    let stack = world.stack("app");
    let properties = |name: &str| json!({"DBSecret": secret, "Extensions": [name]});
    let created = stack.create(&properties("pageinspect"), &["Changes"]).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    let refused = world.create(properties("pg_visibility")).await;
    assert!(
        refused["Reason"].as_str().unwrap().contains("[42501]"),
        "{refused}"
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(database.extensions().await.is_empty());
}
