//! The server from outside: what its processes cost, and databases that nothing has connected to.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::world::variable;

const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Postgres {
    admin: Client,
    /// The process that the others are children of.
    postmaster: String,
}

impl Postgres {
    /// A session with the server, whose autovacuum and other work of its own is stopped.
    pub(crate) async fn connect() -> Self {
        let server = format!(
            "host={} port={} user={} password={} dbname=postgres",
            variable("PGHOST"),
            variable("PGPORT"),
            variable("PGUSER"),
            variable("PGPASSWORD"),
        );
        let (admin, connection) = tokio_postgres::connect(&server, NoTls).await.unwrap();
        tokio::spawn(connection);
        for sql in [
            "ALTER SYSTEM SET autovacuum = off",
            "ALTER SYSTEM SET checkpoint_timeout = '1h'",
            "SELECT pg_reload_conf()",
        ] {
            admin.batch_execute(sql).await.unwrap();
        }
        let file = Path::new(&variable("RUN_DIR")).join("postgres/data/postmaster.pid");
        let postmaster = fs::read_to_string(file).unwrap();
        Self {
            admin,
            postmaster: postmaster.lines().next().unwrap().to_owned(),
        }
    }

    /// CPU time of the server so far: of the processes that run, which the kernel states exactly, and of those that ended,
    /// which it adds to their parent's.
    pub(crate) fn cpu(&self) -> Duration {
        let mut sum = of_process(&self.postmaster) + of_the_ended(&self.postmaster);
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let process = entry.file_name().to_string_lossy().into_owned();
            if process.starts_with(|first: char| first.is_ascii_digit())
                && fields(&process).is_some_and(|fields| fields[1] == self.postmaster)
            {
                sum += of_process(&process);
            }
        }
        sum
    }

    pub(crate) async fn create_databases(&self, names: &[String]) {
        for name in names {
            let sql = format!("CREATE DATABASE {name}");
            self.admin.batch_execute(&sql).await.unwrap();
        }
        self.admin.batch_execute("CHECKPOINT").await.unwrap();
    }

    pub(crate) async fn drop_databases(&self, names: &[String]) {
        for name in names {
            let sql = format!("DROP DATABASE {name} WITH (FORCE)");
            self.admin.batch_execute(&sql).await.unwrap();
        }
    }

    /// Its version, and of how many extensions it has the files.
    pub(crate) async fn version(&self) -> (String, i64) {
        let query =
            "SELECT current_setting('server_version'), count(*) FROM pg_available_extensions";
        let row = self.admin.query_one(query, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }
}

/// Of a process of one thread; none where it has ended.
fn of_process(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next();
    Duration::from_nanos(nanoseconds.map_or(0, |first| first.parse().unwrap()))
}

fn of_the_ended(parent: &str) -> Duration {
    let ended = &fields(parent).unwrap()[13..15];
    TICK * ended
        .iter()
        .map(|ticks| ticks.parse::<u32>().unwrap())
        .sum()
}

/// The fields of a process's `stat` behind its name, the first of which is the state.
fn fields(process: &str) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}
