//! A server that is not the one that it says, and one that is. As on RDS, the server sends its own certificate alone,
//! and what signed it is in the bundle, and is itself signed by another.

use serde_json::json;

use super::declare;
use crate::support::{Certificates, Mode, PrivateServer, World};

// 36
#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_is_not_trusted_and_the_log_says_why() {
    let world = World::new().await;
    let certificates = Certificates::make(&world, "127.0.0.1").await;
    let server = PrivateServer::start_with(&world, Mode::Primary, &certificates.settings()).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let refused = [
        (
            "leaf",
            "other-bundle",
            "is of an authority that is not in the CA bundle",
        ),
        ("expired", "bundle", "expired on 2020-02-01 00:00:00 UTC"),
        (
            "future",
            "bundle",
            "is not valid before 2120-02-01 00:00:00 UTC",
        ),
        (
            "elsewhere",
            "bundle",
            "is not for 127.0.0.1 but for db.example, 127.0.0.2",
        ),
    ];
    for (presented, bundle, why) in refused {
        certificates.present(&server, presented).await;
        let mut worker = certificates.trusting(&world, bundle, &[]);
        let answer = world.create(declare(&secret, "hstore")).await;
        worker.signal("TERM");
        worker.exit().await;
        assert_eq!(answer["Status"], "FAILED", "{presented}: {answer}");
        let reason = answer["Reason"].as_str().unwrap();
        let same = format!("127.0.0.1:{} could not be reached. ", server.port);
        assert!(reason.starts_with(&same), "{presented}: {reason}");
        assert!(!reason.contains("certificate"), "{presented}: {reason}");
        let log = worker.log();
        for detail in [
            &*format!("TLS: the server's certificate {why}. "),
            "PGSSLROOTCERT of the worker say what it trusts",
        ] {
            assert!(log.contains(detail), "{presented}: {log}");
        }
        assert_eq!(server.extensions("postgres").await, "plpgsql");
    }
}

#[tokio::test]
async fn a_server_that_sends_its_own_certificate_alone_is_verified_by_the_bundle() {
    let world = World::new().await;
    let certificates = Certificates::make(&world, "127.0.0.1").await;
    let server = PrivateServer::start_with(&world, Mode::Primary, &certificates.settings()).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    // What is not said is as strict: PGSSLMODE is left out.
    let _worker = certificates.trusting(&world, "bundle", &[]);
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let encrypted = "SELECT string_agg(DISTINCT version, ',') FROM pg_stat_ssl
                     JOIN pg_stat_activity USING (pid) WHERE application_name = 'extension-worker'";
    assert_eq!(server.text(encrypted).await, "TLSv1.3");
}

#[tokio::test]
async fn a_chain_is_enough_where_the_host_does_not_matter() {
    let world = World::new().await;
    let certificates = Certificates::make(&world, "127.0.0.1").await;
    let server = PrivateServer::start_with(&world, Mode::Primary, &certificates.settings()).await;
    certificates.present(&server, "elsewhere").await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let _worker = certificates.trusting(&world, "bundle", &[("PGSSLMODE", "verify-ca")]);
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}

#[tokio::test]
async fn a_bundle_that_changes_counts_from_the_next_connection_on() {
    let world = World::new().await;
    let certificates = Certificates::make(&world, "127.0.0.1").await;
    let server = PrivateServer::start_with(&world, Mode::Primary, &certificates.settings()).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let worker = certificates.trusting(&world, "other-bundle", &[]);
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    // A file that cannot be read is logged, and the certificates of before stay.
    certificates.replace("other-bundle", "server.key");
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    worker.logged("the one before still serves").await;
    certificates.replace("other-bundle", "bundle.pem");
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}
