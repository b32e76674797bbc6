//! A server whose databases were made alike by one stack; a few are damaged.

use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::{
    Fixture, LOCK, Mode, PrivateServer, ResultsSubscriber, Worker, World, eventually, worker_binary,
};

/// In `make test`; `make fleet` says how many it wants with `FLEET_DATABASES`.
const DATABASES: usize = 100;
/// Of a hundred databases one is damaged, and each damage of it is seen.
const SHARE: usize = 100;
/// As many as a worker does at a time.
const AT_ONCE: usize = 4;

/// How a database was damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// An extension was dropped by hand.
    Dropped,
    /// One is of an older version than is declared.
    Outdated,
    /// One is in another schema than is declared.
    Moved,
    /// One was dropped, and the server has it no more.
    Gone,
    /// Its ledger belongs to a role that is not trusted.
    Foreign,
}

const DAMAGES: [Damage; 5] = [
    Damage::Dropped,
    Damage::Outdated,
    Damage::Moved,
    Damage::Gone,
    Damage::Foreign,
];

impl Damage {
    pub(super) fn can_be_repaired(self) -> bool {
        !matches!(self, Self::Gone | Self::Foreign)
    }
}

/// The server, and what was done to it.
pub(super) struct Fleet<'a> {
    world: &'a World,
    pub(super) subscriber: ResultsSubscriber<'a>,
    server: PrivateServer,
    pub(super) databases: Vec<String>,
    versioned: Fixture,
    gone: Fixture,
    pub(super) prefix: String,
    /// The server's log up to here is of what was before the re-sync.
    begun: usize,
}

impl<'a> Fleet<'a> {
    /// A Create makes the first database, of which the others are copies, the ledger included.
    pub(super) async fn new(world: &'a World) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "make sets the number of databases"
        )]
        let requested = std::env::var("FLEET_DATABASES").ok();
        let count = requested.map_or(DATABASES, |count| count.parse().unwrap());
        let settings = [
            "log_statement=ddl",
            "log_line_prefix=[%p] %d %a ",
            // Copies are not worth a log of their own, nor the server's attention.
            "wal_level=minimal",
            "max_wal_senders=0",
            "autovacuum=off",
        ];
        let fixture = |end: &str, scripts: &[(&str, &str)]| {
            let name = format!("{}_{end}", world.name);
            let newest = format!("default_version = '{}'\n", scripts.len());
            Fixture::install(&name, &newest, scripts)
        };
        let mut fleet = Self {
            world,
            subscriber: ResultsSubscriber::new(world).await,
            server: PrivateServer::start_with(world, Mode::Primary, &settings).await,
            databases: (0..count).map(|number| format!("d{number:04}")).collect(),
            versioned: fixture("versioned", &[("1", "SELECT 1;"), ("1--2", "SELECT 2;")]),
            gone: fixture("gone", &[("1", "SELECT 1;")]),
            prefix: format!("{}-fleet/", world.name),
            begun: 0,
        };
        fleet.fill().await;
        fleet.damage_some().await;
        fleet.begun = fleet.server.log().len();
        fleet
    }

    async fn fill(&self) {
        let first = &self.databases[0];
        let mut secret = self.world.credentials();
        secret["port"] = json!(self.server.port);
        secret["dbname"] = json!(first);
        let name = format!("{}server", self.prefix);
        self.world.create_secret(&name, &secret.to_string()).await;
        let admin = self.server.connect().await.unwrap();
        let create = format!("CREATE DATABASE {first}");
        admin.batch_execute(&create).await.unwrap();
        let mut worker = self.worker();
        let extensions = json!([
            "hstore", {"Name": "citext", "Schema": "public"},
            {"Name": self.versioned.name, "Version": "default"}, self.gone.name,
        ]);
        let answer = self
            .world
            .create(json!({"DBSecret": name, "Extensions": extensions}))
            .await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        // PostgreSQL copies no database with connections, and the request must not be delivered again during the re-sync.
        worker.signal("TERM");
        assert!(worker.exit().await.success());
        for database in &self.databases[1..] {
            let copy = format!("CREATE DATABASE {database} TEMPLATE {first}");
            admin.batch_execute(&copy).await.unwrap();
        }
    }

    async fn damage_some(&self) {
        self.server.execute("CREATE ROLE stranger").await;
        let (versioned, gone) = (&self.versioned.name, &self.gone.name);
        for (database, damage) in self.damaged() {
            let sql = match damage {
                Damage::Dropped => "DROP EXTENSION hstore",
                Damage::Outdated => {
                    &format!("DROP EXTENSION {versioned}; CREATE EXTENSION {versioned} VERSION '1'")
                }
                Damage::Moved => {
                    "CREATE SCHEMA elsewhere; ALTER EXTENSION citext SET SCHEMA elsewhere"
                }
                Damage::Gone => &format!("DROP EXTENSION {gone}"),
                Damage::Foreign => "ALTER SCHEMA extension_worker OWNER TO stranger",
            };
            self.connect(database)
                .await
                .batch_execute(sql)
                .await
                .unwrap();
        }
        self.gone.remove_control();
    }

    /// The databases that are damaged, from one end of the fleet to the other, and how.
    pub(super) fn damaged(&self) -> Vec<(&str, Damage)> {
        let count = (self.databases.len() / SHARE).max(DAMAGES.len());
        let apart = self.databases.len() / count;
        let damages = DAMAGES.into_iter().cycle().take(count).enumerate();
        damages
            .map(|(number, damage)| (self.databases[number * apart + apart / 2].as_str(), damage))
            .collect()
    }

    /// A worker whose messages are soon there again when it is killed.
    pub(super) fn worker(&self) -> Worker {
        self.worker_with(("WORKER_VISIBILITY_SECONDS", "10"))
    }

    pub(super) fn worker_with(&self, setting: (&str, &str)) -> Worker {
        let topic = (
            "WORKER_RESULTS_TOPIC_ARN",
            self.subscriber.topic_arn.as_str(),
        );
        Worker::start(self.world, &[topic, setting])
    }

    /// Repairs all of it from the command line; how that ended, and the report.
    pub(super) async fn repair(&self) -> (ExitStatus, Value) {
        let child = worker_binary()
            .args(["resync", "--repair", "--wait", "--json"])
            .args(["--timeout-seconds", "900", "--prefix", &self.prefix])
            .env("WORKER_TOPIC_ARN", &self.world.topic_arn)
            .env("WORKER_RESULTS_TOPIC_ARN", &self.subscriber.topic_arn)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The report is longer than a pipe holds.
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
        let output = ended.await.unwrap().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap();
        (output.status, report)
    }

    /// Has a worker stop in the middle of the fleet, until what is returned is dropped or it no longer waits.
    pub(super) async fn stop_half_way(&self) -> Vec<Client> {
        let middle = self.databases.len() / 2;
        let mut locks = Vec::new();
        for database in &self.databases[middle..middle + AT_ONCE] {
            let client = self.connect(database).await;
            let lock = format!("BEGIN; {LOCK}");
            client.batch_execute(&lock).await.unwrap();
            locks.push(client);
        }
        locks
    }

    /// Waits until a worker stopped there.
    pub(super) async fn is_half_way(&self) {
        eventually("the wait for the locks", async || {
            (self
                .sessions("wait_event IN ('relation', 'transactionid')")
                .await
                .len()
                == AT_ONCE)
                .then_some(())
        })
        .await;
    }

    /// The sessions of workers of which this is so: each one's database, state and last statement.
    pub(super) async fn sessions(&self, which: &str) -> Vec<String> {
        let sessions =
            "SELECT coalesce(json_agg(concat_ws(' ', datname, state, left(query, 80))), '[]')::text
                        FROM pg_stat_activity WHERE application_name = 'extension-worker'";
        let sessions = self.server.text(&format!("{sessions} AND {which}")).await;
        serde_json::from_str(&sessions).unwrap()
    }

    /// The statements by which workers changed a database since the re-sync began. One that PostgreSQL refused changed
    /// nothing: the server is asked about what its catalogue does not list.
    pub(super) fn ddl(&self, database: &str) -> usize {
        let log = self.server.log();
        let here = format!("] {database} extension-worker ");
        let of = |kind: &str| {
            log[self.begun..]
                .lines()
                .filter(|line| line.contains(&here) && line.contains("EXTENSION"))
                .filter(|line| line.contains(kind))
                .count()
        };
        of(" statement: ") - of(" STATEMENT: ")
    }

    /// Whether a database has all that is declared, where it is declared to be.
    pub(super) async fn is_whole(&self, database: &str) -> bool {
        let wanted = format!(
            "SELECT count(*) = 4 FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
             WHERE nspname = 'public' AND (extname IN ('hstore', 'citext', '{}')
                                           OR extname = '{}' AND extversion = '2')",
            self.gone.name, self.versioned.name
        );
        let client = self.connect(database).await;
        client.query_one(&wanted, &[]).await.unwrap().get(0)
    }

    async fn connect(&self, database: &str) -> Client {
        self.server.connect_to(database).await.unwrap()
    }
}
