//! How the worker scales: with the databases of a re-sync, with workers on one queue, and with the requests in flight.

use std::time::Instant;

use serde_json::{Value, json};

use crate::fleet::copies;
use crate::fleet::others::Server;
use crate::fleet::resync::Resyncs;
use crate::peers::contestant::{Installed, optional};
use crate::peers::{Resources, resources};
use crate::worker::Worker;
use crate::world::{World, another_server};
use crate::{DATABASES, SETTLING, note};

const IN_SYNC: usize = 1_000;
/// Of the same load; the median counts.
const ROUNDS: usize = 3;
const WORKERS: [usize; 3] = [1, 2, 4];
const IN_FLIGHT: [usize; 3] = [1, 8, 64];
/// What each of several workers has in flight.
const OF_SEVERAL: usize = 8;
const FLEETS: [usize; 3] = [10, 100, 1_000];
/// The largest fleet has so many servers, each with the databases of the last of [`FLEETS`]: ports that lead to the one. Five
/// thousand databases of one server would need 37 GB of disk.
const SERVERS: usize = 5;

pub(crate) async fn scale(world: &World) {
    let fleets = fleets(world).await;
    let installed = Installed::start().await;
    let world = World::on(installed.config().await, DATABASES).await;
    let loads = Loads {
        resources: resources(&world, &installed).await,
        world: &world,
    };
    let (mut by_workers, mut by_places) = (Vec::new(), Vec::new());
    for workers in WORKERS {
        by_workers.push(loads.measure(workers, OF_SEVERAL).await);
    }
    for places in IN_FLIGHT {
        by_places.push(loads.measure(1, places).await);
    }
    if let Some(file) = optional("SCALE_JSON") {
        let raw = json!({
            "load_average": std::fs::read_to_string("/proc/loadavg").unwrap().trim(),
            "emulator": installed.emulator(),
            "requests": IN_SYNC,
            "fleets": fleets,
            "workers": by_workers,
            "in_flight": by_places,
        });
        std::fs::write(file, raw.to_string()).unwrap();
    }
}

/// Re-syncs of databases that are as declared.
async fn fleets(world: &World) -> Vec<Value> {
    let databases = copies(world, &Server::new()).await;
    let mut ports = Vec::new();
    for _ in 0..SERVERS {
        ports.push(another_server().await);
    }
    let mut measured = Vec::new();
    let sizes = FLEETS.map(|size| size.min(databases.len()));
    let fleets = sizes.map(|size| (&databases[..size], &[][..]));
    for (databases, ports) in fleets.into_iter().chain([(&databases[..], &ports[..])]) {
        let resyncs = Resyncs::start_silent(world).await;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(resyncs.time_on("Report", databases, ports).await);
        }
        times.sort();
        let count = databases.len() * ports.len().max(1);
        let each = times[ROUNDS / 2].as_secs_f64() * 1e3 / count as f64;
        let peak_mb = resyncs.worker.peak_memory_mb();
        note(&format!("re-sync of {count} databases, each"), each, "ms");
        note("peak resident memory", peak_mb, "MB");
        measured.push(json!({
            "databases": count, "servers": ports.len().max(1), "each_ms": each, "peak_mb": peak_mb,
        }));
    }
    measured
}

/// In-sync Updates that wait in a queue.
struct Loads<'a> {
    world: &'a World,
    resources: Resources,
}

impl Loads<'_> {
    async fn measure(&self, workers: usize, in_flight: usize) -> Value {
        let mut samples = Vec::new();
        for _ in 0..ROUNDS {
            samples.push(self.load(workers, in_flight).await);
        }
        samples.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (rate, cpu, peak_mb) = samples[ROUNDS / 2];
        let what = format!("workers: {workers}, in flight at each: {in_flight}");
        note(&what, rate, "requests/s");
        json!({
            "workers": workers, "in_flight": in_flight, "rate": rate, "cpu_ms": cpu, "peak_mb": peak_mb,
        })
    }

    /// Requests a second, CPU of the workers for each in milliseconds, and the peak memory of one.
    async fn load(&self, count: usize, in_flight: usize) -> (f64, f64, f64) {
        let queue = self.world.queue().await;
        let places = in_flight.to_string();
        let mut workers = Vec::new();
        for _ in 0..count {
            let settings = [("WORKER_CONCURRENCY", places.as_str())];
            workers.push(Worker::start(self.world, &queue, &settings).await);
        }
        // So that they have sessions with the databases.
        let met = DATABASES * 2 * count;
        let updates = self.resources.updates(met + IN_SYNC);
        let (first, updates) = updates.split_at(met);
        self.world.send(&queue, first).await;
        self.world.answers(first, first.len()).await;
        tokio::time::sleep(SETTLING).await;
        for worker in &workers {
            worker.signal("STOP");
        }
        self.world.send(&queue, updates).await;
        let cpu = |workers: &[Worker]| -> f64 {
            workers
                .iter()
                .map(|worker| worker.cpu().as_secs_f64())
                .sum()
        };
        let (before, begun) = (cpu(&workers), Instant::now());
        for worker in &workers {
            worker.signal("CONT");
        }
        self.world.answers(updates, updates.len()).await;
        let answered = updates
            .iter()
            .filter_map(|(id, _)| self.world.answered_at(id));
        let wall = answered.max().unwrap() - begun;
        tokio::time::sleep(SETTLING).await;
        let spent = (cpu(&workers) - before) * 1e3 / updates.len() as f64;
        let peak = workers
            .iter()
            .map(Worker::peak_memory_mb)
            .fold(0.0, f64::max);
        (updates.len() as f64 / wall.as_secs_f64(), spent, peak)
    }
}
