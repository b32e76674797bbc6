//! The worker's process, and what the system and the worker itself say of it.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::world::{World, variable};

/// Of Linux's `USER_HZ`, on every architecture that is of interest here.
const TICKS_PER_SECOND: u64 = 100;

/// A running worker, logging JSON to a file; killed at the end.
pub(crate) struct Worker {
    child: Child,
    metrics_url: String,
    /// One for all looks: to make one takes as long as some databases do.
    http: reqwest::Client,
}

/// Counts since the worker's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) handled: f64,
    pub(crate) sqs_calls: f64,
    pub(crate) receives: f64,
    /// Results of re-syncs that say that a database is as declared.
    pub(crate) in_sync: f64,
    /// Results of checks before an upgrade that say that nothing is to be done before.
    pub(crate) ready: f64,
}

impl Counts {
    /// From here to there.
    pub(crate) fn calls_per_message(&self, later: &Self) -> f64 {
        (later.sqs_calls - self.sqs_calls) / (later.handled - self.handled)
    }
}

impl Worker {
    /// Starts one on a queue, with defaults but for the places of this machine and `settings`.
    pub(crate) async fn start(world: &World, queue: &str, settings: &[(&str, &str)]) -> Self {
        let port = closed_port();
        let file = |end| {
            let name = format!("{}/bench-{port}.{end}", variable("RUN_DIR"));
            File::create(name).unwrap()
        };
        let child = Command::new(variable("WORKER_BINARY"))
            .arg("run")
            .env("WORKER_QUEUE_URL", queue)
            .env("WORKER_RESPONSE_ORIGIN", world.answers_origin())
            .env("WORKER_HOSTS", "127.0.0.1,localhost")
            .env("WORKER_HEALTH_ADDR", format!("127.0.0.1:{port}"))
            // Of an emulator of the bench's own, where the world is there.
            .envs(
                world
                    .config
                    .endpoint_url()
                    .map(|url| ("AWS_ENDPOINT_URL", url)),
            )
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("log"))
            .spawn()
            .unwrap();
        let worker = Self {
            child,
            metrics_url: format!("http://127.0.0.1:{port}/metrics"),
            http: reqwest::Client::new(),
        };
        while worker.http.get(&worker.metrics_url).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        worker
    }

    /// Stops it where it is (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// What the worker counted.
    pub(crate) async fn counts(&self) -> Counts {
        let response = self.http.get(&self.metrics_url).send().await.unwrap();
        let text = response.text().await.unwrap();
        let sum = |start: &str| {
            let lines = text.lines().filter(|line| line.starts_with(start));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum()
        };
        Counts {
            handled: sum("extension_worker_messages_handled_total"),
            sqs_calls: sum("extension_worker_sqs_calls_total"),
            receives: sum("extension_worker_sqs_calls_total{operation=\"ReceiveMessage\"}"),
            in_sync: sum("extension_worker_resync_databases_total{state=\"in_sync\"}"),
            ready: sum("extension_worker_resync_databases_total{state=\"ready\"}"),
        }
    }

    /// CPU time so far, in the program and in the kernel for it.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(&self.child.id().to_string())
    }

    /// The most memory that was ever resident, in MB.
    pub(crate) fn peak_memory_mb(&self) -> f64 {
        memory_mb(&self.child, "VmHWM:")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Stops a process where it is (`STOP`), or lets it go on (`CONT`).
pub(crate) fn signal(process: &Child, name: &str) {
    let id = process.id().to_string();
    let done = Command::new("kill").args(["-s", name, &id]).status();
    assert!(done.unwrap().success());
}

/// What is resident (`VmRSS:`), or was at most (`VmHWM:`), in MB.
pub(crate) fn memory_mb(process: &Child, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<f64>().unwrap() * 1024.0 / 1e6
}

/// CPU time of a process so far.
pub(crate) fn cpu_of(process: &str) -> Duration {
    cpu_fields(process, 11)
}

/// CPU time of this program's children that ended, and of theirs.
pub(crate) fn cpu_of_the_ended() -> Duration {
    cpu_fields("self", 13)
}

/// The sum of two fields of `/proc/…/stat`, by how many are before them behind the name.
fn cpu_fields(process: &str, before: usize) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name, which may hold anything: utime, stime, cutime and cstime are the 14th to the 17th field of all.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields = fields.split_whitespace().skip(before).take(2);
    let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// A port that is closed.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
