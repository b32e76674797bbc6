//! A proxy to PostgreSQL that counts round trips.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{listener, variable};

/// A proxy in front of the test server. A round trip is what the client sends after the server spoke.
pub(crate) struct RoundTripCounter {
    port: u16,
    round_trips: Arc<AtomicUsize>,
}

impl RoundTripCounter {
    /// Listens on a port of its own.
    pub(crate) async fn start() -> Self {
        let round_trips = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&round_trips);
        let port = listener::serve(move |client| forward(client, Arc::clone(&counted))).await;
        Self { port, round_trips }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// So far, over all connections.
    pub(crate) fn round_trips(&self) -> usize {
        self.round_trips.load(Ordering::SeqCst)
    }
}

async fn forward(client: TcpStream, round_trips: Arc<AtomicUsize>) {
    let port = variable("PGPORT").parse::<u16>().unwrap();
    let server = TcpStream::connect((variable("PGHOST"), port))
        .await
        .unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let server_spoke = Arc::new(AtomicBool::new(true));
    let spoke = Arc::clone(&server_spoke);
    let back = async move {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            spoke.store(true, Ordering::SeqCst);
            to_client.write_all(&buffer[..count]).await.unwrap();
        }
    };
    let forth = async move {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            if server_spoke.swap(false, Ordering::SeqCst) {
                round_trips.fetch_add(1, Ordering::SeqCst);
            }
            to_server.write_all(&buffer[..count]).await.unwrap();
        }
    };
    tokio::select! {
        () = back => {}
        () = forth => {}
    }
}
