//! A server that is not the one that it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::declare;
use crate::support::{Mode, PrivateServer, Worker, World, variable};

// 36
#[tokio::test]
async fn a_server_with_a_certificate_of_another_authority_is_not_trusted() {
    let world = World::new().await;
    let (certificate, key) = certificate(&world.name, "server").await;
    let (other, _) = self::certificate(&world.name, "other").await;
    let settings = [
        "ssl=on",
        &format!("ssl_cert_file={}", certificate.display()),
        &format!("ssl_key_file={}", key.display()),
    ];
    let server = PrivateServer::start_with(&world, Mode::Primary, &settings).await;
    let secret = world
        .secret_with(&json!({"port": server.port, "dbname": "postgres"}))
        .await;
    let trusting = |ca: &Path| {
        let ca = ca.to_str().unwrap();
        Worker::start(
            &world,
            &[("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", ca)],
        )
    };
    let mut worker = trusting(&other);
    let answer = world.create(declare(&secret, "hstore")).await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("TLS: invalid peer certificate: UnknownIssuer"),
        "{answer}"
    );
    assert!(
        reason.contains("PGSSLROOTCERT of the worker say what it trusts"),
        "{answer}"
    );
    assert_eq!(server.extensions("postgres").await, "plpgsql");
    worker.signal("TERM");
    worker.exit().await;

    let _worker = trusting(&certificate);
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
}

/// A certificate for 127.0.0.1 that signs itself, and its key, both the server's to read.
async fn certificate(name: &str, role: &str) -> (PathBuf, PathBuf) {
    const MAKE: &str = "
import datetime, ipaddress, os, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
certificate, key, role = sys.argv[1:]
private = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, role)])
now = datetime.datetime.now(datetime.timezone.utc)
made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    .serial_number(x509.random_serial_number())
    .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]), critical=False)
    .sign(private, hashes.SHA256()))
pem = serialization.Encoding.PEM
with open(certificate, 'wb') as file:
    file.write(made.public_bytes(pem))
with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), 'wb') as file:
    file.write(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
";
    let directory = PathBuf::from(variable("RUN_DIR"));
    let certificate = directory.join(format!("{name}-{role}.pem"));
    let key = directory.join(format!("{name}-{role}.key"));
    let made = Command::new(variable("LOCALSTACK_PYTHON"))
        .args(["-c", MAKE])
        .args([&certificate, &key])
        .arg(role)
        .status()
        .unwrap();
    assert!(made.success());
    PrivateServer::give(&key).await;
    (certificate, key)
}
