//! What the worker costs, measured on the real binary between a real LocalStack and a real PostgreSQL: `make bench`.
//!
//! CPU time, counts and ratios within one run say something on any machine; how long a request takes does not, and is
//! no figure here. The program fails where the worker does not answer, never where a target is missed.

#![allow(clippy::print_stdout, reason = "the table is what the program is for")]
#![allow(clippy::print_stderr, reason = "what is being measured, while it is")]

mod fair;
#[path = "../fair_queue/mod.rs"]
mod fair_queue;
mod fleet;
mod peers;
mod scale;
mod worker;
mod world;

use std::time::{Duration, Instant};

use serde_json::Value;

use worker::{Worker, closed_port};
use world::{World, another_server};

const DATABASES: usize = 20;
const REQUESTS: usize = 2_000;
/// At the start of a load receives find fewer messages than there are, and at its end fewer than ten.
const EDGE: usize = 200;
const IDLE: Duration = Duration::from_secs(60);
/// How far the requests of a light load are apart.
const APART: Duration = Duration::from_millis(150);
const LIVING: usize = 9;
const ROUNDS: usize = 10;
/// For acknowledgements, which are gathered for 100 ms, to be sent.
const SETTLING: Duration = Duration::from_millis(500);

type Requests = Vec<(String, Value)>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    extension_worker::process::tls::install_provider();
    // `cargo bench` adds an option of its own.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |figure: &str| asked.is_empty() || asked.iter().any(|name| name == figure);
    if asked.iter().any(|name| name == "peers-quick") {
        peers::compare(&peers::QUICK).await;
    } else if wanted("peers") {
        peers::compare(&peers::FULL).await;
    }
    if wanted("files") {
        peers::many_files(&peers::QUICK).await;
    }
    let has_own_world = |name: &String| name.starts_with("peers") || name == "files";
    if asked.iter().all(has_own_world) && !asked.is_empty() {
        return;
    }
    let world = World::new(DATABASES).await;
    println!("{:58} {:>10}  target", "", "measured");
    if wanted("in-sync") {
        in_sync(&world).await;
    }
    if wanted("load") {
        full_load(&world).await;
    }
    if wanted("idle") {
        idle(&world).await;
    }
    if wanted("fleet") {
        fleet::fleet(&world).await;
    } else if wanted("upgrade-check") {
        fleet::upgrade_checks(&world).await;
    }
    if wanted("fair") {
        fair::fair(&world).await;
    }
    if wanted("scale") {
        scale::scale(&world).await;
    }
    if wanted("dead-server") {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        dead_server(&world, "refuses", closed_port()).await;
        // The kernel accepts for who does not.
        dead_server(&world, "is silent", silent.local_addr().unwrap().port()).await;
    }
}

/// A line of the table: a figure and the most that it should be.
fn line(what: &str, measured: f64, unit: &str, target: f64) {
    let verdict = if measured <= target { "" } else { "  missed" };
    let measured = format!("{measured:.3} {unit}");
    println!("{what:58} {measured:>10}  <= {target} {unit}{verdict}");
}

/// The same with the least that it should be.
fn line_at_least(what: &str, measured: f64, unit: &str, target: f64) {
    let verdict = if measured >= target { "" } else { "  missed" };
    let measured = format!("{measured:.1} {unit}");
    println!("{what:58} {measured:>10}  >= {target} {unit}{verdict}");
}

fn note(what: &str, measured: f64, unit: &str) {
    println!("  {what:56} {:>10}", format!("{measured:.3} {unit}"));
}

async fn in_sync(world: &World) {
    let (worker, requests) = loaded(world, &[("WORKER_CONCURRENCY", "8")]).await;
    let before = worker.cpu();
    worker.signal("CONT");
    world.answers(&requests, REQUESTS).await;
    tokio::time::sleep(SETTLING).await;
    let spent = (worker.cpu() - before).as_secs_f64() * 1e3 / REQUESTS as f64;
    line("CPU per in-sync request, 8 in flight", spent, "ms", 0.5);
}

async fn full_load(world: &World) {
    let (worker, requests) = loaded(world, &[("WORKER_CONCURRENCY", "64")]).await;
    worker.signal("CONT");
    let start = worker.counts().await;
    world.answers(&requests, EDGE).await;
    let early = worker.counts().await;
    world.answers(&requests, REQUESTS - EDGE).await;
    let late = worker.counts().await;
    world.answers(&requests, REQUESTS).await;
    tokio::time::sleep(SETTLING).await;
    let end = worker.counts().await;
    line(
        "peak resident memory, 64 in flight",
        worker.peak_memory_mb(),
        "MB",
        25.0,
    );
    line(
        "SQS calls per message, 64 in flight",
        early.calls_per_message(&late),
        "",
        0.2,
    );
    note(
        "with the load's beginning and end",
        start.calls_per_message(&end),
        "",
    );
}

/// A worker that has met every database, stopped where it is, and its queue full of requests.
async fn loaded(world: &World, settings: &[(&str, &str)]) -> (Worker, Requests) {
    let queue = world.queue().await;
    let worker = Worker::start(world, &queue, settings).await;
    let first: Requests = (0..DATABASES).map(|n| world.request(n, None)).collect();
    world.send(&queue, &first).await;
    world.answers(&first, DATABASES).await;
    tokio::time::sleep(SETTLING).await;
    worker.signal("STOP");
    let requests: Requests = (0..REQUESTS)
        .map(|n| world.request(n % DATABASES, None))
        .collect();
    world.send(&queue, &requests).await;
    (worker, requests)
}

async fn idle(world: &World) {
    let worker = Worker::start(world, &world.queue().await, &[]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (counts, cpu) = (worker.counts().await, worker.cpu());
    tokio::time::sleep(IDLE).await;
    let spent = worker.cpu() - cpu;
    let receives = worker.counts().await.receives - counts.receives;
    let minutes = IDLE.as_secs_f64() / 60.0;
    line(
        "receives of an idle worker, a minute",
        receives / minutes,
        "",
        3.0,
    );
    let share = spent.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    line("CPU of an idle worker", share, "%", 0.1);
}

/// The other nine servers' requests, with and without those of a tenth server that is dead.
async fn dead_server(world: &World, how: &str, dead: u16) {
    let queue = world.queue().await;
    let _worker = Worker::start(world, &queue, &[]).await;
    let mut ports = Vec::new();
    for _ in 0..LIVING {
        ports.push(another_server().await);
    }
    // The first requests connect.
    light_load(world, &queue, &ports, None).await;
    let without = light_load(world, &queue, &ports, None).await;
    let with = light_load(world, &queue, &ports, Some(dead)).await;
    let what = format!("nine servers' median, a tenth that {how}, to that without");
    line(&what, with / without, "", 1.2);
    note("milliseconds without", without, "ms");
}

/// The median of the times, in milliseconds, from sending a request to its answer; those to a dead server do not count.
async fn light_load(world: &World, queue: &str, ports: &[u16], dead: Option<u16>) -> f64 {
    let (mut sent, mut requests) = (Vec::new(), Requests::new());
    for _ in 0..ROUNDS {
        for (database, port) in ports.iter().enumerate() {
            tokio::time::sleep(APART).await;
            let request = world.request(database, Some(*port));
            sent.push(Instant::now());
            world.send(queue, std::slice::from_ref(&request)).await;
            requests.push(request);
        }
        if let Some(port) = dead {
            world
                .send(queue, &[world.request(LIVING, Some(port))])
                .await;
        }
    }
    world.answers(&requests, requests.len()).await;
    let mut times: Vec<Duration> = requests
        .iter()
        .zip(sent)
        .filter_map(|((id, _), sent)| Some(world.answered_at(id)? - sent))
        .collect();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}
