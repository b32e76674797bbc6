//! The contestants: how each is started on a queue, and the emulator that all of them use.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::worker::{closed_port, cpu_of, memory_mb, signal};
use crate::world::{World, aws_config, variable};

/// How long an emulator may take to start.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    Loop,
    Node,
    Python,
    Worker,
}

impl Contestant {
    pub(crate) const ALL: [Self; 4] = [Self::Loop, Self::Node, Self::Python, Self::Worker];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loop => "bare Rust loop",
            Self::Node => "Node, sqs-consumer + pg",
            Self::Python => "Python, boto3 + psycopg2",
            Self::Worker => "this worker",
        }
    }
}

/// What `install.py` has installed, and what it is.
pub(crate) struct Installed {
    pub(crate) paths: Value,
    /// Where the emulator is that all use.
    endpoint: String,
    /// A faster emulator, if LocalStack is not asked for.
    emulator: Option<Child>,
}

impl Installed {
    /// Installs what is missing, and starts the emulator.
    pub(crate) async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers/install.py");
        let mut install = Command::new(variable("LOCALSTACK_PYTHON"));
        let done = install.arg(script).stderr(Stdio::inherit()).output();
        let paths = serde_json::from_slice(&done.unwrap().stdout).unwrap();
        let mut installed = Self {
            paths,
            endpoint: variable("AWS_ENDPOINT_URL"),
            emulator: None,
        };
        if optional("PEERS_EMULATOR").is_none_or(|name| name != "localstack") {
            installed.start_emulator().await;
        }
        installed
    }

    async fn start_emulator(&mut self) {
        let port = closed_port();
        let mut command = interpreter(self, "python", "emulator");
        command
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("LOG_LEVEL", "WARNING");
        self.endpoint = format!("http://127.0.0.1:{port}");
        self.emulator = Some(spawn(command, "peers-emulator"));
        let until = Instant::now() + TIMEOUT;
        while reqwest::get(&self.endpoint).await.is_err() {
            assert!(Instant::now() < until, "the emulator does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn config(&self) -> aws_config::SdkConfig {
        aws_config().endpoint_url(&self.endpoint).load().await
    }

    pub(crate) fn emulator(&self) -> &'static str {
        if self.emulator.is_some() {
            "ministack"
        } else {
            "LocalStack"
        }
    }

    fn path(&self, name: &str) -> &str {
        self.paths[name].as_str().unwrap()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Some(emulator) = &mut self.emulator {
            emulator.kill().unwrap();
            emulator.wait().unwrap();
        }
    }
}

/// A running contestant; killed at the end.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(
        which: Contestant,
        installed: &Installed,
        world: &World,
        queue: &str,
    ) -> Self {
        let mut command = match which {
            Contestant::Loop => Command::new(variable("BARE_LOOP_BINARY")),
            Contestant::Node => interpreter(installed, "node", "consumer"),
            Contestant::Python => interpreter(installed, "python", "handler"),
            Contestant::Worker => Command::new(variable("WORKER_BINARY")),
        };
        if which == Contestant::Worker {
            command
                .arg("run")
                .env("WORKER_QUEUE_URL", queue)
                .env("WORKER_RESPONSE_ORIGIN", world.answers_origin())
                .env("WORKER_HOSTS", "127.0.0.1,localhost")
                .env("WORKER_HEALTH_ADDR", format!("127.0.0.1:{}", closed_port()))
                .env("WORKER_CONCURRENCY", "8");
        } else {
            command.arg(queue);
        }
        command.env("AWS_ENDPOINT_URL", &installed.endpoint);
        Self(spawn(command, &format!("peers-{which:?}")))
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.0, name);
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(&self.0.id().to_string())
    }

    pub(crate) fn memory_mb(&self, field: &str) -> f64 {
        memory_mb(&self.0, field)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn interpreter(installed: &Installed, program: &str, script: &str) -> Command {
    let mut command = Command::new(installed.path(program));
    command.arg(installed.path(script));
    command
}

/// Starts a program whose output goes to a file of the run.
fn spawn(mut command: Command, log: &str) -> Child {
    let file = format!("{}/{log}.log", variable("RUN_DIR"));
    let log = File::options().create(true).append(true).open(file);
    let log = log.unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A variable that may be set for `make bench`.
pub(crate) fn optional(name: &str) -> Option<String> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the program reads from make what to compare"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
