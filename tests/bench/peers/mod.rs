//! The worker beside what people would write instead, in turn and in the same run: the same requests on the same server,
//! eight in flight. Each round starts each contestant anew, and the next round goes through them again.

pub(crate) mod contestant;
mod figures;
mod files;
pub(crate) mod postgres;
mod requests;

use std::time::{Duration, Instant};

use self::contestant::{Contestant, Installed, Running, optional};
use self::postgres::Postgres;
use self::requests::EXTENSIONS;
use crate::world::World;
use crate::{DATABASES, Requests, SETTLING};

pub(crate) use self::files::many_files;
pub(crate) use self::requests::{Resources, create};

/// How much is asked of each contestant in a round.
pub(crate) struct Size {
    in_sync: usize,
    light: usize,
    creates: usize,
    rounds: usize,
}

pub(crate) const QUICK: Size = Size {
    in_sync: 300,
    light: 60,
    creates: 12,
    rounds: 3,
};
pub(crate) const FULL: Size = Size {
    in_sync: 1_000,
    light: 100,
    creates: 24,
    rounds: 3,
};
const RESOURCES: usize = 10 * DATABASES;
/// From a process's start to when its memory is that at rest.
const AT_REST: Duration = Duration::from_secs(2);
/// How far the requests of a light load are apart.
const APART: Duration = Duration::from_millis(50);

/// What one contestant did in one round; times and latencies in milliseconds.
#[derive(Debug, Default, Clone)]
struct Sample {
    rest_mb: f64,
    peak_mb: f64,
    first: Vec<f64>,
    light: Vec<f64>,
    in_sync: Load,
    creates: Load,
}

/// A queue full of requests, and what it took to answer them.
#[derive(Debug, Default, Clone)]
struct Load {
    requests: usize,
    wall: f64,
    cpu: f64,
    postgres_cpu: f64,
}

pub(crate) async fn compare(size: &Size) {
    let load_average = std::fs::read_to_string("/proc/loadavg").unwrap();
    let installed = Installed::start().await;
    let world = World::on(installed.config().await, DATABASES).await;
    let postgres = Postgres::connect().await;
    let resources = resources(&world, &installed).await;
    let mut samples = Contestant::ALL.map(|which| (which, Vec::new()));
    for round in 1..=size.rounds {
        for (which, samples) in &mut samples {
            eprintln!("round {round} of {}: {}", size.rounds, which.name());
            let bench = Bench {
                which: *which,
                installed: &installed,
                world: &world,
                postgres: &postgres,
                resources: &resources,
            };
            samples.push(bench.round(size).await);
        }
    }
    let figures = figures::print(&samples);
    if let Some(file) = optional("PEERS_JSON") {
        let mut raw = figures::raw(&samples, figures);
        raw["load_average"] = load_average.trim().into();
        let (version, extensions) = postgres.version().await;
        raw["postgresql"] = version.into();
        raw["available_extensions"] = extensions.into();
        raw["emulator"] = installed.emulator().into();
        raw["installed"] = installed.paths["versions"].clone();
        raw["databases"] = DATABASES.into();
        raw["extensions"] = serde_json::json!(EXTENSIONS);
        let text = serde_json::to_string(&raw).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

/// Resources that the worker has created. They are enough for no two Updates of one to be in flight at the same time, as
/// CloudFormation sees to: the worker refuses an Update that a newer one has overtaken.
pub(crate) async fn resources(world: &World, installed: &Installed) -> Resources {
    let queue = world.queue().await;
    let _worker = Running::start(Contestant::Worker, installed, world, &queue);
    let databases = world.databases.iter().cycle().take(RESOURCES);
    let creates: Requests = databases.map(|name| create(world, name)).collect();
    world.send(&queue, &creates).await;
    world.answers(&creates, creates.len()).await;
    Resources::new(world, creates)
}

struct Bench<'a> {
    which: Contestant,
    installed: &'a Installed,
    world: &'a World,
    postgres: &'a Postgres,
    resources: &'a Resources,
}

impl Bench<'_> {
    async fn round(&self, size: &Size) -> Sample {
        let queue = self.world.queue().await;
        let process = Running::start(self.which, self.installed, self.world, &queue);
        tokio::time::sleep(AT_REST).await;
        let rest_mb = process.memory_mb("VmRSS:");
        let first = self
            .one_by_one(&queue, self.resources.updates(DATABASES))
            .await;
        let light = self.resources.updates(size.light);
        let light = self.one_by_one(&queue, light).await;
        let in_sync = self.resources.updates(size.in_sync);
        let in_sync = self.load(&process, &queue, in_sync).await;
        let fresh: Vec<String> = (0..size.creates)
            .map(|n| format!("{}_fresh_{n}", self.world.name))
            .collect();
        self.postgres.create_databases(&fresh).await;
        let creates = fresh.iter().map(|name| create(self.world, name)).collect();
        let creates = self.load(&process, &queue, creates).await;
        let peak_mb = process.memory_mb("VmHWM:");
        drop(process);
        self.postgres.drop_databases(&fresh).await;
        Sample {
            rest_mb,
            peak_mb,
            first,
            light,
            in_sync,
            creates,
        }
    }

    /// Latencies from the call that sends a request to its response, when nothing else is asked.
    async fn one_by_one(&self, queue: &str, requests: Requests) -> Vec<f64> {
        let mut latencies = Vec::new();
        for request in requests {
            tokio::time::sleep(APART).await;
            let sent = Instant::now();
            let request = [request];
            self.world.send(queue, &request).await;
            self.world.answers(&request, 1).await;
            let answered = self.world.answered_at(&request[0].0).unwrap();
            latencies.push((answered - sent).as_secs_f64() * 1e3);
        }
        latencies
    }

    /// Fills the queue while the process is stopped, and has it answer all of that.
    async fn load(&self, process: &Running, queue: &str, requests: Requests) -> Load {
        tokio::time::sleep(SETTLING).await;
        process.signal("STOP");
        self.world.send(queue, &requests).await;
        let (cpu, postgres_cpu) = (process.cpu(), self.postgres.cpu());
        let begun = Instant::now();
        process.signal("CONT");
        self.world.answers(&requests, requests.len()).await;
        let answered = requests
            .iter()
            .filter_map(|(id, _)| self.world.answered_at(id));
        let wall = answered.max().unwrap() - begun;
        // What is acknowledged later counts.
        tokio::time::sleep(SETTLING).await;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        Load {
            requests: requests.len(),
            wall: milliseconds(wall),
            cpu: milliseconds(process.cpu() - cpu),
            postgres_cpu: milliseconds(self.postgres.cpu() - postgres_cpu),
        }
    }
}
