//! A way to a server that can be blocked, cut or slowed down while it is in use.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::variable;

/// What becomes of what is sent, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    /// It arrives that much later.
    Delay(Duration),
    /// What the server says arrives byte by byte, with that much time between.
    Drip(Duration),
    /// It is taken, and nothing comes of it: then, and later on the same connection. New connections are accepted.
    Mute,
    /// Connections end, new ones at once.
    Cut,
}

/// A proxy for TCP.
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
}

impl Proxy {
    /// In front of the test's PostgreSQL.
    pub(crate) async fn to_postgres() -> Self {
        Self::to(variable("PGHOST"), variable("PGPORT").parse().unwrap()).await
    }

    /// In front of any server, on a port of its own.
    pub(crate) async fn to(host: String, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (way, text) = watch::channel(Way::Forward);
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            way,
        };
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(client, (host.clone(), port), text.clone()));
            }
        });
        proxy
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn serve(client: TcpStream, server: (String, u16), way: watch::Receiver<Way>) {
    let now = *way.borrow();
    match now {
        Way::Cut => return,
        Way::Mute => std::future::pending().await,
        Way::Forward | Way::Delay(_) | Way::Drip(_) => {}
    }
    // A server that is down is one that closes at once.
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = way.clone();
    tokio::select! {
        () = pass_on(from_client, to_server, way.clone(), false) => {}
        () = pass_on(from_server, to_client, way, true) => {}
        _ = cut.wait_for(|way| *way == Way::Cut) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: watch::Receiver<Way>,
    is_server: bool,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *way.borrow();
        let mut at_once = count;
        match now {
            Way::Mute => std::future::pending().await,
            Way::Delay(time) => tokio::time::sleep(time).await,
            Way::Drip(_) if is_server => at_once = 1,
            Way::Forward | Way::Drip(_) | Way::Cut => {}
        }
        for part in buffer[..count].chunks(at_once) {
            // Who is gone hears nothing.
            if to.write_all(part).await.is_err() {
                return;
            }
            if let Way::Drip(time) = now {
                tokio::time::sleep(time).await;
            }
        }
    }
    // Nor does anybody hear then who is gone.
    let now = *way.borrow();
    if now == Way::Mute {
        std::future::pending().await
    }
}
