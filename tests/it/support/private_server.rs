//! A PostgreSQL server of a test's own, for what would disturb the others on the shared one.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio_postgres::{Client, NoTls};

use super::{World, eventually, variable};

/// What the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Primary,
    /// It stays in recovery, as a replica does, waiting for a primary that never speaks.
    Replica,
}

/// A server that everybody may log in to. It ends with the test.
pub(crate) struct PrivateServer {
    pub(crate) port: u16,
    directory: PathBuf,
    child: Child,
}

impl PrivateServer {
    /// Makes and starts it.
    pub(crate) async fn start(world: &World, mode: Mode) -> Self {
        let directory = PathBuf::from(variable("RUN_DIR")).join(format!("server-{}", world.name));
        fs::create_dir(&directory).unwrap();
        // PostgreSQL does not run as root: the shared server's user serves this one too.
        let owner = fs::metadata(data_directory().await).unwrap();
        chown(&directory, Some(owner.uid()), Some(owner.gid())).unwrap();
        let data = directory.join("data");
        let made = program("initdb", &directory)
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--pgdata",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        if mode == Mode::Replica {
            fs::write(data.join("standby.signal"), "").unwrap();
        }
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let child = program("postgres", &directory)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1", "-F"])
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self {
            port,
            directory,
            child,
        };
        eventually("the private server's start", async || {
            server.connect().await
        })
        .await;
        server
    }

    /// Runs SQL.
    pub(crate) async fn execute(&self, sql: &str) {
        self.connect()
            .await
            .unwrap()
            .batch_execute(sql)
            .await
            .unwrap();
    }

    /// What is installed.
    pub(crate) async fn extensions(&self, database: &str) -> String {
        let client = self.connect_to(database).await.unwrap();
        let names = "SELECT string_agg(extname::text, ',' ORDER BY extname) FROM pg_extension";
        client.query_one(names, &[]).await.unwrap().get(0)
    }

    async fn connect(&self) -> Option<Client> {
        self.connect_to("postgres").await
    }

    async fn connect_to(&self, database: &str) -> Option<Client> {
        let config = format!(
            "host=127.0.0.1 port={} user=postgres dbname={database}",
            self.port
        );
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // SIGQUIT: there is nothing to keep.
        let told = Command::new("kill")
            .args(["-QUIT", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(told.success());
        self.child.wait().unwrap();
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// One of the server's programs, as the directory's owner.
fn program(name: &str, directory: &Path) -> Command {
    let owner = fs::metadata(directory).unwrap();
    let mut command = Command::new(Path::new(&variable("PG_BINDIR")).join(name));
    command.current_dir(directory).env_remove("PGPASSWORD");
    let me = fs::metadata("/proc/self").unwrap();
    if me.uid() != owner.uid() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}

async fn data_directory() -> String {
    let client = super::connect("postgres").await;
    client
        .query_one("SHOW data_directory", &[])
        .await
        .unwrap()
        .get(0)
}
