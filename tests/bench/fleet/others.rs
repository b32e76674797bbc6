//! Other ways to look at databases: the least that it can cost, and what people use.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use super::resync::EXTENSIONS;
use super::{AT_ONCE, file};
use crate::world::variable;

/// How to reach the server.
pub(crate) struct Server {
    host: String,
    port: String,
    user: String,
    password: String,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            host: variable("PGHOST"),
            port: variable("PGPORT"),
            user: variable("PGUSER"),
            password: variable("PGPASSWORD"),
        }
    }

    pub(crate) async fn connect(&self, database: &str) -> Client {
        let (client, connection) = self.open(database).await;
        tokio::spawn(connection);
        client
    }

    async fn open(
        &self,
        database: &str,
    ) -> (
        Client,
        impl Future<Output = Result<(), tokio_postgres::Error>> + use<>,
    ) {
        let Self {
            host,
            port,
            user,
            password,
        } = self;
        let way =
            format!("host={host} port={port} user={user} password={password} dbname={database}");
        tokio_postgres::connect(&way, NoTls).await.unwrap()
    }
}

/// The smallest possible request.
const QUERY: &str = "SELECT extname, extversion FROM pg_extension";

/// What `upgrade-check --to 18` checks in each database of PostgreSQL 15: each a statement as a script has it. Those of types are
/// pg_upgrade's own (`check_for_data_types_usage` in `pg_upgrade/check.c`), and so are that of libraries and the last.
fn upgrade_checks() -> [String; 6] {
    let types = |base: &str| {
        format!(
            "WITH RECURSIVE oids AS (
                SELECT t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE {base}
                UNION ALL SELECT * FROM (WITH x AS (SELECT oid FROM oids)
                    SELECT t.oid FROM pg_catalog.pg_type t, x WHERE typbasetype = x.oid AND typtype = 'd'
                    UNION ALL SELECT t.oid FROM pg_catalog.pg_type t, x WHERE typelem = x.oid AND typtype = 'b'
                    UNION ALL SELECT t.oid FROM pg_catalog.pg_type t, pg_catalog.pg_class c, pg_catalog.pg_attribute a, x
                        WHERE t.typtype = 'c' AND t.oid = c.reltype AND c.oid = a.attrelid AND NOT a.attisdropped
                          AND a.atttypid = x.oid
                    UNION ALL SELECT t.oid FROM pg_catalog.pg_type t, pg_catalog.pg_range r, x
                        WHERE t.typtype = 'r' AND r.rngtypid = t.oid AND r.rngsubtype = x.oid) foo)
             SELECT n.nspname, c.relname, a.attname
             FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n, pg_catalog.pg_attribute a
             WHERE c.oid = a.attrelid AND NOT a.attisdropped AND a.atttypid IN (SELECT oid FROM oids)
               AND c.relkind IN ('r', 'm', 'i') AND c.relnamespace = n.oid AND n.nspname !~ '^pg_temp_'
               AND n.nspname !~ '^pg_toast_temp_' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        )
    };
    [
        QUERY.to_owned(),
        types(
            "n.nspname = 'pg_catalog' AND t.typname IN ('regcollation', 'regconfig', 'regdictionary', 'regnamespace', \
             'regoper', 'regoperator', 'regproc', 'regprocedure')",
        ),
        types("n.nspname = 'pg_catalog' AND t.typname = 'aclitem'"),
        types("t.typtype = 'c' AND (t.oid < 16384 OR n.nspname = 'information_schema')"),
        "SELECT DISTINCT probin FROM pg_catalog.pg_proc WHERE prolang = 13 AND probin IS NOT NULL AND oid >= 16384".to_owned(),
        "SELECT nspname, relname, a.attname FROM pg_catalog.pg_inherits i, pg_catalog.pg_attribute a, pg_catalog.pg_attribute p, \
             pg_catalog.pg_class c, pg_catalog.pg_namespace n \
         WHERE a.attrelid = i.inhrelid AND c.oid = a.attrelid AND c.relnamespace = n.oid AND p.attrelid = i.inhparent \
           AND a.attname = p.attname AND a.attnum > 0 AND p.attnotnull AND NOT a.attnotnull"
            .to_owned(),
    ]
}

/// Connects to each, asks what is installed, and disconnects; how long that takes.
pub(crate) async fn bare(server: &Server, databases: &[String]) -> Duration {
    bare_at_once(server, databases, AT_ONCE).await
}

/// The same with so many at the same time.
pub(crate) async fn bare_at_once(
    server: &Server,
    databases: &[String],
    at_once: usize,
) -> Duration {
    let begun = Instant::now();
    stream::iter(databases)
        .for_each_concurrent(at_once, async |database| {
            let (client, connection) = server.open(database).await;
            let connection = tokio::spawn(connection);
            client.simple_query(QUERY).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        })
        .await;
    begun.elapsed()
}

/// The same by psql, one for each database; in milliseconds, where there is a psql.
pub(crate) async fn psql(server: &Server, databases: &[String]) -> Option<f64> {
    psql_of(server, databases, QUERY, AT_ONCE).await
}

/// As scripts check a database before an upgrade: a psql for each check and database, one after the other.
pub(crate) async fn psql_for_each_check(server: &Server, databases: &[String]) -> Option<f64> {
    let mut time = 0.0;
    for check in upgrade_checks() {
        time += psql_of(server, databases, &check, 1).await?;
    }
    Some(time)
}

async fn psql_of(
    server: &Server,
    databases: &[String],
    query: &str,
    at_once: usize,
) -> Option<f64> {
    let beside = format!("{}/psql", variable("PG_BINDIR"));
    let psql = if Path::new(&beside).exists() {
        beside
    } else {
        "psql".to_owned()
    };
    if !is_there(&psql) {
        println!("  psql: not measured: it is not installed");
        return None;
    }
    let names = file("bench-fleet.names");
    fs::write(&names, databases.join("\n")).unwrap();
    let mut command = Command::new("xargs");
    command
        .args(["-P", &at_once.to_string(), "-n", "1"])
        .args([&psql, "-X", "-Atc", query, "-d"])
        .env("PGPASSWORD", &server.password)
        .stdin(File::open(&names).unwrap());
    Some(timed(command).await)
}

/// `community.postgresql.postgresql_ext` for each extension of each; in milliseconds, where there is an Ansible.
pub(crate) async fn ansible(server: &Server, databases: &[String]) -> Option<f64> {
    if !is_there("ansible-playbook") {
        println!("  re-sync to Ansible: not measured: ansible is not installed");
        return None;
    }
    let playbook = json!([{
        "hosts": "localhost", "connection": "local", "gather_facts": false,
        // Where ansible is, psycopg2 is.
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [{
            "community.postgresql.postgresql_ext": {
                "name": "{{ item.1 }}", "login_db": "{{ item.0 }}", "login_host": server.host, "login_port": server.port,
                "login_user": server.user, "login_password": server.password,
            },
            "vars": {"databases": databases, "extensions": EXTENSIONS},
            "loop": "{{ databases | product(extensions) | list }}",
        }],
    }]);
    let path = file("bench-fleet.json");
    fs::write(&path, playbook.to_string()).unwrap();
    let mut command = Command::new("ansible-playbook");
    command.args(["-i", "localhost,"]).arg(path);
    Some(timed(command).await)
}

fn is_there(program: &str) -> bool {
    let mut asked = Command::new(program);
    let asked = asked.arg("--version").stdout(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

/// Runs it to its end; how many milliseconds that takes.
async fn timed(mut command: Command) -> f64 {
    command.stdout(File::create(file("bench-fleet.out")).unwrap());
    let begun = Instant::now();
    let ended = tokio::task::spawn_blocking(move || command.status());
    let status = ended.await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    begun.elapsed().as_secs_f64() * 1e3
}
