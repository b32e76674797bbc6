//! What a server offers is read once for all of its databases, and read again where that may be out of date.

use serde_json::{Value, json};

use crate::support::{Database, Fixture, Mode, PrivateServer, Worker, World};

fn declare(secret: &str, extension: &Value) -> Value {
    json!({"DBSecret": secret, "Extensions": [extension]})
}

fn two_versions(world: &World) -> Fixture {
    Fixture::install(
        &format!("{}_offered", world.name),
        "default_version = '1'\n",
        &[
            ("1", "SELECT 1;"),
            ("2", "SELECT 2;"),
            ("1--2", "SELECT 12;"),
        ],
    )
}

#[tokio::test]
async fn the_default_version_is_the_one_of_the_time_of_the_request() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let offered = two_versions(&world);
    for (other, declaration) in [
        (
            "default",
            json!({"Name": offered.name, "Version": "default"}),
        ),
        ("pattern", json!({"Name": offered.name, "Version": "*"})),
    ] {
        offered.set_control("default_version = '1'\n");
        let other = Database::create(&format!("{}_{other}", world.name)).await;
        let secret = world.secret_with(&json!({"dbname": other.name})).await;
        let only_first = declare(&secret, &json!({"Name": offered.name, "Version": "1"}));
        let created = world.create(only_first).await;
        assert_eq!(created["Status"], "SUCCESS", "{created}");
        offered.set_control("default_version = '2'\n");
        let updated = world.create(declare(&secret, &declaration)).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        assert_eq!(
            other.extensions().await[&offered.name],
            "2",
            "{declaration}"
        );
    }
}

#[tokio::test]
async fn an_extension_that_comes_to_a_running_server_is_found() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let name = format!("{}_late", world.name);
    let refused = world.create(declare(&world.secret, &json!(name))).await;
    assert_eq!(refused["Status"], "FAILED", "{refused}");
    let late = Fixture::install(&name, "default_version = '1'\n", &[("1", "SELECT 1;")]);
    let created = world
        .create(declare(&world.secret, &json!(late.name)))
        .await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
}

#[tokio::test]
async fn a_version_that_is_gone_since_the_offer_was_read_is_not_insisted_on() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let offered = two_versions(&world);
    let first = world
        .create(declare(&world.secret, &json!(offered.name)))
        .await;
    assert_eq!(first["Data"]["Extensions"], format!("{}=1", offered.name));
    // As another package of the extension does on a server that goes on.
    offered.set_control("default_version = '2'\n");
    offered.remove_script("1");
    let other = Database::create(&format!("{}_other", world.name)).await;
    let secret = world.secret_with(&json!({"dbname": other.name})).await;
    let second = world.create(declare(&secret, &json!(offered.name))).await;
    assert_eq!(
        second["Data"]["Extensions"],
        format!("{}=2", offered.name),
        "{second}"
    );
}

/// The versions that a server offers are not read for an ordinary Create: what PostgreSQL refuses is planned again with them.
#[tokio::test]
async fn what_a_script_requires_comes_with_it_although_the_versions_were_not_read() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let base = Fixture::install(
        &format!("{}_base", world.name),
        "default_version = '1'\n",
        &[("1", "SELECT 1;")],
    );
    let control = format!("default_version = '1'\nrequires = '{}'\n", base.name);
    let name = format!("{}_requiring", world.name);
    let requiring = Fixture::install(&name, &control, &[("1", "SELECT 1;")]);
    let answer = world
        .create(declare(&world.secret, &json!(requiring.name)))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let statement = format!(
        "CREATE EXTENSION \"{}\" SCHEMA \"public\" VERSION '1'",
        requiring.name
    );
    let ddl = world.database.ddl();
    assert_eq!(
        ddl,
        [statement.clone(), format!("{statement} CASCADE")],
        "the first was not refused"
    );
    let roles = "SELECT string_agg(name || ' ' || origin || ' ' || role, ', ' ORDER BY name)
                 FROM extension_worker.managed_extensions";
    assert_eq!(
        world.database.text(roles).await,
        format!(
            "{} created dependency, {} created declared",
            base.name, requiring.name
        )
    );
}

#[tokio::test]
async fn a_version_and_a_schema_that_cannot_be_had_are_named_as_if_the_versions_had_been_read() {
    let world = World::new().await;
    let offered = two_versions(&world);
    let fixed = Fixture::install(
        &format!("{}_fixed", world.name),
        "default_version = '1'\nschema = 'own'\n",
        &[("1", "SELECT 1;")],
    );
    let requiring = Fixture::install(
        &format!("{}_needs", world.name),
        "default_version = '1'\nrequires = 'cube'\n",
        &[("1", "SELECT 1;")],
    );
    for (declaration, expected) in [
        (
            json!({"Name": offered.name, "Version": "9"}),
            Err("Available: 1, 2. Ask for one of these"),
        ),
        (
            json!({"Name": fixed.name, "Schema": "public"}),
            Err("must be installed in schema own, not public"),
        ),
        (json!(fixed.name), Ok("own")),
        (
            json!({"Name": requiring.name, "Cascade": false}),
            Err("requires cube, not installed on"),
        ),
    ] {
        // A new one has read no versions.
        let mut worker = Worker::start(&world, &[]);
        let answer = world.create(declare(&world.secret, &declaration)).await;
        match expected {
            Ok(schema) => {
                assert_eq!(answer["Status"], "SUCCESS", "{answer}");
                let place = format!(
                    "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = '{}'",
                    fixed.name
                );
                assert_eq!(world.database.text(&place).await, schema);
            }
            Err(said) => {
                assert_eq!(answer["Status"], "FAILED", "{answer}");
                let reason = answer["Reason"].as_str().unwrap();
                assert!(reason.contains(said), "{reason}");
            }
        }
        worker.signal("TERM");
        worker.exit().await;
    }
}

/// Behind a name there may be another server after a failover, and another engine after an upgrade.
#[tokio::test]
async fn a_server_that_was_started_anew_is_asked_anew_what_it_offers() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let offered = two_versions(&world);
    let mut server = PrivateServer::start_with(&world, Mode::Primary, &[] as &[&str]).await;
    for database in ["first", "second", "third"] {
        server.execute(&format!("CREATE DATABASE {database}")).await;
    }
    let create = async |port: u16, database: &str| {
        let changes = json!({"port": port, "dbname": database});
        let secret = world.secret_with(&changes).await;
        let answer = world.create(declare(&secret, &json!(offered.name))).await;
        answer["Data"]["Extensions"].to_string()
    };
    let (first, second) = (
        format!("\"{}=1\"", offered.name),
        format!("\"{}=2\"", offered.name),
    );
    assert_eq!(create(server.port, "first").await, first);
    offered.set_control("default_version = '2'\n");
    // The newest was not asked for: what was read for the first database serves the second.
    assert_eq!(create(server.port, "second").await, first);
    server.restart(Mode::Primary).await;
    assert_eq!(create(server.port, "third").await, second);
}

/// What the worker knows of a server's settings is that server's until it is restarted.
#[tokio::test]
async fn a_library_that_a_restart_has_loaded_is_known_in_the_next_database() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let mut server = PrivateServer::start_with(&world, Mode::Primary, &[] as &[&str]).await;
    let library = "pg_stat_statements";
    let mut changes = Vec::new();
    for database in ["first", "second", "third"] {
        if database == "third" {
            let set = format!("ALTER SYSTEM SET shared_preload_libraries = '{library}'");
            server.execute(&set).await;
            server.restart(Mode::Primary).await;
        }
        server.execute(&format!("CREATE DATABASE {database}")).await;
        let secret = json!({"port": server.port, "dbname": database});
        let secret = world.secret_with(&secret).await;
        let answer = world.create(declare(&secret, &json!(library))).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        changes.push(answer["Data"]["Changes"].to_string());
    }
    let warns = changes
        .iter()
        .map(|changes| changes.contains("does nothing until it is in shared_preload_libraries"));
    assert_eq!(
        warns.collect::<Vec<_>>(),
        [true, true, false],
        "{changes:?}"
    );
}
