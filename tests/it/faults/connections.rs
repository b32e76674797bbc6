//! More databases than connections.

use std::time::{Duration, Instant};

use extension_worker::credentials::secrets::Password;
use extension_worker::postgres::{Pools, Session};
use extension_worker::postgres_error::{Class, DatabaseError, Statement, classify};
use extension_worker::target::{Address, Host, Target};
use futures_util::future::{join, join_all};

use crate::support::{Database, World, connect, eventually, pools, variable};

/// A database by way of a port of this machine, for the administrator.
fn target(port: u16, database: &str) -> Target {
    Target {
        address: Address {
            host: Host::parse(&variable("PGHOST")).unwrap(),
            port,
        },
        database: database.to_owned(),
        username: variable("PGUSER"),
    }
}

/// The administrator's.
fn password() -> Password {
    Password::new(variable("PGPASSWORD"))
}

/// Databases of one test's own.
async fn targets(world: &World, number: usize) -> Vec<Target> {
    let port = variable("PGPORT").parse().unwrap();
    let names = (0..number).map(|number| format!("{}_{number}", world.name));
    join_all(names.map(async |name| target(port, &Database::create(&name).await.name))).await
}

async fn session(pools: &Pools, target: &Target) -> Result<Session, DatabaseError> {
    pools.session(target, &password()).await
}

/// Workers' backends in each of the databases, once there are so many in all.
async fn backends(world: &World, expected: usize) -> Vec<String> {
    let query = format!(
        "SELECT datname::text FROM pg_stat_activity WHERE datname LIKE '{}\\_%'
         AND application_name = 'extension-worker' ORDER BY datname",
        world.name
    );
    let client = connect("postgres").await;
    eventually("that number of backends", async || {
        let rows = client.query(&query, &[]).await.unwrap();
        let prefix = format!("{}_", world.name);
        let names = rows.iter().map(|row| row.get::<_, String>(0));
        (rows.len() == expected).then(|| names.map(|name| name.replace(&prefix, "")).collect())
    })
    .await
}

#[tokio::test]
async fn what_was_at_rest_longest_makes_room() {
    let world = World::new().await;
    let targets = targets(&world, 4).await;
    let pools = pools(2, 3);
    for target in &targets[..3] {
        drop(session(&pools, target).await.unwrap());
    }
    assert_eq!(backends(&world, 3).await, ["0", "1", "2"]);
    assert_eq!(pools.connection_limit().open(), 3);
    // Used again, it is no longer the one.
    drop(session(&pools, &targets[0]).await.unwrap());
    drop(session(&pools, &targets[3]).await.unwrap());
    assert_eq!(backends(&world, 3).await, ["0", "2", "3"]);
    assert_eq!(pools.connection_limit().open(), 3);
}

#[tokio::test]
async fn there_are_never_more_connections_than_that() {
    let world = World::new().await;
    let targets = targets(&world, 6).await;
    let pools = pools(4, 3);
    let done = std::sync::atomic::AtomicBool::new(false);
    let work = async {
        let sessions = (0..120).map(async |number| {
            // On a busy machine a request may get no connection in time: its next delivery does.
            let target = &targets[number % targets.len()];
            let mut session = eventually("a session", async || {
                let answer = session(&pools, target).await;
                answer
                    .inspect_err(|error| {
                        assert_eq!(classify(error, Statement::Own), Class::Transient, "{error}")
                    })
                    .ok()
            })
            .await;
            assert!(pools.connection_limit().open() <= 3);
            // A session that fails or is dropped in the middle returns its connection as well.
            match number % 3 {
                0 => drop(session.databases().await.unwrap()),
                1 => drop(session.begin(&[], Duration::from_secs(5)).await.unwrap()),
                _ => {}
            }
        });
        join_all(sessions).await;
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let look = async {
        let client = connect("postgres").await;
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE '{}\\_%'
             AND application_name = 'extension-worker'",
            world.name
        );
        let mut most = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let now: i64 = client.query_one(&query, &[]).await.unwrap().get(0);
            most = most.max(now);
        }
        most
    };
    let ((), most) = join(work, look).await;
    // A backend outlives its connection by a moment.
    assert!((1..=6).contains(&most), "{most}");
    drop(pools);
    backends(&world, 0).await;
}

#[tokio::test]
async fn a_request_that_finds_all_connections_in_use_waits_and_is_answered_in_time() {
    let world = World::new().await;
    let targets = targets(&world, 3).await;
    let pools = pools(2, 2);
    let first = session(&pools, &targets[0]).await.unwrap();
    let _second = session(&pools, &targets[1]).await.unwrap();
    let begun = Instant::now();
    let error = session(&pools, &targets[2]).await.err().unwrap();
    assert_eq!(classify(&error, Statement::Own), Class::Transient);
    assert_eq!(
        error.to_string(),
        "all 2 connections of the worker are in use (WORKER_CONNECTIONS)"
    );
    assert!(
        (4..7).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );

    // The first connection that is returned ends the wait.
    let begun = Instant::now();
    let gives_back = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    let (third, ()) = join(session(&pools, &targets[2]), gives_back).await;
    assert!(third.is_ok() && begun.elapsed().as_secs() < 4);
    assert_eq!(backends(&world, 2).await, ["1", "2"]);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_counts_no_longer() {
    let world = World::new().await;
    let targets = targets(&world, 1).await;
    let pools = pools(1, 1);
    for _ in 0..3 {
        let nowhere = target(1, "nowhere");
        let error = session(&pools, &nowhere).await.err().unwrap();
        assert!(matches!(error, DatabaseError::Unreachable(..)), "{error}");
        assert_eq!(pools.connection_limit().open(), 0);
    }
    assert!(session(&pools, &targets[0]).await.is_ok());
}
