//! A proxy to PostgreSQL that can hold the answer to a COMMIT: the transaction is committed, and the worker does not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{eventually, listener, variable};

/// A proxy in front of the test server.
pub(crate) struct CommitGate {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Whether what the server says to a COMMIT is kept back.
    closed: AtomicBool,
    holding: AtomicBool,
    cut: Notify,
}

impl CommitGate {
    /// Listens on a port of its own. The first answer to a COMMIT is kept back for ever.
    pub(crate) async fn closed() -> Self {
        let state = Arc::new(State::default());
        state.closed.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&state);
        let port = listener::serve(move |client| forward(client, Arc::clone(&shared))).await;
        Self { port, state }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until an answer is kept back.
    pub(crate) async fn holds(&self) {
        eventually("a COMMIT", async || {
            self.state.holding.load(Ordering::SeqCst).then_some(())
        })
        .await;
    }

    /// Ends the connections whose answer is kept back: it is never given. Nothing more is kept back.
    pub(crate) fn cut(&self) {
        self.open();
        self.state.cut.notify_waiters();
    }

    /// Keeps nothing more back.
    pub(crate) fn open(&self) {
        self.state.closed.store(false, Ordering::SeqCst);
    }
}

async fn forward(client: TcpStream, state: Arc<State>) {
    let port = variable("PGPORT").parse::<u16>().unwrap();
    let server = TcpStream::connect((variable("PGHOST"), port))
        .await
        .unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let committing = AtomicBool::new(false);
    let back = async {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            if committing.load(Ordering::SeqCst) {
                let cut = state.cut.notified();
                state.holding.store(true, Ordering::SeqCst);
                cut.await;
                return;
            }
            // A client that was killed hears nothing.
            drop(to_client.write_all(&buffer[..count]).await);
        }
    };
    let forth = async {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            // Not READ COMMITTED, by which each transaction begins.
            let is_commit = buffer[..count].windows(7).any(|text| text == b"COMMIT\0");
            if is_commit && state.closed.load(Ordering::SeqCst) {
                committing.store(true, Ordering::SeqCst);
            }
            to_server.write_all(&buffer[..count]).await.unwrap();
        }
    };
    tokio::select! {
        () = back => {}
        () = forth => {}
    }
}
