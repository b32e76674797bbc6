//! A server that an attacker runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{Certificates, eventually, variable};

/// See `hostile_server.py`. It ends with the test.
pub(crate) struct HostileServer {
    pub(crate) port: u16,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl HostileServer {
    /// One without TLS, with a behavior of `hostile_server.py`.
    pub(crate) fn start(behavior: &str) -> Self {
        Self::launch(Self::script(behavior))
    }

    /// One with a certificate that the tests' bundle holds for.
    pub(crate) fn start_with_tls(behavior: &str, certificates: &Certificates) -> Self {
        let mut script = Self::script(behavior);
        for file in ["leaf.pem", "server.key"] {
            script.arg(certificates.path(file));
        }
        Self::launch(script)
    }

    fn script(behavior: &str) -> Command {
        let mut script = Command::new(variable("LOCALSTACK_PYTHON"));
        script
            .args(["-c", include_str!("hostile_server.py"), behavior])
            .stdout(Stdio::piped());
        script
    }

    fn launch(mut script: Command) -> Self {
        let mut child = script.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let saying = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                saying.lock().unwrap().push(line);
            }
        });
        Self { port, child, said }
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.lines_of("connected").len()
    }

    /// What it received after the startup packet, as Python writes bytes.
    pub(crate) fn received(&self) -> String {
        self.lines_of("heard").concat()
    }

    /// How much it sent on its first connection until the client closed it.
    pub(crate) async fn sent_bytes(&self) -> u64 {
        eventually("the end of the flood", async || {
            let sent = self.lines_of("sent");
            sent.first().map(|sent| sent.trim().parse().unwrap())
        })
        .await
    }

    fn lines_of(&self, kind: &str) -> Vec<String> {
        let said = self.said.lock().unwrap();
        let of_kind = said.iter().filter_map(|line| line.strip_prefix(kind));
        of_kind.map(str::to_owned).collect()
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
