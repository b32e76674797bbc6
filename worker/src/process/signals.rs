//! SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The first SIGTERM or SIGINT stops the process in order, a second one at once, with this consequence.
///
/// # Errors
/// Where the handlers cannot be installed.
pub fn stop_on_signals(at_once: &'static str) -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stopped.is_cancelled() {
                warn!("told to stop twice: {at_once}");
                std::process::exit(1);
            }
            info!("told to stop");
            stopped.cancel();
        }
    });
    Ok(stop)
}
