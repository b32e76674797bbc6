//! Certificates of a test's own, as RDS has them: the server sends its own alone, and what signed it is in the bundle.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{PrivateServer, Worker, World, eventually, variable};

/// Certificates in files `<name>.pem`, all of the key `server.key` but for the authorities'.
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    /// Makes them, for a server at this host.
    pub(crate) async fn make(world: &World, host: &str) -> Self {
        let directory = PathBuf::from(variable("RUN_DIR")).join(format!("tls-{}", world.name));
        fs::create_dir(&directory).unwrap();
        let made = Command::new(variable("LOCALSTACK_PYTHON"))
            .args(["-c", include_str!("certificates.py")])
            .arg(&directory)
            .arg(host)
            .status()
            .unwrap();
        assert!(made.success());
        PrivateServer::chown_to_server(&directory.join("server.key")).await;
        fs::copy(directory.join("leaf.pem"), directory.join("presented.pem")).unwrap();
        Self(directory)
    }

    /// Settings of a server that presents `leaf`.
    pub(crate) fn settings(&self) -> [String; 3] {
        [
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", self.path("presented.pem").display()),
            format!("ssl_key_file={}", self.path("server.key").display()),
        ]
    }

    /// From the next connection on it presents another.
    pub(crate) async fn present(&self, server: &PrivateServer, name: &str) {
        fs::copy(
            self.path(&format!("{name}.pem")),
            self.path("presented.pem"),
        )
        .unwrap();
        let loaded = server.text("SELECT pg_conf_load_time()::text").await;
        server.execute("SELECT pg_reload_conf()").await;
        eventually("the server's other certificate", async || {
            let now = server.text("SELECT pg_conf_load_time()::text").await;
            (now != loaded).then_some(())
        })
        .await;
    }

    /// A worker that trusts what is in the bundle.
    pub(crate) fn trusting(
        &self,
        world: &World,
        bundle: &str,
        settings: &[(&str, &str)],
    ) -> Worker {
        let bundle = self.path(&format!("{bundle}.pem"));
        let settings = [&[("PGSSLROOTCERT", bundle.to_str().unwrap())], settings].concat();
        Worker::start_verifying(world, &settings)
    }

    /// Puts what is in another file in the place of a bundle.
    pub(crate) fn replace(&self, bundle: &str, file: &str) {
        let bundle = self.path(&format!("{bundle}.pem"));
        fs::write(bundle, fs::read(self.path(file)).unwrap()).unwrap();
    }

    /// One of the files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
