//! Hostile data from a server that the worker takes for PostgreSQL, before any role matters.

use serde_json::json;

use super::master::{RANKS, Scene};
use super::{reason, secret_of_server};
use crate::support::{Fixture, HostileServer, Worker, World};

/// What a worker at rest takes, in a debug build, and some 8 MB with all that the driver makes of them.
const MEMORY_KIB: u64 = 160 * 1024;
/// What may be under way in sockets when a connection ends.
const SENT_BYTES: u64 = 64 << 20;

#[tokio::test]
async fn a_server_that_never_stops_sending_is_left() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    for deed in ["notices", "rows", "parameters", "message"] {
        let server = HostileServer::start(deed);
        let secret = secret_of_server(&world, server.port).await;
        let text = reason(
            &world,
            json!({"DBSecret": secret, "Extensions": ["hstore"]}),
        )
        .await;
        let expected = format!(
            "127.0.0.1:{}: the server sent more than 8 MB in answer to one request, and the worker closed the connection.",
            server.port
        );
        assert_eq!(text, expected, "{deed}");
        assert!(server.sent_bytes().await < SENT_BYTES, "{deed}");
        let peak = worker.peak_memory_kib();
        assert!(peak < MEMORY_KIB, "{deed}: {peak} KiB");
    }
    let log = worker.log();
    assert!(log.len() < 100_000, "{}", log.len());
    assert!(!log.contains("on purpose"), "{log}");
}

#[tokio::test]
async fn notices_of_a_database_reach_no_log() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let talkative = Fixture::install(
        &format!("{}_talkative", world.name),
        "default_version = '1'\ntrusted = true\n",
        &[(
            "1",
            "DO $$ BEGIN FOR i IN 1 .. 2000 LOOP RAISE WARNING 'on purpose %', i; END LOOP; END $$;",
        )],
    );
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let level = format!(
            "ALTER DATABASE {} SET client_min_messages = debug5",
            scene.database.name
        );
        scene.attacker().await.batch_execute(&level).await.unwrap();
        let answer = world.create(scene.declare(&json!([talkative.name]))).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
    }
    let log = worker.log();
    assert!(!log.contains("on purpose"), "{log}");
    assert!(log.len() < 100_000, "{}", log.len());
}

#[tokio::test]
async fn a_stacks_author_cannot_look_for_servers_and_the_log_says_what_happened() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[("PGSSLMODE", "require")]);
    let without_tls = HostileServer::start("password");
    for (port, happened) in [
        (1, "Connection refused"),
        (without_tls.port, "does not support TLS"),
    ] {
        let secret = secret_of_server(&world, port).await;
        let properties = json!({"DBSecret": secret, "ServiceTimeout": 2, "Extensions": ["hstore"]});
        let text = reason(&world, properties).await;
        let same = format!(
            "127.0.0.1:{port} could not be reached. Does its security group allow the worker's? See the worker's \
             log."
        );
        assert!(text.starts_with(&same), "{text}");
        assert!(!text.contains(happened), "{text}");
        worker.logged(happened).await;
    }
}
