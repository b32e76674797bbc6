//! How a password is sent: an allowed server gets no more than it needs. It is refused before the role is logged in, so that
//! its privileges do not matter.

use std::process::Stdio;

use serde_json::json;

use super::{MARKER, reason, secret_of_server};
use crate::support::{Certificates, HostileServer, Worker, World, worker_binary};

#[tokio::test]
async fn a_server_that_asks_for_the_password_or_a_hash_of_it_gets_neither() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for (deed, method) in [("password", "password in clear text"), ("md5", "md5")] {
        let server = HostileServer::start(deed);
        let secret = secret_of_server(&world, server.port).await;
        let message = reason(
            &world,
            json!({"DBSecret": secret, "Extensions": ["hstore"]}),
        )
        .await;
        let expected = format!(
            "127.0.0.1:{}: the server asks for authentication by {method}, which WORKER_AUTH_METHODS \
             (--auth-methods) does not allow.",
            server.port
        );
        assert_eq!(message, expected);
        assert_eq!(server.received(), "");
        // It is not tried again, but that the answer may be kept.
        assert!(server.connections() <= 2);
    }
}

#[tokio::test]
async fn a_certificate_that_is_trusted_changes_nothing() {
    let world = World::new().await;
    let certificates = Certificates::make(&world, "127.0.0.1").await;
    let _worker = certificates.trusting(&world, "bundle", &[]);
    for deed in ["password", "md5"] {
        let server = HostileServer::start_with_tls(deed, &certificates);
        let secret = secret_of_server(&world, server.port).await;
        let message = reason(
            &world,
            json!({"DBSecret": secret, "Extensions": ["hstore"]}),
        )
        .await;
        assert!(message.contains("WORKER_AUTH_METHODS"), "{message}");
        assert_eq!(server.received(), "");
    }
}

#[tokio::test]
async fn an_operator_may_name_weaker_methods() {
    let world = World::new().await;
    let settings = [("WORKER_AUTH_METHODS", "scram-sha-256,password")];
    let _worker = Worker::start(&world, &settings);
    for (deed, is_given) in [("password", true), ("md5", false)] {
        let server = HostileServer::start(deed);
        let secret = secret_of_server(&world, server.port).await;
        let properties = json!({"DBSecret": secret, "ServiceTimeout": 3, "Extensions": ["hstore"]});
        reason(&world, properties).await;
        let heard = server.received();
        assert_eq!(heard.contains(MARKER), is_given, "{deed}");
        // A hash of it neither.
        assert_eq!(heard.is_empty(), !is_given, "{deed}: {heard}");
    }
}

#[tokio::test]
async fn a_proof_over_one_round_is_not_given() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = HostileServer::start("rounds");
    let secret = secret_of_server(&world, server.port).await;
    let message = reason(
        &world,
        json!({"DBSecret": secret, "Extensions": ["hstore"]}),
    )
    .await;
    let expected = "the server asks for 1 rounds of SCRAM; 4096 to 600000 are accepted";
    assert!(message.contains(expected), "{message}");
    assert_eq!(server.received(), "");
}

#[tokio::test]
async fn the_proof_is_bound_to_the_servers_certificate_where_there_is_one() {
    let world = World::new().await;
    let certificates = Certificates::make(&world, "127.0.0.1").await;
    let _worker = certificates.trusting(&world, "bundle", &[]);
    let server = HostileServer::start_with_tls("mechanisms", &certificates);
    let secret = secret_of_server(&world, server.port).await;
    let properties = json!({"DBSecret": secret, "ServiceTimeout": 3, "Extensions": ["hstore"]});
    reason(&world, properties).await;
    let heard = server.received();
    assert!(heard.contains("SCRAM-SHA-256-PLUS"), "{heard}");
    assert!(heard.contains("p=tls-server-end-point"), "{heard}");
}

#[tokio::test]
async fn the_command_line_gives_no_more_unless_it_is_asked_to() {
    let world = World::new().await;
    let properties = format!("{{\"DBSecret\": \"{}\", \"Extensions\": []}}", world.secret);
    let file = std::path::PathBuf::from(crate::support::variable("RUN_DIR"))
        .join(format!("{}.json", world.name));
    std::fs::write(&file, properties).unwrap();
    let server = HostileServer::start("password");
    let url = format!("postgres://app:{MARKER}@127.0.0.1:{}/app", server.port);
    let run = |arguments: &[&str]| {
        let mut command = worker_binary();
        command.args(["plan", "--url", &url, "--timeout-seconds", "2"]);
        let command = command.args(arguments).arg(&file).stdin(Stdio::null());
        let output = command.output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let message = run(&[]);
    assert!(
        message.contains("WORKER_AUTH_METHODS (--auth-methods)"),
        "{message}"
    );
    assert_eq!(server.received(), "");
    run(&["--auth-methods", "password"]);
    assert!(server.received().contains(MARKER));
}
