//! IAM authentication, as RDS has it: over TLS the worker sends a signed URL as its password, which PostgreSQL has checked
//! elsewhere. Here a directory stands for RDS's check, and a file of hosts for its names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{NaiveDateTime, Utc};
use serde_json::{Value, json};

use crate::support::{Certificates, LdapServer, Mode, PrivateServer, Worker, World, variable};

const HOST: &str = "demo1.abcdefghijkl.eu-west-2.rds.amazonaws.com";
const ROLE: &str = "app user+1";

#[tokio::test]
async fn a_token_that_the_worker_signs_is_sent_over_tls_in_the_place_of_a_password() {
    let world = World::new().await;
    let rds = Rds::start(&world, |token| token.starts_with(HOST)).await;
    let _worker = rds.worker(&world, &[]);
    for extension in ["hstore", "pg_trgm"] {
        let answer = world.create(rds.declare(&world, extension).await).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    }
    let sessions = "SELECT string_agg(DISTINCT usename || ' ' || version, ',') FROM pg_stat_ssl
                    JOIN pg_stat_activity USING (pid) WHERE application_name = 'extension-worker'";
    assert_eq!(rds.server.text(sessions).await, format!("{ROLE} TLSv1.3"));

    // The same inputs, signed by botocore.
    let tokens = rds.directory.passwords();
    let token = tokens.first().unwrap();
    let signed_at = value_of(token, "X-Amz-Date");
    let time = NaiveDateTime::parse_from_str(signed_at, "%Y%m%dT%H%M%SZ").unwrap();
    assert!((Utc::now() - time.and_utc()).num_seconds() < 60, "{token}");
    // In another second, so that it is the time of the token that counts.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let expected = sign_with_botocore(rds.server.port, signed_at);
    assert_eq!(sorted(token), sorted(&expected));
}

#[tokio::test]
async fn a_token_is_sent_in_clear_to_a_server_alone_that_proved_who_it_is() {
    let world = World::new().await;
    let rds = Rds::start(&world, |token| token.starts_with(HOST)).await;
    // Not even where the operator lets passwords go out in clear.
    let settings = [
        ("PGSSLMODE", "verify-ca"),
        ("WORKER_AUTH_METHODS", "password"),
    ];
    let _worker = rds.worker(&world, &settings);
    let answer = world.create(rds.declare(&world, "hstore").await).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let reason = answer["Reason"].as_str().unwrap();
    let expected = "the IAM token in clear text, which is sent with PGSSLMODE verify-full alone";
    assert!(reason.contains(expected), "{reason}");
    assert!(rds.directory.passwords().is_empty());
}

#[tokio::test]
async fn a_token_that_is_refused_is_signed_anew_until_the_retry_budget_ends() {
    let world = World::new().await;
    let rds = Rds::start(&world, |_| false).await;
    let worker = rds.worker(&world, &[("WORKER_RETRY_BUDGET_SECONDS", "5")]);
    let answer = world.create(rds.declare(&world, "hstore").await).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains(HOST), "{reason}");
    assert!(reason.contains("[28"), "{reason}");
    let mut tokens = rds.directory.passwords();
    assert!(tokens.len() > 1);
    // In one second the signature is the same.
    tokens.dedup();
    assert!(tokens.len() > 1, "{tokens:?}");
    for text in [reason, &worker.log()] {
        assert!(!text.contains("X-Amz-Signature"), "{text}");
    }
}

/// A server that goes by a name of RDS, and lets the role in that the directory approves of.
struct Rds {
    server: PrivateServer,
    directory: LdapServer,
    certificates: Certificates,
    hosts: PathBuf,
}

impl Rds {
    async fn start(world: &World, is_right: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let directory = LdapServer::start(is_right).await;
        let certificates = Certificates::make(world, HOST).await;
        let run = PathBuf::from(variable("RUN_DIR"));
        let hosts = run.join(format!("hosts-{}", world.name));
        fs::write(&hosts, format!("127.0.0.1 {HOST}\n")).unwrap();
        let access = run.join(format!("pg_hba-{}.conf", world.name));
        let rules = format!(
            "host all postgres 127.0.0.1/32 trust\nhostssl all \"{ROLE}\" 127.0.0.1/32 ldap {}\n",
            directory.options()
        );
        fs::write(&access, rules).unwrap();
        PrivateServer::chown_to_server(&access).await;
        let mut settings = certificates.settings().to_vec();
        settings.push(format!("hba_file={}", access.display()));
        let server = PrivateServer::start_with(world, Mode::Primary, &settings).await;
        let role = format!(
            "CREATE ROLE \"{ROLE}\" LOGIN; GRANT CREATE ON DATABASE postgres TO \"{ROLE}\";"
        );
        server.execute(&role).await;
        Self {
            server,
            directory,
            certificates,
            hosts,
        }
    }

    /// A worker that finds the server by its name, and trusts it.
    fn worker(&self, world: &World, settings: &[(&str, &str)]) -> Worker {
        let library = nss_wrapper();
        let hosts = format!("127.0.0.1,{HOST}");
        let names = [
            ("WORKER_HOSTS", hosts.as_str()),
            ("LD_PRELOAD", library),
            ("NSS_WRAPPER_HOSTS", self.hosts.to_str().unwrap()),
        ];
        let settings = [&names, settings].concat();
        self.certificates.trusting(world, "bundle", &settings)
    }

    async fn declare(&self, world: &World, extension: &str) -> Value {
        let secret = world.secret_with(&json!({"username": ROLE})).await;
        json!({
            "DBSecret": secret, "DBHost": HOST, "DBPort": self.server.port, "DBName": "postgres",
            "Authentication": "IAM", "Extensions": [extension],
        })
    }
}

/// The library that finds hosts in a file; `localstack/host_names.py` installs it where it is missing.
fn nss_wrapper() -> &'static str {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/host_names.py");
        let output = Command::new("python3")
            .arg(script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "no way to name hosts");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

fn sign_with_botocore(port: u16, time: &str) -> String {
    const SIGN: &str = "
import datetime, sys
from unittest import mock
import boto3, botocore.crt.auth
host, port, role, time = sys.argv[1:]
then = datetime.datetime.strptime(time, '%Y%m%dT%H%M%SZ')
with mock.patch('botocore.crt.auth.get_current_datetime', return_value=then):
    print(boto3.client('rds', region_name='eu-west-2').generate_db_auth_token(host, int(port), role))
";
    let output = Command::new(variable("LOCALSTACK_PYTHON"))
        .args(["-c", SIGN, HOST, &port.to_string(), ROLE, time])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn value_of<'a>(token: &'a str, name: &str) -> &'a str {
    let mut pairs = token.split('&').filter_map(|part| part.split_once('='));
    pairs.find(|(key, _)| *key == name).unwrap().1
}

/// The parts of a token: their order does not matter.
fn sorted(token: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = token.split('&').collect();
    parts.sort_unstable();
    parts
}
