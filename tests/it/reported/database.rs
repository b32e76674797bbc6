//! Event triggers, publications and other things in a database that run with the worker's statements.

use serde_json::{Value, json};

use crate::support::{Fixture, Mode, PrivateServer, Worker, World, connect, eventually};

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    answer["Reason"].as_str().unwrap()
}

#[tokio::test]
async fn an_event_trigger_finds_what_it_finds_in_an_ordinary_session() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    world
        .database
        .execute(
            "CREATE TABLE ddl_log (tag text, at timestamptz DEFAULT now());
             CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO ddl_log SELECT command_tag FROM pg_event_trigger_ddl_commands(); END $$;
             CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION log_ddl()",
        )
        .await;
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    let answer = world.create(properties.clone()).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let logged = "SELECT count(*)::text FROM ddl_log WHERE tag = 'CREATE EXTENSION'";
    assert_eq!(world.database.text(logged).await, "1");
    let id = answer["PhysicalResourceId"].as_str().unwrap();
    let delete = world.delete_request(properties.clone(), id).await;
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");

    // One that fails is named, with its line.
    let gone = "ALTER EVENT TRIGGER log_ddl DISABLE; DROP TABLE ddl_log; ALTER EVENT TRIGGER log_ddl ENABLE";
    world.database.execute(gone).await;
    let answer = world.create(properties).await;
    assert!(
        reason(&answer).contains("PL/pgSQL function public.log_ddl() line 1")
            || reason(&answer).contains("PL/pgSQL function log_ddl() line 1"),
        "{answer}"
    );
}

#[tokio::test]
async fn no_timeout_that_a_database_sets_ends_the_worker() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let slow = Fixture::install(
        &format!("{}_slow", world.name),
        "default_version = '1'\n",
        &[("1", "DO $$ BEGIN PERFORM pg_sleep(2); END $$;")],
    );
    let timeouts = "SELECT string_agg(name, ',') FROM pg_settings
                    WHERE context = 'user' AND unit = 'ms' AND name LIKE '%timeout' AND name NOT LIKE 'tcp%'";
    for name in world.database.text(timeouts).await.split(',') {
        let set = format!(
            "ALTER DATABASE \"{}\" SET {name} = '1s'",
            world.database.name
        );
        world.database.execute(&set).await;
    }
    let answer = world
        .create(json!({"DBSecret": world.secret, "Extensions": [slow.name]}))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}

#[tokio::test]
async fn default_privileges_give_no_role_a_right_on_the_ledger() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let role = format!("{}_app", world.name);
    world
        .database
        .execute(&format!(
            "CREATE ROLE {role};
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, {role};
             ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC, {role}"
        ))
        .await;
    for extensions in [json!(["hstore"]), json!(["hstore", "cube"])] {
        let answer = world
            .create(json!({"DBSecret": world.secret, "Extensions": extensions}))
            .await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    }
    world
        .database
        .execute(&format!(
            "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM {role};
             ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM {role}; DROP ROLE {role}"
        ))
        .await;
}

/// An extension whose configuration table its users fill, as pg_cron's and pg_partman's are.
#[tokio::test]
async fn an_extension_whose_configuration_holds_rows_is_in_use() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let jobs = Fixture::install(
        &format!("{}_jobs", world.name),
        "default_version = '1'\n",
        &[(
            "1",
            "CREATE TABLE job (id int); INSERT INTO job VALUES (0);
             SELECT pg_extension_config_dump('job', 'WHERE id > 0');",
        )],
    );
    let name = &jobs.name;
    let mut properties = json!({"DBSecret": world.secret, "Extensions": [name]});
    let created = world.create(properties.clone()).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    let id = created["PhysicalResourceId"].as_str().unwrap();
    world.database.execute("INSERT INTO job VALUES (1)").await;

    properties["DeletionBehavior"] = json!("Drop");
    let delete = world.delete_request(properties.clone(), id).await;
    world.publish(&delete).await;
    let answer = world.answer(&delete).await;
    assert!(
        reason(&answer).contains("table public.job holds rows"),
        "{answer}"
    );

    properties["DeletionBehavior"] = json!("DropUnused");
    let delete = world.delete_request(properties.clone(), id).await;
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");
    worker
        .logged(&format!(
            "kept {name} (in use: table public.job holds rows)"
        ))
        .await;
    assert!(world.database.extensions().await.contains_key(name));

    // Its own rows are no use.
    world.database.execute("DELETE FROM job WHERE id = 1").await;
    let created = world.create(properties.clone()).await;
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let delete = world.delete_request(properties, id).await;
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");
    assert!(world.database.extensions().await.is_empty());
}

#[tokio::test]
async fn after_a_delete_no_session_keeps_the_database_from_being_dropped() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    let created = world.create(properties.clone()).await;
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let delete = world.delete_request(properties, id).await;
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");
    let drop = format!("DROP DATABASE \"{}\"", world.database.name);
    // PostgreSQL itself waits for some seconds for sessions that end.
    connect("postgres")
        .await
        .batch_execute(&drop)
        .await
        .unwrap();
}

/// Two servers, and real logical replication between them: it takes some seconds.
#[tokio::test]
async fn a_publication_of_all_tables_does_not_take_up_the_ledger_unasked() {
    let world = World::new().await;
    let publisher = PrivateServer::start_with(&world, Mode::Primary, &["wal_level=logical"]).await;
    let subscriber = PrivateServer::start(&world, Mode::Primary).await;
    for server in [&publisher, &subscriber] {
        server.execute("CREATE TABLE item (id int)").await;
    }
    publisher
        .execute("CREATE PUBLICATION everything FOR ALL TABLES")
        .await;
    subscriber
        .execute(&format!(
            "CREATE SUBSCRIPTION everything CONNECTION 'host=127.0.0.1 port={} user=postgres dbname=postgres' \
             PUBLICATION everything",
            publisher.port
        ))
        .await;
    let arrives = async |id: u32| {
        publisher
            .execute(&format!("INSERT INTO item VALUES ({id})"))
            .await;
        eventually("the row at the subscriber", async || {
            let count = format!("SELECT count(*)::text FROM item WHERE id = {id}");
            (subscriber.text(&count).await == "1").then_some(())
        })
        .await;
    };
    arrives(1).await;
    let changes = json!({"port": publisher.port, "dbname": "postgres", "username": "postgres"});
    let secret = world.secret_with(&changes).await;
    let properties = json!({"DBSecret": secret, "Extensions": ["hstore"]});
    {
        let mut worker = Worker::start(&world, &[]);
        let answer = world.create(properties.clone()).await;
        worker.signal("TERM");
        worker.exit().await;
        assert!(
            reason(&answer).contains("publication \"everything\" is FOR ALL TABLES"),
            "{answer}"
        );
        arrives(2).await;
    }
    let form = include_str!("../../../worker/src/ledger/3.sql");
    subscriber
        .execute(&format!("CREATE SCHEMA extension_worker; {form}"))
        .await;
    let _worker = Worker::start(&world, &[("WORKER_PUBLISH_LEDGER", "true")]);
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    arrives(3).await;
    subscriber
        .execute("ALTER SUBSCRIPTION everything DISABLE")
        .await;
}
