//! The lease of a message in flight: while it is extended, no other worker receives the message.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::ack_batchers::{VisibilityChange, is_gone};
use super::batcher::Batcher;
use super::in_flight::InFlightMessage;

/// If less time than this is left, the processing is cancelled before another worker can receive the message.
const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// Number of failed extensions in a row after which the lease counts as lost.
const MAX_FAILED_EXTENSIONS: u32 = 2;

/// Maximum duration of a lease: CloudFormation waits for at most an hour.
const MAX_LEASE: Duration = Duration::from_secs(3600 + 60);

/// Extends the lease three times in each visibility timeout. Returns when the lease is lost or about to be lost.
pub(super) async fn renew_loop(
    extensions: &Batcher<VisibilityChange>,
    message: &InFlightMessage,
    visibility: Duration,
) {
    let taken = Instant::now();
    let mut failed = 0;
    while taken.elapsed() < MAX_LEASE && failed < MAX_FAILED_EXTENSIONS {
        let jitter = 0.9 + 0.2 * fastrand::f64();
        tokio::time::sleep((visibility / 3).mul_f64(jitter)).await;
        let asked = Instant::now();
        let receipt_handle = message.receipt_handle();
        let last_moment = message
            .lease_ends()
            .checked_sub(LEASE_MARGIN.min(visibility / 3))
            .unwrap_or(asked);
        let extension = extensions.submit(VisibilityChange {
            receipt_handle: receipt_handle.clone(),
            visibility,
        });
        match tokio::time::timeout_at(last_moment, extension).await {
            Ok(Ok(())) => {
                failed = 0;
                message.record_extension(&receipt_handle, asked + visibility);
            }
            Ok(Err(error)) => {
                failed += 1;
                warn!(error = %error, "the lease could not be extended");
                let is_newest = message.receipt_handle() == receipt_handle;
                if is_newest && is_gone(&error) || Instant::now() >= last_moment {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
