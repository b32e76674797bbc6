//! The templates that a platform team deploys, as they are: the worker runs by the outputs of its own stack, and databases
//! come from theirs.

use crate::support::{DATABASE, Database, Network, Platform, Rds, World};

const AURORA: &str = include_str!("../../templates/aurora.yaml");
const EXISTING: &str = include_str!("../../templates/existing-database.yaml");

#[tokio::test]
async fn an_instance_is_made_changed_kept_as_a_snapshot_and_restored_with_its_extensions() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let database = platform.database("app");
    let made = [("Extensions", "pgcrypto,hstore")];
    let stack = world.template_stack("db");
    let created = stack
        .create(DATABASE, &platform.parameters(&network, &database, &made))
        .await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(names(&database).await, ["hstore", "pgcrypto"]);
    let instance = &created.outputs["DBInstanceIdentifier"];
    assert_eq!(Rds(&world).class(instance).await, "db.t4g.medium");
    database
        .execute("CREATE TABLE kept AS SELECT 'a=>1'::hstore")
        .await;

    let more = [
        ("Extensions", "pgcrypto,hstore,citext"),
        ("InstanceClass", "db.t4g.large"),
    ];
    let updated = stack
        .update(DATABASE, &platform.parameters(&network, &database, &more))
        .await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert!(updated.outputs["Changes"].starts_with("created citext"));
    assert_eq!(names(&database).await, ["citext", "hstore", "pgcrypto"]);
    assert_eq!(Rds(&world).class(instance).await, "db.t4g.large");

    let wrong = [("Extensions", "pgcrypto,hstore,citext,no_such")];
    let failed = stack
        .update(DATABASE, &platform.parameters(&network, &database, &wrong))
        .await;
    assert!(!failed.status.ends_with("UPDATE_COMPLETE"), "{failed:?}");
    assert!(
        failed
            .reason
            .contains("Extension \"no_such\" is not available on"),
        "{failed:?}"
    );
    assert_eq!(names(&database).await, ["citext", "hstore", "pgcrypto"]);

    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(!database.exists().await);

    let snapshot = Rds(&world).snapshot_of(instance).await;
    let from_snapshot = [
        ("DBSnapshotIdentifier", snapshot.as_str()),
        ("Extensions", "pgcrypto,hstore"),
    ];
    let stack = world.template_stack("restored");
    let restored = stack
        .create(
            DATABASE,
            &platform.parameters(&network, &database, &from_snapshot),
        )
        .await;
    assert_eq!(restored.status, "CREATE_COMPLETE", "{restored:?}");
    assert_eq!(restored.outputs["Changes"], "none");
    assert_eq!(names(&database).await, ["citext", "hstore", "pgcrypto"]);
    assert_eq!(
        database.text("SELECT hstore::text FROM kept").await,
        "\"a\"=>\"1\""
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert_eq!(platform.stack.delete().await, "DELETE_COMPLETE");
}

#[tokio::test]
async fn a_cluster_is_made_and_restored_with_its_extensions() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let database = platform.database("aurora");
    let version = ("EngineVersion", "16.6");
    let made = [("Extensions", "pgcrypto"), version, ("HasReader", "true")];
    let stack = world.template_stack("aurora");
    let created = stack
        .create(AURORA, &platform.parameters(&network, &database, &made))
        .await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(names(&database).await, ["pgcrypto"]);
    let cluster = created.outputs["DBClusterIdentifier"].clone();
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(!database.exists().await);

    let snapshot = Rds(&world).snapshot_of_cluster(&cluster).await;
    let from_snapshot = [("SnapshotIdentifier", snapshot.as_str()), made[0], version];
    let stack = world.template_stack("restored");
    let restored = stack
        .create(
            AURORA,
            &platform.parameters(&network, &database, &from_snapshot),
        )
        .await;
    assert_eq!(restored.status, "CREATE_COMPLETE", "{restored:?}");
    assert_eq!(names(&database).await, ["pgcrypto"]);
}

#[tokio::test]
async fn a_database_whose_extensions_cannot_be_had_is_not_left_behind() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let database = platform.database("app");
    let stack = world.template_stack("db");
    let wrong = [("Extensions", "no_such")];
    let created = stack
        .create(DATABASE, &platform.parameters(&network, &database, &wrong))
        .await;
    assert!(!created.status.ends_with("CREATE_COMPLETE"), "{created:?}");
    assert!(created.reason.contains("no_such"), "{created:?}");
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(!database.exists().await);
}

#[tokio::test]
async fn a_database_that_is_there_gets_its_extensions() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let stack = world.template_stack("existing");
    let parameters = [
        ("ServiceToken", platform.outputs["TopicArn"].as_str()),
        ("DBSecret", &world.secret),
    ];
    let created = stack.create(EXISTING, &parameters).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(names(&world.database).await, ["pg_trgm", "pgcrypto"]);
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

async fn names(database: &Database) -> Vec<String> {
    database.extensions().await.into_keys().collect()
}
