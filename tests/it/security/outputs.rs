//! A marker in what a worker reads is in none of its outputs: report, page, metrics, dead letters, process list. None of
//! them depends on the role's privileges.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::markers::{MARKER, secrets};
use crate::support::{ResultsTopic, Worker, World, eventually, variable, worker_binary};

fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

/// What the endpoint of metrics and health says.
async fn shown(address: &str) -> String {
    extension_worker::process::tls::install_provider();
    let mut all = String::new();
    for path in ["/metrics", "/health"] {
        let url = format!("http://{address}{path}");
        let answer = reqwest::get(url).await.unwrap();
        all.push_str(&answer.text().await.unwrap());
    }
    all
}

/// What the process list shows of a process, and what its owner sees of its environment.
fn process(id: u32, file: &str) -> String {
    let bytes = std::fs::read(format!("/proc/{id}/{file}")).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

/// Secrets by name, with the marker in all of them: as the password of one that can be used, and of those that cannot where
/// something else belongs.
async fn marked(world: &World) -> Vec<String> {
    let mut names = Vec::new();
    for field in ["username", "dbname", "host", "port", "engine"] {
        let hidden = json!({"password": MARKER}).to_string();
        names.push(world.secret_with(&json!({field: hidden})).await);
    }
    let role = format!("role_{}", world.name);
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{MARKER}'");
    world.database.execute(&create).await;
    let usable = json!({"username": role, "password": MARKER});
    names.push(world.secret_with(&usable).await);
    for (index, text) in secrets().iter().enumerate() {
        let name = format!("{}-text{index}", world.name);
        world.create_secret(&name, text).await;
        names.push(name);
    }
    names
}

/// Reads both to their end, while the process lives.
fn output(child: Child) -> (String, String, Option<i32>) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

fn resync(world: &World, results: &ResultsTopic<'_>) -> Command {
    let mut command = worker_binary();
    command
        // Where the test fails, the worker goes before it.
        .args(["resync", "--wait", "--timeout-seconds", "50"])
        .env("WORKER_TOPIC_ARN", &world.topic_arn)
        .env("WORKER_RESULTS_TOPIC_ARN", &results.topic_arn)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Takes some 10 s: a re-sync spreads its servers in time.
#[tokio::test]
async fn a_secret_is_in_no_report_no_page_and_no_metric() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    let address = free_address();
    let settings = [
        ("RUST_LOG", "trace"),
        ("WORKER_HEALTH_ADDR", address.as_str()),
        ("WORKER_METRICS_SECONDS", "1"),
        ("WORKER_RESULTS_TOPIC_ARN", &results.topic_arn),
    ];
    let mut worker = Worker::start(&world, &settings);
    let names = marked(&world).await;
    let directory = std::path::PathBuf::from(variable("RUN_DIR"));
    let mut running = Vec::new();
    for format in ["--json", "--csv", ""] {
        let page = directory.join(format!("{}{format}.html", world.name));
        let mut command = resync(&world, &results);
        command.arg("--html").arg(&page);
        command.args(["--databases", &world.database.name]);
        command.args(Some(format).filter(|format| !format.is_empty()));
        for name in &names {
            command.args(["--secret", name]);
        }
        let child = command.spawn().unwrap();
        running.push((page, tokio::task::spawn_blocking(|| output(child))));
    }
    for (page, ended) in running {
        let (printed, said, code) = ended.await.unwrap();
        assert_ne!(code, Some(0), "{printed}{said}");
        let html = std::fs::read_to_string(&page).unwrap();
        for name in &names {
            assert!(html.contains(name.as_str()), "{name}: {html}");
        }
        for text in [printed, said, html] {
            assert!(!text.contains(MARKER), "{text}");
        }
    }
    let shown = shown(&address).await;
    assert!(shown.contains("resync_databases"), "{shown}");
    assert!(!shown.contains(MARKER), "{shown}");
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    for text in [worker.output(), worker.log()] {
        assert!(!text.contains(MARKER));
    }
}

#[tokio::test]
async fn a_secret_in_a_request_is_in_no_metric_and_no_attribute_of_a_dead_letter() {
    let world = World::new().await;
    let address = free_address();
    let worker = Worker::start(&world, &[("WORKER_HEALTH_ADDR", &address)]);
    for secret in secrets() {
        for field in [
            "RequestType",
            "StackId",
            "LogicalResourceId",
            "RequestId",
            "ResponseURL",
        ] {
            let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
            let mut request = world.create_request(properties).await;
            request.message[field] = json!(secret);
            world.publish(&request).await;
            if field == "RequestType" {
                let answer = world.answer(&request).await;
                assert!(!answer.to_string().contains(MARKER), "{answer}");
            } else {
                let (_, attributes) = world.dead_letter_with_attributes().await;
                assert!(
                    !format!("{attributes:?}").contains(MARKER),
                    "{field}: {attributes:?}"
                );
            }
        }
    }
    let shown = shown(&address).await;
    assert!(shown.contains("messages_handled_total"), "{shown}");
    assert!(!shown.contains(MARKER), "{shown}");
    drop(worker);
}

#[tokio::test]
async fn a_secret_is_in_no_process_list() {
    let world = World::new().await;
    let secret = world.secret_with(&json!({"password": MARKER})).await;
    let mut worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": secret, "ServiceTimeout": 3, "Extensions": ["hstore"]});
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    for file in ["cmdline", "environ", "comm"] {
        let listed = process(worker.id(), file);
        assert!(!listed.contains(MARKER), "{file}: {listed}");
    }
    worker.signal("TERM");
    worker.exit().await;

    // The command line takes credentials by the name of a secret, or in a variable; it waits for its properties here.
    let url = format!(
        "postgres://{}:{MARKER}@{}:{}/{}",
        variable("PGUSER"),
        variable("PGHOST"),
        variable("PGPORT"),
        world.database.name
    );
    for (arguments, variables) in [
        (vec!["--secret", &secret], vec![]),
        (vec![], vec![("DATABASE_URL", &url)]),
    ] {
        for verb in ["plan", "apply"] {
            let mut child = worker_binary()
                .args([verb, "--timeout-seconds", "2", "-"])
                .args(&arguments)
                .envs(variables.iter().copied())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let id = child.id();
            eventually("the program's own arguments", async || {
                process(id, "cmdline").contains(verb).then_some(())
            })
            .await;
            let listed = process(id, "cmdline");
            assert!(!listed.contains(MARKER), "{verb}: {listed}");
            let mut properties = child.stdin.take().unwrap();
            properties
                .write_all(b"{\"Extensions\": [\"hstore\"]}")
                .unwrap();
            drop(properties);
            let (printed, said, code) = output(child);
            assert_ne!(code, Some(0), "{printed}");
            assert!(said.contains("[28P01]"), "{said}");
            assert!(
                !printed.contains(MARKER) && !said.contains(MARKER),
                "{said}"
            );
        }
    }
}
