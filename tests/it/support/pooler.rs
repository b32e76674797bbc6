//! PgBouncer in front of the test server: the same server connection serves one client after the other.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use super::{World, eventually, print_log_of_failed_test, variable};

/// How long a client keeps a server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// As long as it is connected.
    Session,
    /// For each of its transactions another.
    Transaction,
}

/// A pooler. It ends with the test.
pub(crate) struct Pooler {
    pub(crate) port: u16,
    directory: PathBuf,
    child: Child,
}

impl Pooler {
    /// One that has `size` connections to each database, takes them in turn, and leaves them to the next client as the last
    /// one left them.
    pub(crate) async fn start(world: &World, pooling: Pooling, size: usize) -> Self {
        Self::start_with(world, pooling, size, "").await
    }

    /// With further settings, a line each.
    pub(crate) async fn start_with(
        world: &World,
        pooling: Pooling,
        size: usize,
        settings: &str,
    ) -> Self {
        let name = format!("pooler-{}-{}", world.name, uuid::Uuid::new_v4().simple());
        let directory = PathBuf::from(variable("RUN_DIR")).join(name);
        fs::create_dir(&directory).unwrap();
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let mode = match pooling {
            Pooling::Session => "session",
            Pooling::Transaction => "transaction",
        };
        let (host, server_port) = (variable("PGHOST"), variable("PGPORT"));
        let configuration = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n\
             default_pool_size = {size}\nmin_pool_size = {size}\nserver_round_robin = 1\nserver_reset_query =\n\
             server_login_retry = 1\n{settings}\n",
            directory.join("users").display()
        );
        fs::write(directory.join("pgbouncer.ini"), configuration).unwrap();
        // PgBouncer logs in at the server with the password that clients log in with: it needs it as it is.
        let user = format!(
            "\"{}\" \"{}\"\n",
            variable("PGUSER"),
            variable("PGPASSWORD")
        );
        fs::write(directory.join("users"), user).unwrap();
        let child = launch(&directory).await;
        let pooler = Self {
            port,
            directory,
            child,
        };
        eventually("the pooler's start", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        pooler
    }

    /// A secret that leads through it, with the fields of `changes`.
    pub(crate) async fn secret(&self, world: &World, changes: Value) -> String {
        let mut fields = json!({"host": "127.0.0.1", "port": self.port});
        for (name, value) in changes.as_object().unwrap() {
            fields[name] = value.clone();
        }
        world.secret_with(&fields).await
    }

    /// A client of the pooler's.
    pub(crate) async fn connect(&self, database: &str) -> Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(variable("PGUSER"))
            .password(variable("PGPASSWORD"))
            .dbname(database);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        self.child.wait().unwrap();
        print_log_of_failed_test("the pooler's log", || self.log());
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// As the user that the test server has: PgBouncer does not run as root. That user may not look into the checkout, so
/// that the program and its libraries are copied.
async fn launch(directory: &Path) -> Child {
    let (program, libraries) = installed();
    let (copy, copied) = (directory.join("pgbouncer"), directory.join("lib"));
    fs::copy(program, &copy).unwrap();
    fs::create_dir(&copied).unwrap();
    for library in fs::read_dir(libraries).into_iter().flatten() {
        let library = library.unwrap();
        if fs::metadata(library.path()).is_ok_and(|found| found.is_file()) {
            fs::copy(library.path(), copied.join(library.file_name())).unwrap();
        }
    }
    let data = super::connect("postgres").await;
    let data = data.query_one("SHOW data_directory", &[]).await.unwrap();
    let owner = fs::metadata(data.get::<_, String>(0)).unwrap();
    for file in ["", "users", "pgbouncer.ini"] {
        chown(directory.join(file), Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let log = fs::File::create(directory.join("log")).unwrap();
    let mut command = Command::new(copy);
    command
        .arg("pgbouncer.ini")
        .current_dir(directory)
        .env_clear()
        .env("LD_LIBRARY_PATH", copied)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    if fs::metadata("/proc/self").unwrap().uid() != owner.uid() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.spawn().unwrap()
}

/// The program and its libraries; `localstack/pooler.py` fetches them where they are missing.
fn installed() -> (&'static str, &'static str) {
    static PLACES: OnceLock<String> = OnceLock::new();
    let places = PLACES.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/pooler.py");
        let output = Command::new("python3")
            .arg(script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "there is no PgBouncer");
        String::from_utf8(output.stdout).unwrap()
    });
    places.trim().split_once('\n').unwrap()
}
