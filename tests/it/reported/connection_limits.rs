//! 53300 has several meanings: a server that is full has room later; a role or database with a limit of zero never has.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Database, Worker, World, connect, connect_as, start_plan, variable};

/// A database that belongs to a role without rank: a superuser is bound by no limit.
async fn owned(world: &World) -> (Database, String, String) {
    let role = format!("{}_owner", world.name);
    let (database, password) =
        Database::create_owned(&format!("{}_owned", world.name), &role).await;
    (database, role, password)
}

async fn limit(what: &str, count: i32) {
    let sql = format!("ALTER {what} CONNECTION LIMIT {count}");
    connect("postgres").await.batch_execute(&sql).await.unwrap();
}

fn reason(answer: &Value) -> &str {
    answer["Reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_database_that_admits_no_connections_is_refused_at_once_with_its_limit() {
    let world = World::new().await;
    let (database, role, password) = owned(&world).await;
    let fields = json!({"dbname": database.name, "username": role, "password": password});
    let secret = world.secret_with(&fields).await;
    let worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": secret, "Extensions": ["hstore"]});
    limit(&format!("DATABASE {}", database.name), 0).await;
    let refused = world.create(properties.clone()).await;
    assert_eq!(refused["Status"], "FAILED", "{refused}");
    let expected = format!(
        "{}/{}: too many connections for database \"{}\" (its CONNECTION LIMIT is 0). Raise it (ALTER DATABASE … CONNECTION \
         LIMIT), or name another database. [53300]",
        variable("PGHOST"),
        database.name,
        database.name
    );
    assert_eq!(reason(&refused), expected);
    let everywhere =
        json!({"DBSecret": secret, "Databases": "*", "Extensions": [], "DryRun": true});
    let listed = world.create(everywhere).await;
    assert!(
        !listed["Data"]["Databases"]
            .as_str()
            .unwrap_or_default()
            .contains(&database.name),
        "{listed}"
    );

    // One that others have taken up is waited for.
    limit(&format!("DATABASE {}", database.name), 1).await;
    let other = connect_as(&database.name, &role, &password).await;
    let request = world.create_request(properties).await;
    world.publish(&request).await;
    worker.logged("the attempt failed").await;
    drop(other);
    let created = world.answer(&request).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
}

#[tokio::test]
async fn a_role_that_may_not_connect_is_refused_with_its_limit() {
    let world = World::new().await;
    let (database, role, password) = owned(&world).await;
    limit(&format!("ROLE {role}"), 0).await;
    let url = format!(
        "postgres://{role}:{password}@{}:{}/{}",
        variable("PGHOST"),
        variable("PGPORT"),
        database.name
    );
    let child = start_plan(&url, 2, Stdio::piped());
    let text = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    let expected = format!(
        "too many connections for role \"{role}\". Its CONNECTION LIMIT is 0, or other sessions have all of it: raise it (ALTER \
         ROLE … CONNECTION LIMIT), or name the secret of another role. [53300]"
    );
    assert!(text.contains(&expected), "{text}");
}
