//! The re-sync of a thousand databases that are as declared, against the least that a look at each can cost, and against
//! other ways to look. Times are of one run and of one machine: their ratios are the figures.

mod others;
mod resync;

use std::time::Duration;

use self::others::{Server, ansible, bare, psql};
use self::resync::Resyncs;
use crate::world::{World, variable};
use crate::{line, line_at_least, note};

const DATABASES: usize = 1_000;
/// Of which the memory is compared.
const FEW: usize = 100;
/// What takes its time is done to so many: a hundred tasks.
const FEWER: usize = FEW / resync::EXTENSIONS.len();
/// As many as the worker does at a time.
pub(crate) const AT_ONCE: usize = 4;
/// Of each way that is compared; the median counts.
const ROUNDS: usize = 3;

pub(crate) async fn fleet(world: &World) {
    let server = Server::new();
    let databases = copies(world, &server).await;
    let few = &databases[..FEWER];
    note("databases of the fleet", databases.len() as f64, "");
    memory(world, &databases).await;

    let resyncs = Resyncs::start(world).await;
    let silent = Resyncs::start_silent(world).await;
    // No measured request is the first to connect to a database.
    bare(&server, &databases).await;
    let (mut reports, mut repairs) = (Vec::new(), Vec::new());
    let (mut silents, mut bares) = (Vec::new(), Vec::new());
    let (mut cpu, mut bare_cpu) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let before = resyncs.worker.cpu();
        reports.push(resyncs.time("Report", &databases).await);
        cpu += resyncs.worker.cpu() - before;
        let before = own_cpu();
        bares.push(bare(&server, &databases).await);
        bare_cpu += own_cpu() - before;
        silents.push(silent.time("Report", &databases).await);
        repairs.push(resyncs.time("Repair", &databases).await);
    }
    let (report, repair, least) = (median(reports), median(repairs), median(bares));
    let what = "re-sync of a fleet, Report, to a bare loop";
    line(what, report / least, "", 1.5);
    let what = "re-sync of a fleet, Repair, to a bare loop";
    line(what, repair / least, "", 1.5);
    let what = "the same, Report, without a topic of results";
    note(what, median(silents) / least, "");
    let each = |milliseconds: f64| milliseconds / databases.len() as f64;
    note("milliseconds each, Report", each(report), "ms");
    note("milliseconds each, bare loop", each(least), "ms");
    let rounds = ROUNDS as f64;
    let of = |time: Duration| each(time.as_secs_f64() * 1e3 / rounds);
    note("of these CPU of the worker", of(cpu), "ms");
    note("of these CPU of the bare loop", of(bare_cpu), "ms");
    if let Some(time) = psql(&server, &databases).await {
        note(
            "re-sync, Report, to psql under xargs -P4",
            report / time,
            "",
        );
    }
    if let Some(time) = ansible(&server, few).await {
        // It is a task for each extension of a database.
        let each_ansible = time / few.len() as f64;
        let what = "Ansible to re-sync, for a database of four extensions";
        line_at_least(what, each_ansible / each(report), "times", 60.0);
        let of_one = each_ansible / resync::EXTENSIONS.len() as f64;
        note("milliseconds of Ansible for one of these", of_one, "ms");
    }
}

/// The peaks of two workers that each did nothing else.
async fn memory(world: &World, databases: &[String]) {
    let mut peaks = Vec::new();
    for databases in [&databases[..FEW], databases] {
        let resyncs = Resyncs::start(world).await;
        resyncs.time("Report", databases).await;
        peaks.push(resyncs.worker.peak_memory_mb());
    }
    let what = "peak resident memory, a fleet to 100 databases";
    line(what, peaks[1] / peaks[0], "", 1.1);
    note("peak resident memory, a fleet", peaks[1], "MB");
}

/// Databases that one Create made alike, by their names.
async fn copies(world: &World, server: &Server) -> Vec<String> {
    #[allow(
        clippy::disallowed_methods,
        reason = "make sets the number of databases"
    )]
    let requested = std::env::var("FLEET_DATABASES").ok();
    let count = requested.map_or(DATABASES, |count| count.parse().unwrap());
    let names: Vec<String> = (0..count)
        .map(|number| format!("{}_fleet_{number:04}", world.name))
        .collect();
    let admin = server.connect("postgres").await;
    let create = |name: &str| format!("CREATE DATABASE {name}");
    admin.batch_execute(&create(&names[0])).await.unwrap();
    resync::declare(world, &names[0]).await;
    for name in &names[1..] {
        let copy = format!("{} TEMPLATE {}", create(name), names[0]);
        admin.batch_execute(&copy).await.unwrap();
    }
    admin.batch_execute("CHECKPOINT").await.unwrap();
    names
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// CPU time of this program.
fn own_cpu() -> Duration {
    crate::worker::cpu_of("self")
}

/// Where a file of this run can be.
fn file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(&variable("RUN_DIR")).join(name)
}
