//! Secrets, servers and log-ins that cannot be used.

use serde_json::json;

use crate::support::{Worker, World};

use super::reason;

#[tokio::test]
async fn secrets_that_cannot_be_used_are_named_and_not_quoted() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let no_json = format!("{}-text", world.name);
    world.create_secret(&no_json, "hunter2").await;
    let no_user = world.secret_with(&json!({"username": ""})).await;
    let mysql = world.secret_with(&json!({"engine": "mysql"})).await;
    let no_port = world.secret_with(&json!({"port": 0})).await;
    let no_text = world.secret_with(&json!({"password": 1})).await;
    let no_host = world.secret_with(&json!({"host": ""})).await;
    let no_database = world.secret_with(&json!({"dbname": ""})).await;
    for (secret, expected) in [
        (
            "no-such-secret",
            "DBSecret \"no-such-secret\": secret not found in us-east-1.".to_owned(),
        ),
        (
            &no_json,
            format!(
                "DBSecret \"{no_json}\": is not JSON; it must be an object with username and password."
            ),
        ),
        (
            &no_user,
            format!("DBSecret \"{no_user}\": has no field \"username\"."),
        ),
        (
            &mysql,
            format!("DBSecret \"{mysql}\": its engine is \"mysql\"; this worker serves postgres."),
        ),
        (
            &no_port,
            format!("DBSecret \"{no_port}\": its field \"port\" must be a port from 1 to 65535."),
        ),
        (
            &no_text,
            format!("DBSecret \"{no_text}\": its field \"password\" must be a text."),
        ),
        (
            &no_host,
            format!("DBHost: required, as secret \"{no_host}\" has no host."),
        ),
        (
            &no_database,
            format!("DBName: required, as secret \"{no_database}\" has no dbname."),
        ),
    ] {
        assert_eq!(
            reason(
                &world,
                json!({"DBSecret": secret, "Extensions": ["hstore"]})
            )
            .await,
            expected
        );
    }
}

#[tokio::test]
async fn servers_that_do_not_serve_are_named() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let wrong_password = world.secret_with(&json!({"password": "hunter2"})).await;
    let down = world.secret_with(&json!({"port": 1})).await;
    let no_database = world
        .secret_with(&json!({"dbname": "no_such_database"}))
        .await;
    let no_host = world
        .secret_with(&json!({"host": "no-such-host.invalid"}))
        .await;
    for (secret, expected) in [
        (wrong_password, "password authentication failed for user"),
        (
            down,
            "127.0.0.1:1 could not be reached. Does its security group",
        ),
        (
            no_database,
            "database \"no_such_database\" does not exist [3D000]",
        ),
        (no_host, "no-such-host.invalid"),
    ] {
        // A wrong password may be one that is being rotated, and a server that is down may come up: time decides.
        let printed = reason(
            &world,
            json!({"DBSecret": secret, "ServiceTimeout": "5", "Extensions": ["hstore"]}),
        )
        .await;
        assert!(printed.contains(expected), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_wrong_even_where_a_connection_is_open() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let right = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.publish(&right).await;
    assert_eq!(world.answer(&right).await["Status"], "SUCCESS");
    let wrong = world.secret_with(&json!({"password": "wrong"})).await;
    let printed = reason(
        &world,
        json!({"DBSecret": wrong, "ServiceTimeout": "3", "Extensions": ["pg_trgm"]}),
    )
    .await;
    assert!(
        printed.contains("password authentication failed"),
        "{printed}"
    );
}

#[tokio::test]
async fn settings_of_a_database_for_its_sessions_mislead_no_statement() {
    let world = World::new().await;
    let name = &world.database.name;
    let trap = format!(
        "CREATE FUNCTION public.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
         CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
         ALTER DATABASE {name} SET search_path = public, pg_catalog;
         ALTER DATABASE {name} SET default_transaction_isolation = 'serializable';
         ALTER DATABASE {name} SET default_transaction_read_only = on"
    );
    world.database.execute(&trap).await;
    let _worker = Worker::start(&world, &[]);
    let request = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.publish(&request).await;
    assert_eq!(
        world.answer(&request).await["Status"],
        "SUCCESS",
        "{:?}",
        world.answer(&request).await
    );
}

#[tokio::test]
async fn a_way_to_authenticate_that_does_not_fit_is_reported() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let no_password = format!("{}-iam", world.name);
    let credentials = json!({"username": "app", "host": "127.0.0.1", "dbname": "app"});
    world
        .create_secret(&no_password, &credentials.to_string())
        .await;
    let printed = reason(
        &world,
        json!({"DBSecret": no_password, "Extensions": ["hstore"]}),
    )
    .await;
    assert_eq!(
        printed,
        format!("DBSecret \"{no_password}\": has no field \"password\".")
    );
    let iam = json!({"DBSecret": no_password, "Authentication": "IAM", "Extensions": ["hstore"]});
    let printed = reason(&world, iam).await;
    assert!(
        printed.contains("127.0.0.1 is not a host of RDS"),
        "{printed}"
    );
    let printed = reason(
        &world,
        json!({"DBSecret": no_password, "Authentication": "Kerberos", "Extensions": []}),
    )
    .await;
    assert_eq!(printed, "Authentication: must be one of Password, IAM");
}
