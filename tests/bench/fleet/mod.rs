//! The re-sync of a thousand databases that are as declared, against the least that a look at each can cost, and against
//! other ways to look. Times are of one run and of one machine: their ratios are the figures.

pub(crate) mod others;
pub(crate) mod resync;

use std::time::Duration;

use self::others::{Server, ansible, bare, psql, psql_for_each_check};
use self::resync::{ONE_SERVER_AT_A_TIME, Resyncs};
use crate::peers::contestant::optional;
use crate::peers::postgres::Postgres;
use crate::worker::cpu_of_the_ended;
use crate::world::{World, another_server, variable};
use crate::{line, line_at_least, note};

const DATABASES: usize = 1_000;
/// Of which the memory is compared, with that of all databases of each of the servers.
const FEW: usize = 100;
const SERVERS: usize = 5;
/// What takes its time is done to so many: a hundred tasks.
const FEWER: usize = FEW / resync::EXTENSIONS.len();
/// As many as the worker does at a time.
const AT_ONCE: usize = 4;
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
    let postgres = Postgres::connect().await;
    let (mut cpu, mut bare_cpu) = ([Duration::ZERO; 2], [Duration::ZERO; 2]);
    for _ in 0..ROUNDS {
        let before = [resyncs.worker.cpu(), postgres.cpu()];
        reports.push(resyncs.time("Report", &databases).await);
        add(&mut cpu, [resyncs.worker.cpu(), postgres.cpu()], before);
        let before = [own_cpu(), postgres.cpu()];
        bares.push(bare(&server, &databases).await);
        add(&mut bare_cpu, [own_cpu(), postgres.cpu()], before);
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
    note("CPU of the worker for each", of(cpu[0]), "ms");
    note("CPU of the bare loop for each", of(bare_cpu[0]), "ms");
    note("CPU of PostgreSQL for each, Report", of(cpu[1]), "ms");
    note(
        "CPU of PostgreSQL for each, bare loop",
        of(bare_cpu[1]),
        "ms",
    );
    if let Some(time) = psql(&server, &databases).await {
        line(
            "re-sync, Report, to psql under xargs -P4",
            report / time,
            "",
            0.5,
        );
    }
    upgrade_check([&resyncs, &silent], &server, &databases).await;
    if let Some(time) = ansible(&server, few).await {
        // It is a task for each extension of a database.
        let each_ansible = time / few.len() as f64;
        let what = "Ansible to re-sync, for a database of four extensions";
        line_at_least(what, each_ansible / each(report), "times", 60.0);
        let of_one = each_ansible / resync::EXTENSIONS.len() as f64;
        note("milliseconds of Ansible for one of these", of_one, "ms");
    }
}

/// The check before an upgrade alone.
pub(crate) async fn upgrade_checks(world: &World) {
    let server = Server::new();
    let databases = copies(world, &server).await;
    note("databases of the fleet", databases.len() as f64, "");
    let (resyncs, silent) = (
        Resyncs::start(world).await,
        Resyncs::start_silent(world).await,
    );
    // The first connection to a database costs more.
    bare(&server, &databases).await;
    upgrade_check([&resyncs, &silent], &server, &databases).await;
}

/// A check before an upgrade, by a worker that publishes the results and by one that has them in its log alone, as psql has them
/// in its output: against a psql for each check of each database.
async fn upgrade_check(
    [resyncs, silent]: [&Resyncs<'_>; 2],
    server: &Server,
    databases: &[String],
) {
    let postgres = Postgres::connect().await;
    let cpu = || silent.worker.cpu() + postgres.cpu();
    let (mut published, mut checks) = (Vec::new(), Vec::new());
    // Behind a publication the emulator goes on for some time.
    let before = cpu();
    for _ in 0..ROUNDS {
        checks.push(silent.time_upgrade_check(databases).await);
    }
    let of_cpu = (cpu() - before).as_secs_f64() * 1e3 / (ROUNDS * databases.len()) as f64;
    for _ in 0..ROUNDS {
        published.push(resyncs.time_upgrade_check(databases).await);
    }
    let each = median(checks) / databases.len() as f64;
    let each_published = median(published) / databases.len() as f64;
    note("milliseconds each, upgrade-check", each, "ms");
    note("the same with a topic of results", each_published, "ms");
    note("CPU of the worker and PostgreSQL for each", of_cpu, "ms");
    let few = &databases[..databases.len().min(FEW)];
    let cpu = || cpu_of_the_ended() + postgres.cpu();
    let before = cpu();
    if let Some(time) = psql_for_each_check(server, few).await {
        let psql_cpu = (cpu() - before).as_secs_f64() * 1e3 / few.len() as f64;
        note("CPU of psql and PostgreSQL for each", psql_cpu, "ms");
        let each_psql = time / few.len() as f64;
        let what = "psql for each check of a database to upgrade-check";
        line_at_least(what, each_psql / each, "times", 20.0);
        note(
            "the same with a topic of results",
            each_psql / each_published,
            "times",
        );
    }
}

/// The peaks of two workers that each did nothing else. To a worker, ports that lead to the one server are servers.
async fn memory(world: &World, databases: &[String]) {
    let mut ports = Vec::new();
    for _ in 0..SERVERS {
        ports.push(another_server().await);
    }
    let mut peaks = Vec::new();
    for databases in [&databases[..FEW / SERVERS], databases] {
        let resyncs = Resyncs::start_silent_with(world, &[ONE_SERVER_AT_A_TIME]).await;
        resyncs.time_on("Report", databases, &ports).await;
        peaks.push(resyncs.worker.peak_memory_mb());
    }
    let what = format!(
        "peak memory, {} databases to {FEW}",
        SERVERS * databases.len()
    );
    line(&what, peaks[1] / peaks[0], "", 1.1);
    note("peak resident memory, the more databases", peaks[1], "MB");
}

/// Databases that one Create made alike, by their names.
pub(crate) async fn copies(world: &World, server: &Server) -> Vec<String> {
    copies_of(world, server, fleet_size()).await
}

/// How many databases a fleet has.
pub(crate) fn fleet_size() -> usize {
    optional("FLEET_DATABASES").map_or(DATABASES, |count| count.parse().unwrap())
}

/// So many databases.
pub(crate) async fn copies_of(world: &World, server: &Server, count: usize) -> Vec<String> {
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

/// Adds what two processes needed.
fn add(sums: &mut [Duration; 2], after: [Duration; 2], before: [Duration; 2]) {
    for (sum, (after, before)) in sums.iter_mut().zip(after.into_iter().zip(before)) {
        *sum += after - before;
    }
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
