//! The worker on a server whose extension directory has thousands of files, beside the same server with those that it has.

use std::fs;
use std::path::PathBuf;

use super::contestant::{Contestant, Installed};
use super::figures::{cpu, median, percentile, postgres_cpu};
use super::postgres::Postgres;
use super::{Bench, DATABASES, Sample, Size, resources};
use crate::world::{World, variable};
use crate::{line, note};

/// Each has a control file, a script and a script of an update.
const MORE_EXTENSIONS: usize = 1_000;

/// A figure, and how it is computed.
type Figure = (&'static str, fn(&[Sample]) -> f64);

/// Of which the less the better.
const FIGURES: [Figure; 6] = [
    ("milliseconds per in-sync request, under load", |s| {
        1e3 / median(s, |s| s.in_sync.rate())
    }),
    ("PostgreSQL CPU per in-sync request", |s| {
        postgres_cpu(s, |s| &s.in_sync)
    }),
    ("worker CPU per in-sync request", |s| cpu(s, |s| &s.in_sync)),
    ("first request to a database, p50", |s| {
        percentile(s, |s| &s.first, 0.5)
    }),
    ("milliseconds per Create, under load", |s| {
        1e3 / median(s, |s| s.creates.rate())
    }),
    ("PostgreSQL CPU per Create", |s| {
        postgres_cpu(s, |s| &s.creates)
    }),
];

pub(crate) async fn many_files(size: &Size) {
    let installed = Installed::start().await;
    let world = World::on(installed.config().await, DATABASES).await;
    let postgres = Postgres::connect().await;
    let resources = resources(&world, &installed).await;
    let bench = Bench {
        which: Contestant::Worker,
        installed: &installed,
        world: &world,
        postgres: &postgres,
        resources: &resources,
    };
    let (mut few, mut many) = (Vec::new(), Vec::new());
    let had = files();
    let mut have = had;
    for round in 1..=size.rounds {
        eprintln!("round {round} of {}", size.rounds);
        few.push(bench.round(size).await);
        let more = MoreFiles::create();
        have = files();
        many.push(bench.round(size).await);
        drop(more);
    }
    println!("a server with {have} files in its extension directory, to one with {had}");
    for (what, of) in FIGURES {
        line(what, of(&many) / of(&few), "", 1.2);
        note("with the fewer", of(&few), "ms");
    }
}

fn directory() -> PathBuf {
    PathBuf::from(variable("PG_EXTENSION_DIR"))
}

fn files() -> usize {
    fs::read_dir(directory()).unwrap().count()
}

/// Files of extensions that no request declares; removed at the end.
struct MoreFiles(Vec<PathBuf>);

impl MoreFiles {
    fn create() -> Self {
        let control = "comment = 'one of many'\ndefault_version = '1.1'\nrelocatable = true\n";
        let mut made = Self(Vec::new());
        for number in 0..MORE_EXTENSIONS {
            let name = format!("bench_{number:04}");
            made.add(&format!("{name}.control"), control);
            made.add(&format!("{name}--1.0.sql"), "-- Nothing.\n");
            made.add(&format!("{name}--1.0--1.1.sql"), "-- Nothing.\n");
        }
        made
    }

    fn add(&mut self, name: &str, text: &str) {
        let file = directory().join(name);
        self.0.push(file.clone());
        fs::write(file, text).unwrap();
    }
}

impl Drop for MoreFiles {
    fn drop(&mut self) {
        for file in &self.0 {
            // Nothing else can be done about one that stays.
            drop(fs::remove_file(file));
        }
    }
}
