//! The lease of a message in hand: as long as it is extended, no other worker gets the message.

use std::time::{Duration, Instant};

use tracing::warn;

use super::batcher::Batches;
use super::in_flight::Hand;
use super::{VisibilityChange, is_gone};

/// With less than this left, the work is given up before another worker can hold the message.
const LAST_MOMENTS: Duration = Duration::from_secs(15);

/// What fails so often in a row is not waited for any longer.
const FAILED_BEATS: u32 = 2;

/// No request is worked on for longer: CloudFormation waits for an hour at the most.
const LONGEST: Duration = Duration::from_secs(3600 + 60);

/// Extends the lease three times in each visibility timeout. Returns when the lease is lost, or about to be.
pub(super) async fn hold(beats: &Batches<VisibilityChange>, hand: &Hand, visibility: Duration) {
    let taken = Instant::now();
    let mut failed = 0;
    while taken.elapsed() < LONGEST && failed < FAILED_BEATS {
        let jitter = 0.9 + 0.2 * fastrand::f64();
        tokio::time::sleep((visibility / 3).mul_f64(jitter)).await;
        let asked = Instant::now();
        let receipt_handle = hand.receipt_handle();
        let last_moment = hand
            .lease_ends()
            .checked_sub(LAST_MOMENTS.min(visibility / 3))
            .unwrap_or(asked);
        let beat = beats.submit(VisibilityChange {
            receipt_handle: receipt_handle.clone(),
            visibility,
        });
        match tokio::time::timeout_at(last_moment.into(), beat).await {
            Ok(Ok(())) => {
                failed = 0;
                hand.extended(&receipt_handle, asked + visibility);
            }
            Ok(Err(fault)) => {
                failed += 1;
                warn!(error = %fault, "the lease could not be extended");
                let is_newest = hand.receipt_handle() == receipt_handle;
                if is_newest && is_gone(&fault) || Instant::now() >= last_moment {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
