//! A database of a test's own.

use std::collections::BTreeMap;

use tokio_postgres::{Client, NoTls};

use super::variable;

/// Takes the lock under which workers change a database, in the transaction that is open: the ledger's, or, where there is
/// none, the name of its schema, which it has no longer at the transaction's end.
pub(crate) const LOCK: &str = "DO $$ BEGIN
    IF to_regclass('extension_worker.ledger') IS NULL THEN
        BEGIN
            CREATE SCHEMA extension_worker;
            RETURN;
        EXCEPTION WHEN duplicate_schema OR unique_violation THEN
            NULL;
        END;
    END IF;
    LOCK TABLE extension_worker.ledger IN SHARE UPDATE EXCLUSIVE MODE;
END $$";

/// A database on the test server. It goes with the server.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
}

impl Database {
    /// Makes an empty one.
    pub(crate) async fn create(name: &str) -> Self {
        connect("postgres")
            .await
            .batch_execute(&format!("CREATE DATABASE \"{name}\""))
            .await
            .unwrap();
        Self {
            name: name.to_owned(),
        }
    }

    /// An empty one that belongs to a new role without any rank; returns the role's password too.
    pub(crate) async fn create_owned(name: &str, role: &str) -> (Self, String) {
        let password = uuid::Uuid::new_v4().to_string();
        let admin = connect("postgres").await;
        admin
            .batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
            .await
            .unwrap();
        admin
            .batch_execute(&format!("CREATE DATABASE \"{name}\" OWNER {role}"))
            .await
            .unwrap();
        (
            Self {
                name: name.to_owned(),
            },
            password,
        )
    }

    /// Whether it is there.
    pub(crate) async fn exists(&self) -> bool {
        let there = "SELECT FROM pg_database WHERE datname = $1";
        let found = connect("postgres").await.query(there, &[&self.name]).await;
        !found.unwrap().is_empty()
    }

    /// What is installed, with versions; without plpgsql, which always is.
    pub(crate) async fn extensions(&self) -> BTreeMap<String, String> {
        let rows = connect(&self.name)
            .await
            .query(
                "SELECT extname::text, extversion FROM pg_extension WHERE extname <> 'plpgsql'",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The version that the server would create; not the same in every PostgreSQL.
    pub(crate) async fn default_version(&self, extension: &str) -> String {
        self.text(&format!(
            "SELECT default_version FROM pg_available_extensions WHERE name = '{extension}'"
        ))
        .await
    }

    /// The versions that the server can create, as a Reason lists them.
    pub(crate) async fn available_versions(&self, extension: &str) -> String {
        self.text(&format!(
            "SELECT string_agg(version, ', ' ORDER BY version) FROM pg_available_extension_versions \
             WHERE name = '{extension}'"
        ))
        .await
    }

    /// Runs SQL as the administrator.
    pub(crate) async fn execute(&self, sql: &str) {
        connect(&self.name).await.batch_execute(sql).await.unwrap();
    }

    /// One text that a query answers.
    pub(crate) async fn text(&self, sql: &str) -> String {
        connect(&self.name)
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }

    /// The statements that changed something in this database, as the server logged them.
    pub(crate) fn ddl(&self) -> Vec<String> {
        let log = std::fs::read_to_string(variable("PG_LOG")).unwrap();
        let here = format!("] {} extension-worker ", self.name);
        log.lines()
            .filter(|line| line.contains(&here) && line.contains("EXTENSION"))
            .filter_map(|line| line.split_once("statement: "))
            .map(|(_, statement)| statement.to_owned())
            .collect()
    }

    /// Takes the lock under which workers change this database; it is given back when the connection is dropped.
    pub(crate) async fn lock(&self) -> Client {
        let client = connect(&self.name).await;
        client
            .batch_execute(&format!("BEGIN; {LOCK}"))
            .await
            .unwrap();
        client
    }

    /// Whether a worker waits for that lock.
    pub(crate) async fn is_waiting(&self) -> bool {
        let waiting =
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'extension-worker' AND wait_event IN ('relation', 'transactionid')";
        self.text(waiting).await != "0"
    }
}

/// An extension of a test's own, in the server's directory: a control file, and scripts by what stands between the
/// name and `.sql`.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) name: String,
}

impl Fixture {
    /// Installs it.
    pub(crate) fn install(name: &str, control: &str, scripts: &[(&str, &str)]) -> Self {
        let fixture = Self {
            name: name.to_owned(),
        };
        for (version, script) in scripts {
            std::fs::write(fixture.file(&format!("--{version}.sql")), script).unwrap();
        }
        fixture.set_control(control);
        fixture
    }

    /// Replaces a script.
    pub(crate) fn set_script(&self, version: &str, script: &str) {
        std::fs::write(self.file(&format!("--{version}.sql")), script).unwrap();
    }

    /// Replaces the control file.
    pub(crate) fn set_control(&self, control: &str) {
        std::fs::write(self.file(".control"), control).unwrap();
    }

    /// Takes the control file away, as an engine does that no longer has the extension.
    pub(crate) fn remove_control(&self) {
        std::fs::remove_file(self.file(".control")).unwrap();
    }

    /// Takes a script away.
    pub(crate) fn remove_script(&self, version: &str) {
        std::fs::remove_file(self.file(&format!("--{version}.sql"))).unwrap();
    }

    fn file(&self, end: &str) -> std::path::PathBuf {
        std::path::Path::new(&variable("PG_EXTENSION_DIR")).join(format!("{}{end}", self.name))
    }
}

/// A connection of the administrator's.
pub(crate) async fn connect(database: &str) -> Client {
    connect_as(database, &variable("PGUSER"), &variable("PGPASSWORD")).await
}

/// A connection of a role's.
pub(crate) async fn connect_as(database: &str, role: &str, password: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config
        .host(variable("PGHOST"))
        .port(variable("PGPORT").parse().unwrap())
        .user(role)
        .password(password)
        .dbname(database);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
