//! A pooler in front of the server, as RDS Proxy is one: the worker works through it, and leaves nothing behind in the
//! connections that other clients get next.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{HostileServer, Pooler, Pooling, Worker, World, connect};

/// All that one client of a server connection can leave to the next. What the pooler itself sets for each client is left
/// out, and so are settings of libraries, which appear when a library is loaded.
const STATE: &str = "SELECT pg_backend_pid()::text, json_build_object(
    'settings', (SELECT json_object_agg(name, setting ORDER BY name) FROM pg_settings
                 WHERE name NOT IN ('application_name', 'in_hot_standby') AND name NOT LIKE '%.%'),
    'role', current_user, 'prepared', (SELECT json_agg(name) FROM pg_prepared_statements),
    'locks', (SELECT json_agg(l.mode) FROM pg_locks l
              WHERE l.pid = pg_backend_pid() AND l.locktype <> 'virtualxid' AND l.relation IS DISTINCT FROM 'pg_locks'::regclass
                AND l.relation NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace)),
    'temporary', (SELECT json_agg(relname) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    'channels', (SELECT json_agg(c) FROM pg_listening_channels() c),
    'cursors', (SELECT json_agg(name) FROM pg_cursors WHERE is_holdable))::text";

/// The state of every server connection that a client of the pooler's meets, by its process.
async fn states(pooler: &Pooler, database: &str, count: usize) -> BTreeMap<String, Value> {
    let mut states = BTreeMap::new();
    let client = pooler.connect(database).await;
    crate::support::eventually("a look at every server connection", async || {
        let rows = client.simple_query(STATE).await.unwrap();
        for row in rows {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = row {
                let state = serde_json::from_str(row.get(1).unwrap()).unwrap();
                states.insert(row.get(0).unwrap().to_owned(), state);
            }
        }
        (states.len() == count).then_some(())
    })
    .await;
    states
}

async fn create_update_and_delete(pooling: Pooling, size: usize) {
    let world = World::new().await;
    let pooler = Pooler::start(&world, pooling, size).await;
    let database = world.database.name.clone();
    let before = states(&pooler, &database, size).await;
    let _worker = Worker::start(&world, &[]);
    let secret = pooler.secret(&world, json!({})).await;
    let mut properties =
        json!({"DBSecret": secret, "Extensions": [{"Name": "pg_trgm", "Version": "1.5"}]});
    let created = world.create(properties.clone()).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(created["Data"]["pg_trgm"], "1.5", "{created}");
    let id = created["PhysicalResourceId"].as_str().unwrap();

    let old = properties.clone();
    properties["Extensions"] = json!([{"Name": "pg_trgm", "Version": "1.6"}, "hstore"]);
    let mut update = world.create_request(properties.clone()).await;
    update.message["RequestType"] = json!("Update");
    update.message["PhysicalResourceId"] = json!(id);
    update.message["OldResourceProperties"] = old;
    world.publish(&update).await;
    let updated = world.answer(&update).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_eq!(updated["Data"]["pg_trgm"], "1.6", "{updated}");

    let again = world.create(properties.clone()).await;
    assert_eq!(again["Status"], "SUCCESS", "{again}");
    assert_eq!(again["Data"]["Changes"], "none", "{again}");

    let delete = world.delete_request(properties, id).await;
    world.publish(&delete).await;
    let deleted = world.answer(&delete).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(world.database.extensions().await.is_empty());

    let after = states(&pooler, &database, size).await;
    // It is the same connections that served the worker.
    assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_pooler_of_sessions_is_worked_through_and_its_connections_stay_as_they_were() {
    create_update_and_delete(Pooling::Session, 1).await;
}

/// Three connections in turn: what a transaction leaves in one is not there for the next.
#[tokio::test]
async fn a_pooler_of_transactions_is_worked_through_and_its_connections_stay_as_they_were() {
    create_update_and_delete(Pooling::Transaction, 3).await;
}

fn reason(answer: &Value) -> &str {
    answer["Reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_startup_parameter_that_a_pooler_refuses_ends_the_request_at_once_by_name() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    // No pooler of today refuses what the worker sends.
    let pooler = HostileServer::start("startup");
    let secret = world.secret_with(&json!({"port": pooler.port})).await;
    let answer = world
        .create(json!({"DBSecret": secret, "Extensions": ["hstore"]}))
        .await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    assert!(
        reason(&answer).ends_with("unsupported startup parameter: application_name [08P01]"),
        "{answer}"
    );
    // The second was to keep the answer.
    assert_eq!(pooler.connections(), 2);
}

/// PgBouncer has 08P01 for all that it, and the server behind it, refuse at a log-in.
#[tokio::test]
async fn what_a_pooler_refuses_is_told_apart_as_what_the_server_refuses() {
    let world = World::new().await;
    let pooler = Pooler::start_with(
        &world,
        Pooling::Transaction,
        1,
        "max_client_conn = 1\nquery_wait_timeout = 5",
    )
    .await;
    let worker = Worker::start(&world, &[]);
    let properties = async |fields: Value| {
        let secret = pooler.secret(&world, fields).await;
        json!({"DBSecret": secret, "Extensions": ["hstore"]})
    };
    // A password that is wrong may be one that is being rotated.
    let wrong = properties(json!({"password": "wrong"})).await;
    let request = world.create_request(wrong.clone()).await;
    world.publish(&request).await;
    worker.logged("authentication failed [08P01]").await;
    let mut right = world.credentials();
    right["host"] = json!("127.0.0.1");
    right["port"] = json!(pooler.port);
    world
        .put_secret(wrong["DBSecret"].as_str().unwrap(), &right.to_string())
        .await;
    let created = world.answer(&request).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");

    // It has no room for as long as another has it.
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let delete = world.delete_request(wrong, id).await;
    world.publish(&delete).await;
    assert_eq!(world.answer(&delete).await["Status"], "SUCCESS");
    let first = pooler.connect(&world.database.name).await;
    let request = world
        .create_request_of("Second", properties(json!({})).await)
        .await;
    world.publish(&request).await;
    worker
        .logged_times("no more connections allowed (max_client_conn) [08P01]", 5)
        .await;
    drop(first);
    let created = world.answer(&request).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");

    // With a database that the server behind it has no more a resource is gone. One that led there before would say that
    // the server does not let it in.
    let fresh = Pooler::start(&world, Pooling::Transaction, 1).await;
    let secret = fresh.secret(&world, json!({})).await;
    let gone = json!({"DBSecret": secret, "Extensions": ["hstore"], "OnUnreachableDelete": "Fail"});
    let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", world.database.name);
    connect("postgres")
        .await
        .batch_execute(&drop)
        .await
        .unwrap();
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let delete = world.delete_request_of("Second", gone, id).await;
    world.publish(&delete).await;
    let deleted = world.answer(&delete).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(
        reason(&deleted).contains("does not exist [08P01]"),
        "{deleted}"
    );
}
