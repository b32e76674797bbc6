//! Extensions whose update is to be the first statement of a session: timescaledb, and an imitation of it.

use serde_json::json;

use crate::support::{Fixture, ResultsSubscriber, Worker, World, connect, variable};

/// The session in whose log ALTER EXTENSION stands, with every statement of it.
fn session_of_update(world: &World) -> Vec<String> {
    let log = std::fs::read_to_string(variable("PG_LOG")).unwrap();
    let here = format!("] {} extension-worker ", world.database.name);
    let process = |line: &str| {
        let (_, rest) = line.split_once('[').unwrap();
        rest.split_once(']').unwrap().0.to_owned()
    };
    let lines = log.lines().filter(|line| line.contains(&here));
    let statements: Vec<&str> = lines
        .filter(|line| line.contains("statement: ") || line.contains("execute "))
        .collect();
    let update = statements
        .iter()
        .find(|line| line.contains("ALTER EXTENSION \"timescaledb\""))
        .unwrap();
    let update = process(update);
    statements
        .iter()
        .filter(|line| process(line) == update)
        .map(|line| (*line).to_owned())
        .collect()
}

/// One test: the name of the extension is the server's.
#[tokio::test]
async fn the_update_is_the_first_statement_of_a_session_and_one_transaction_with_the_ledger() {
    let world = World::new().await;
    let _fixture = Fixture::install(
        "timescaledb",
        "default_version = '1'\nrelocatable = false\n",
        &[
            ("1", "CREATE TABLE chunks (id int, path text, role text);"),
            (
                "1--2",
                "INSERT INTO chunks VALUES (2, current_setting('search_path'), current_user);",
            ),
            ("2--3", "INSERT INTO chunks VALUES (1 / 0);"),
        ],
    );
    let setup = format!(
        "CREATE EXTENSION timescaledb SCHEMA public; ALTER DATABASE \"{}\" SET log_statement = 'all'",
        world.database.name
    );
    world.database.execute(&setup).await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let topic = [("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str())];
    let _worker = Worker::start(&world, &topic);
    let to = |version: &str| json!({"DBSecret": world.secret, "Extensions": [{"Name": "timescaledb", "Version": version}, "hstore"]});
    let answer = world.create(to("2")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let changes = answer["Data"]["Changes"].as_str().unwrap();
    assert!(
        changes.starts_with("updated timescaledb 1 to 2"),
        "{changes}"
    );
    assert!(changes.contains("created hstore"), "{changes}");
    assert_eq!(answer["Data"]["Before"], "plpgsql=1.0,timescaledb=1");
    let statements = session_of_update(&world);
    assert!(
        statements[0].contains("statement: ALTER EXTENSION \"timescaledb\" UPDATE TO '2'; BEGIN;"),
        "{statements:#?}"
    );
    let ran = "SELECT string_agg(id || ' ' || role, ' ') FROM chunks";
    let user = variable("PGUSER");
    assert_eq!(world.database.text(ran).await, format!("2 {user}"));

    // What PostgreSQL refuses is answered as elsewhere, and nothing of it stays.
    let failed = world.create(to("3")).await;
    assert_eq!(failed["Status"], "FAILED", "{failed}");
    assert!(
        failed["Reason"]
            .as_str()
            .unwrap()
            .contains("division by zero"),
        "{failed}"
    );
    assert_eq!(world.database.extensions().await["timescaledb"], "2");

    // A repair does the same.
    let back = "DROP EXTENSION timescaledb; CREATE EXTENSION timescaledb SCHEMA public VERSION '1'";
    connect(&world.database.name)
        .await
        .batch_execute(back)
        .await
        .unwrap();
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    let repaired = subscriber.run("Repair", targets, json!({})).await;
    let repaired = repaired.result_of(&world.database.name);
    assert_eq!(repaired["State"], "Repaired", "{repaired}");
    assert_eq!(
        repaired["Changes"],
        json!(["ALTER EXTENSION \"timescaledb\" UPDATE TO '2'"])
    );
}
