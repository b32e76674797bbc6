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

/// A server that every role may log in to without a password. It ends with the test.
pub(crate) struct PrivateServer {
    pub(crate) port: u16,
    directory: PathBuf,
    programs: PathBuf,
    options: Vec<String>,
    child: Child,
}

impl PrivateServer {
    /// Makes and starts it.
    pub(crate) async fn start(world: &World, mode: Mode) -> Self {
        Self::start_with(world, mode, &[] as &[&str]).await
    }

    /// With settings of its own, `name=value`.
    pub(crate) async fn start_with(
        world: &World,
        mode: Mode,
        settings: &[impl AsRef<str>],
    ) -> Self {
        let programs = PathBuf::from(variable("PG_BINDIR"));
        Self::start_of(world, &programs, mode, settings).await
    }

    /// Of another version, whose programs are in this directory.
    pub(crate) async fn start_of(
        world: &World,
        programs: &Path,
        mode: Mode,
        settings: &[impl AsRef<str>],
    ) -> Self {
        let name = format!("server-{}-{}", world.name, uuid::Uuid::new_v4().simple());
        let directory = PathBuf::from(variable("RUN_DIR")).join(name);
        fs::create_dir(&directory).unwrap();
        // PostgreSQL does not run as root: the shared server's user serves this one too.
        let owner = fs::metadata(data_directory().await).unwrap();
        chown(&directory, Some(owner.uid()), Some(owner.gid())).unwrap();
        let made = program(&programs.join("initdb"), &directory)
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--pgdata",
            ])
            .arg(directory.join("data"))
            // From 18 on there are some by default, which pg_upgrade wants to be the same on either side.
            .args((major(programs) >= 18).then_some("--no-data-checksums"))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        set_mode(&directory, mode);
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let options: Vec<String> = settings
            .iter()
            .flat_map(|setting| ["-c".to_owned(), setting.as_ref().to_owned()])
            .collect();
        let server = Self {
            port,
            child: launch(programs, &directory, port, &options),
            directory,
            programs: programs.to_owned(),
            options,
        };
        server.wait_until_ready().await;
        server
    }

    /// Ends it in the middle of whatever it does, as `pg_ctl stop -m immediate` does.
    pub(crate) fn stop_immediately(&mut self) {
        self.stop("QUIT");
    }

    /// Starts it again, with the same data.
    pub(crate) async fn start_again(&mut self, mode: Mode) {
        set_mode(&self.directory, mode);
        self.child = launch(&self.programs, &self.directory, self.port, &self.options);
        self.wait_until_ready().await;
    }

    /// Starts it again in a recovery that waits for its archive, and returns at once: until [`Self::end_recovery`] the server
    /// says that it is starting up.
    pub(crate) fn start_in_recovery(&mut self) {
        fs::write(self.directory.join("data/recovery.signal"), "").unwrap();
        let released = self.directory.join("released");
        let wait = format!(
            "restore_command=while [ ! -e {} ]; do sleep 0.05; done; false",
            released.display()
        );
        let options = [self.options.as_slice(), &["-c".to_owned(), wait]].concat();
        self.child = launch(&self.programs, &self.directory, self.port, &options);
    }

    /// Lets the recovery find its archive empty.
    pub(crate) fn end_recovery(&self) {
        fs::write(self.directory.join("released"), "").unwrap();
    }

    /// Stops it in order, and starts it again.
    pub(crate) async fn restart(&mut self, mode: Mode) {
        self.stop("INT");
        self.start_again(mode).await;
    }

    /// Stops it in order; it stays.
    pub(crate) fn stop_in_order(&mut self) {
        self.stop("INT");
    }

    /// One of its programs, in its directory and as its user.
    pub(crate) fn program(&self, name: &str) -> Command {
        program(&self.programs.join(name), &self.directory)
    }

    /// Where its programs are.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    async fn wait_until_ready(&self) {
        eventually("the private server's start", async || self.connect().await).await;
    }

    fn stop(&mut self, signal: &str) {
        let message = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(message.success());
        self.child.wait().unwrap();
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

    /// One text that a query answers, in the database `postgres`.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let client = self.connect().await.unwrap();
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Makes a file the server's to read, where that is another user.
    pub(crate) async fn chown_to_server(file: &Path) {
        let owner = fs::metadata(data_directory().await).unwrap();
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// What is installed.
    pub(crate) async fn extensions(&self, database: &str) -> String {
        let client = self.connect_to(database).await.unwrap();
        let names = "SELECT string_agg(extname::text, ',' ORDER BY extname) FROM pg_extension";
        client.query_one(names, &[]).await.unwrap().get(0)
    }

    /// The administrator's connection; none where the server accepts no connection.
    pub(crate) async fn connect(&self) -> Option<Client> {
        self.connect_to("postgres").await
    }

    /// The same, in a database.
    pub(crate) async fn connect_to(&self, database: &str) -> Option<Client> {
        let config = format!(
            "host=127.0.0.1 port={} user=postgres dbname='{database}'",
            self.port
        );
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            // There is nothing to keep.
            self.stop("QUIT");
        }
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn set_mode(directory: &Path, mode: Mode) {
    let signal = directory.join("data/standby.signal");
    match mode {
        Mode::Replica => fs::write(signal, "").unwrap(),
        // It may not be there.
        Mode::Primary => drop(fs::remove_file(signal)),
    }
}

fn launch(programs: &Path, directory: &Path, port: u16, options: &[String]) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .unwrap();
    program(&programs.join("postgres"), directory)
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1", "-F"])
        .args(options)
        .stderr(log)
        .spawn()
        .unwrap()
}

/// One of the server's programs, as the directory's owner.
fn program(path: &Path, directory: &Path) -> Command {
    let owner = fs::metadata(directory).unwrap();
    let mut command = Command::new(path);
    command.current_dir(directory).env_remove("PGPASSWORD");
    let me = fs::metadata("/proc/self").unwrap();
    if me.uid() != owner.uid() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}

/// The major version of a server's programs.
fn major(programs: &Path) -> u32 {
    let version = Command::new(programs.join("postgres"))
        .arg("--version")
        .output();
    let version = String::from_utf8(version.unwrap().stdout).unwrap();
    let number = version.split(' ').nth(2).unwrap();
    number.split('.').next().unwrap().trim().parse().unwrap()
}

async fn data_directory() -> String {
    let client = super::connect("postgres").await;
    client
        .query_one("SHOW data_directory", &[])
        .await
        .unwrap()
        .get(0)
}
