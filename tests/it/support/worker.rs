//! The real binary.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{World, eventually, print_log_of_failed_test, variable};

/// Where the servers of the tests are.
const HOSTS: &str = "127.0.0.1,localhost";

/// A running worker. It is killed when the test ends; a test that goes on after it stops it with SIGTERM, as a receive
/// that is cut off can still be handed a message.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
    output: PathBuf,
}

/// The binary, with a clean environment but for the way to the services.
pub(crate) fn worker_binary() -> Command {
    Command::new(variable("WORKER_BINARY"))
}

impl Worker {
    /// Starts a worker on the world's queue; `settings` are further variables.
    pub(crate) fn start(world: &World, settings: &[(&str, &str)]) -> Self {
        Self::start_binary(worker_binary(), world, settings)
    }

    /// Starts one with `PGSSLMODE` unset, as the worker itself has it, where `settings` do not say otherwise.
    pub(crate) fn start_verifying(world: &World, settings: &[(&str, &str)]) -> Self {
        let mut binary = worker_binary();
        binary.env_remove("PGSSLMODE");
        Self::start_binary(binary, world, settings)
    }

    /// Starts one in which points of `worker/src/process/failpoint.rs` do what is said: `before-answer=return`.
    pub(crate) fn start_with_failpoints(
        world: &World,
        points: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut binary = Command::new(variable("WORKER_FAILPOINTS_BINARY"));
        binary.env("FAILPOINTS", points);
        Self::start_binary(binary, world, settings)
    }

    fn start_binary(binary: Command, world: &World, settings: &[(&str, &str)]) -> Self {
        let output = run_file("out");
        let to = File::create(&output).unwrap();
        let mut worker = Self::launch(binary, to.into(), world, settings);
        worker.output = output;
        worker
    }

    /// Starts one whose standard output is the caller's to read.
    pub(crate) fn start_writing_to(
        stdout: Stdio,
        world: &World,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::launch(worker_binary(), stdout, world, settings)
    }

    fn launch(
        mut binary: Command,
        stdout: Stdio,
        world: &World,
        settings: &[(&str, &str)],
    ) -> Self {
        let log = run_file("log");
        let child = binary
            .arg("run")
            .env("WORKER_QUEUE_URL", &world.queue_url)
            .env("WORKER_DEAD_LETTER_QUEUE_URL", &world.dead_letter_queue_url)
            .env("WORKER_TOPIC_ARNS", &world.topic_arn)
            .env("WORKER_RESPONSE_ORIGIN", variable("AWS_ENDPOINT_URL"))
            .env("WORKER_RECEIVE_WAIT_SECONDS", "1")
            .env("WORKER_HOSTS", HOSTS)
            .env("WORKER_LOG_FORMAT", "json")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            log,
            output: PathBuf::new(),
        }
    }

    /// All that it wrote to standard output so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// All that it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had resident, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Waits for a text in the log.
    pub(crate) async fn logged(&self, text: &str) {
        eventually(&format!("the log line {text:?}"), async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Waits until a text was logged so many times.
    pub(crate) async fn logged_times(&self, text: &str, times: usize) {
        eventually(&format!("{times} log lines {text:?}"), async || {
            (self.log().matches(text).count() >= times).then_some(())
        })
        .await;
    }

    /// Sends a signal: `TERM`, `INT`, `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Waits for its end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        eventually("the worker's end", async || self.child.try_wait().unwrap()).await
    }
}

/// Starts `plan` of the extension `hstore` in the database that a URL names.
pub(crate) fn start_plan(url: &str, timeout_seconds: u32, stderr: impl Into<Stdio>) -> Child {
    let mut child = worker_binary()
        .args(["plan", "--url", url, "--timeout-seconds"])
        .args([&timeout_seconds.to_string(), "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let properties = b"{\"Extensions\": [\"hstore\"]}";
    child.stdin.take().unwrap().write_all(properties).unwrap();
    child
}

fn run_file(kind: &str) -> PathBuf {
    PathBuf::from(variable("RUN_DIR")).join(format!("worker-{}.{kind}", uuid::Uuid::new_v4()))
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended is no fault.
        drop(self.child.kill());
        self.child.wait().unwrap();
        print_log_of_failed_test("the worker's log", || self.log());
    }
}
