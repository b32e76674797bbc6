//! The lease of a message in hand: as long as it is extended, no other worker gets the message.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::causes::with_causes;
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
        let last_moment = ends
            .checked_sub(LAST_MOMENTS.min(visibility / 3))
            .unwrap_or(asked);
        let beat = tokio::time::timeout_at(
            last_moment.into(),
            queue.change_visibility(message, visibility),
        );
        match beat.await {
            Ok(Ok(())) => ends = asked + visibility,
            Ok(Err(fault)) => {
                warn!(
                    message_id = message.id,
                    error = with_causes(&fault),
                    "the lease could not be extended"
                );
                let is_invalid = [
                    "ReceiptHandleIsInvalid",
                    "InvalidParameterValue",
                    "MessageNotInflight",
                ]
                .iter()
                .any(|code| fault.code.contains(code));
                if is_invalid || Instant::now() >= last_moment {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
