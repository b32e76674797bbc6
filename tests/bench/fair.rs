//! What a re-sync of a fleet adds to the time of stacks' requests, behind a queue that hands out messages as SQS's fair queues
//! do: in turn with none, with a queue that hands them out as they arrived, and with looks at databases that another process
//! than the worker takes, which is what PostgreSQL and the machine add.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::fair_queue::{FairQueue, Order};
use crate::fleet::others::{Server, bare_at_once};
use crate::fleet::resync::Resyncs;
use crate::fleet::{copies_of, fleet_size};
use crate::peers::contestant::Installed;
use crate::peers::{Resources, resources};
use crate::world::{World, another_server};
use crate::{DATABASES, Requests, line, note};

/// Ports that lead to the one server: to the worker, servers. It works on eight at a time, and the others wait.
const SERVERS: usize = 20;
/// Databases of each, where `FLEET_DATABASES` is not less: five thousand in all.
const EACH: usize = 250;
const ROUNDS: usize = 2;
/// How far requests are apart, as long as one takes no longer.
const APART: Duration = Duration::from_millis(50);
/// Without a re-sync.
const IDLE: Duration = Duration::from_secs(15);
/// Looks by another process at the same time: as the worker does while requests come in.
const LOOKS_AT_ONCE: usize = 1;
/// For each database to be met.
const WARM_UP: Duration = Duration::from_secs(2);

pub(crate) async fn fair(fleet: &World) {
    let databases = copies_of(fleet, &Server::new(), fleet_size().min(EACH)).await;
    let installed = Installed::start().await;
    let world = World::on(installed.config().await, DATABASES).await;
    let endpoint = world.config.endpoint_url().unwrap();
    let bench = Bench {
        resources: resources(&world, &installed).await,
        queues: [
            FairQueue::start(endpoint, Order::Fair).await,
            FairQueue::start(endpoint, Order::Arrival).await,
        ],
        ports: ports(),
        databases,
        world: &world,
    };
    let mut latencies = Latencies::default();
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        bench.round(&mut latencies).await;
    }
    latencies.print(bench.databases.len() * SERVERS);
}

struct Bench<'a> {
    world: &'a World,
    resources: Resources,
    /// One that is fair, and one that is not.
    queues: [FairQueue; 2],
    ports: Vec<u16>,
    databases: Vec<String>,
}

impl Bench<'_> {
    async fn round(&self, latencies: &mut Latencies) {
        let [fair, by_arrival] = [&self.queues[0], &self.queues[1]].map(FairQueue::endpoint);
        let settings = |endpoint| [("AWS_ENDPOINT_URL_SQS", endpoint)];
        let resyncs = Resyncs::start_silent_with(self.world, &settings(fair.as_str())).await;
        self.requests(&resyncs, tokio::time::sleep(WARM_UP)).await;
        let (of, ()) = self.requests(&resyncs, tokio::time::sleep(IDLE)).await;
        latencies.idle.extend(of);
        let resync = resyncs.time_on("Report", &self.databases, &self.ports);
        let (of, time) = self.requests(&resyncs, resync).await;
        latencies.resync.extend(of);
        latencies.times.push(time);
        let (of, ()) = self.requests(&resyncs, self.looks(time)).await;
        latencies.looks.extend(of);
        drop(resyncs);
        let resyncs = Resyncs::start_silent_with(self.world, &settings(by_arrival.as_str())).await;
        self.requests(&resyncs, tokio::time::sleep(WARM_UP)).await;
        let resync = resyncs.time_on("Report", &self.databases, &self.ports);
        let (of, _) = self.requests(&resyncs, resync).await;
        latencies.by_arrival.extend(of);
    }

    /// Updates of resources that are in sync, one after the other until something else is over: how long each took, in
    /// milliseconds from sending to the response.
    async fn requests<T>(
        &self,
        resyncs: &Resyncs<'_>,
        until: impl Future<Output = T>,
    ) -> (Vec<f64>, T) {
        let queue = resyncs.queue();
        let (mut sent, mut requests) = (Vec::new(), Requests::new());
        let mut updates = self.resources.endless_updates();
        let sending = async {
            for update in &mut updates {
                tokio::time::sleep(APART).await;
                sent.push(Instant::now());
                self.world.send(queue, std::slice::from_ref(&update)).await;
                requests.push(update);
                self.world.answers(&requests[requests.len() - 1..], 1).await;
            }
        };
        let result = tokio::select! {
            () = sending => unreachable!("there are always more"),
            result = until => result,
        };
        // The last was not sent, where it is not among the requests.
        self.world.answers(&requests, requests.len()).await;
        let answered = requests.iter().zip(sent);
        let times = answered.map(|((id, _), sent)| {
            let answered = self.world.answered_at(id).unwrap();
            (answered - sent).as_secs_f64() * 1e3
        });
        (times.collect(), result)
    }

    /// Looks at the databases for so long, by a thread that has nothing else to do.
    async fn looks(&self, time: Duration) {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, databases) = (Arc::clone(&stop), self.databases.clone());
        let looking = thread::spawn(move || {
            let server = Server::new();
            runtime().block_on(async {
                while !stopped.load(Relaxed) {
                    bare_at_once(&server, &databases, LOOKS_AT_ONCE).await;
                }
            });
        });
        tokio::time::sleep(time).await;
        stop.store(true, Relaxed);
        tokio::task::spawn_blocking(move || looking.join().unwrap())
            .await
            .unwrap();
    }
}

/// In milliseconds.
#[derive(Debug, Default)]
struct Latencies {
    idle: Vec<f64>,
    resync: Vec<f64>,
    looks: Vec<f64>,
    by_arrival: Vec<f64>,
    /// Of the re-syncs.
    times: Vec<Duration>,
}

impl Latencies {
    fn print(mut self, databases: usize) {
        let idle = percentile(&mut self.idle, 99);
        let resync = percentile(&mut self.resync, 99);
        let what = format!("p99 of a stack, {databases} databases under re-sync");
        line(&what, resync / idle, "", 1.2);
        let least = percentile(&mut self.looks, 99);
        note("the same, looks by another process", least / idle, "");
        let by_arrival = percentile(&mut self.by_arrival, 99);
        note("re-sync, by arrival", by_arrival / idle, "");
        for (what, mut of) in [
            ("idle", self.idle),
            ("re-sync", self.resync),
            ("looks by another process", self.looks),
            ("re-sync, by arrival", self.by_arrival),
        ] {
            let (p50, p99) = (percentile(&mut of, 50), percentile(&mut of, 99));
            note(&format!("p50, {what}, {} requests", of.len()), p50, "ms");
            note(&format!("p99, {what}"), p99, "ms");
        }
        let time: Duration = self.times.iter().sum();
        let each = time.as_secs_f64() * 1e3 / (databases * self.times.len()) as f64;
        note("milliseconds for each database of the re-sync", each, "ms");
    }
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// Ports that lead to the server, by a thread that has nothing else to do.
fn ports() -> Vec<u16> {
    let (sender, ports) = std::sync::mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            for _ in 0..SERVERS {
                sender.send(another_server().await).unwrap();
            }
            std::future::pending::<()>().await;
        });
    });
    ports.iter().take(SERVERS).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}
