//! The lease of a message in hand: as long as it is extended, no other worker gets the message.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::queue::{Message, Queue};

/// With less than this left, the work is given up before another worker can hold the message.
const LAST_MOMENTS: Duration = Duration::from_secs(15);

/// Extends the lease three times in each visibility timeout. Returns when the lease is lost, or about to be.
pub(super) async fn hold(queue: &Queue, message: &Message, visibility: Duration) {
    let mut ends = Instant::now() + visibility;
    loop {
        let jitter = 0.9 + 0.2 * fastrand::f64();
        tokio::time::sleep((visibility / 3).mul_f64(jitter)).await;
        let asked = Instant::now();
        match queue.change_visibility(message, visibility).await {
            Ok(()) => ends = asked + visibility,
            Err(fault) => {
                warn!(
                    message = message.id,
                    error = &fault as &dyn std::error::Error,
                    "the lease could not be extended"
                );
                let invalid = fault.code.contains("ReceiptHandleIsInvalid")
                    || fault.code.contains("InvalidParameterValue");
                if invalid
                    || ends.saturating_duration_since(Instant::now())
                        < LAST_MOMENTS.min(visibility / 3)
                {
                    return;
                }
            }
        }
    }
}
