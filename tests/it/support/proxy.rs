//! A proxy to a server that can be blocked, cut or slowed down while it is in use.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{listener, variable};

/// What happens to what is sent, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    Forward,
    /// It arrives that much later.
    Delay(Duration),
    /// What the server says arrives byte by byte, with that much time between.
    Drip(Duration),
    /// It is accepted and dropped, now and later on the same connection. New connections are accepted.
    Blackhole,
    /// Connections end, new ones at once.
    Cut,
}

/// A proxy for TCP.
pub(crate) struct Proxy {
    port: u16,
    traffic: watch::Sender<Traffic>,
}

impl Proxy {
    /// In front of the test's PostgreSQL.
    pub(crate) async fn to_postgres() -> Self {
        Self::to(variable("PGHOST"), variable("PGPORT").parse().unwrap()).await
    }

    /// In front of any server, on a port of its own.
    pub(crate) async fn to(host: String, port: u16) -> Self {
        let (traffic, current) = watch::channel(Traffic::Forward);
        let forward = move |client| serve(client, (host.clone(), port), current.clone());
        let port = listener::serve(forward).await;
        Self { port, traffic }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    pub(crate) fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
    }
}

async fn serve(client: TcpStream, server: (String, u16), traffic: watch::Receiver<Traffic>) {
    let now = *traffic.borrow();
    match now {
        Traffic::Cut => return,
        Traffic::Blackhole => std::future::pending().await,
        Traffic::Forward | Traffic::Delay(_) | Traffic::Drip(_) => {}
    }
    // A server that is down is one that closes at once.
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = traffic.clone();
    tokio::select! {
        () = pass_on(from_client, to_server, traffic.clone(), false) => {}
        () = pass_on(from_server, to_client, traffic, true) => {}
        _ = cut.wait_for(|traffic| *traffic == Traffic::Cut) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    traffic: watch::Receiver<Traffic>,
    is_server: bool,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *traffic.borrow();
        let mut at_once = count;
        match now {
            Traffic::Blackhole => std::future::pending().await,
            Traffic::Delay(time) => tokio::time::sleep(time).await,
            Traffic::Drip(_) if is_server => at_once = 1,
            Traffic::Forward | Traffic::Drip(_) | Traffic::Cut => {}
        }
        for part in buffer[..count].chunks(at_once) {
            // The receiver closed its connection.
            if to.write_all(part).await.is_err() {
                return;
            }
            if let Traffic::Drip(time) = now {
                tokio::time::sleep(time).await;
            }
        }
    }
    // Nor is the end of the connection passed on.
    let now = *traffic.borrow();
    if now == Traffic::Blackhole {
        std::future::pending().await
    }
}
