//! The command line waits for errors to pass, as a worker does.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Mode, PrivateServer, World, eventually, start_plan};

#[tokio::test]
async fn a_server_that_starts_meanwhile_is_waited_for() {
    let world = World::new().await;
    let mut server = PrivateServer::start(&world, Mode::Primary).await;
    server.stop_immediately();
    let url = format!("postgres://postgres:x@127.0.0.1:{}/postgres", server.port);
    let mut child = start_plan(&url, 50, Stdio::piped());
    // Long enough for the first attempt to have failed.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(child.try_wait().unwrap().is_none(), "it gave up");
    server.start_again(Mode::Primary).await;
    let planned = tokio::task::spawn_blocking(move || child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(planned.stdout).unwrap();
    assert!(planned.status.success(), "{text}");
    assert!(text.contains("CREATE EXTENSION \"hstore\""), "{text}");
}

/// A real recovery that waits for its archive. The command line used to give up after 10 s: that is the time of more tries
/// than this test waits for.
#[tokio::test]
async fn a_server_that_says_that_it_is_starting_up_is_waited_for() {
    let world = World::new().await;
    let mut server = PrivateServer::start(&world, Mode::Primary).await;
    server.stop_immediately();
    server.start_in_recovery();
    let url = format!("postgres://postgres:x@127.0.0.1:{}/postgres", server.port);
    let log = std::path::Path::new(&crate::support::variable("RUN_DIR"))
        .join(format!("{}-command-line.log", world.name));
    let mut child = start_plan(&url, 50, std::fs::File::create(&log).unwrap());
    // More often than what may be a fault of the moment is tried again.
    eventually("four failed tries", async || {
        let text = std::fs::read_to_string(&log).unwrap();
        let failed = "the database system is starting up [57P03]";
        (text.matches(failed).count() >= 4).then_some(())
    })
    .await;
    assert!(child.try_wait().unwrap().is_none(), "it gave up");
    server.end_recovery();
    let planned = tokio::task::spawn_blocking(move || child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(planned.stdout).unwrap();
    assert!(planned.status.success(), "{text}");
}

#[tokio::test]
async fn a_password_of_the_command_line_that_is_refused_is_not_waited_for() {
    let world = World::new().await;
    let url = format!(
        "postgres://{}:wrong@{}:{}/{}",
        crate::support::variable("PGUSER"),
        crate::support::variable("PGHOST"),
        crate::support::variable("PGPORT"),
        world.database.name
    );
    let started = std::time::Instant::now();
    let child = start_plan(&url, 30, Stdio::piped());
    let failed = child.wait_with_output().unwrap();
    let text = String::from_utf8(failed.stderr).unwrap();
    assert!(text.contains("[28P01]"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(10), "{text}");
}
