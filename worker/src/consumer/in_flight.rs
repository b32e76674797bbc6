//! The messages in flight: each is registered once, however often it is delivered, with the receipt handle of its newest
//! delivery.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::aws::sqs::Message;

/// Messages by id.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<String, Arc<MessageState>>>>);

/// The state of a message in flight.
#[derive(Debug)]
struct MessageState {
    since: Instant,
    lease: Mutex<Lease>,
}

#[derive(Debug, Clone)]
struct Lease {
    receipt_handle: String,
    ends: Instant,
}

/// A message in flight with its permit; both are released when it is dropped.
#[derive(Debug)]
pub(super) struct InFlightMessage {
    pub(super) received: Message,
    state: Arc<MessageState>,
    all: InFlight,
    permit: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// Registers a message until `ends`. For a message that is registered already, only its newest handle is stored, and
    /// the permit is released.
    pub(super) fn register(
        &self,
        message: Message,
        permit: OwnedSemaphorePermit,
        ends: Instant,
    ) -> Option<InFlightMessage> {
        let lease = Lease {
            receipt_handle: message.receipt_handle.clone(),
            ends,
        };
        let mut all = self.0.lock();
        if let Some(state) = all.get(&message.id) {
            *state.lease.lock() = lease;
            return None;
        }
        let state = Arc::new(MessageState {
            since: Instant::now(),
            lease: Mutex::new(lease),
        });
        all.insert(message.id.clone(), Arc::clone(&state));
        drop(all);
        Some(InFlightMessage {
            received: message,
            state,
            all: self.clone(),
            permit: Some(permit),
        })
    }

    /// The time since the oldest of them was registered.
    pub(super) fn oldest_age(&self) -> Option<Duration> {
        let all = self.0.lock();
        all.values().map(|state| state.since.elapsed()).max()
    }
}

impl InFlightMessage {
    /// The receipt handle of the newest delivery.
    pub(super) fn receipt_handle(&self) -> String {
        self.state.lease.lock().receipt_handle.clone()
    }

    /// When the message becomes visible to other workers, unless the lease is extended.
    pub(super) fn lease_ends(&self) -> Instant {
        self.state.lease.lock().ends
    }

    /// Records that the lease was extended, if the handle is still the newest.
    pub(super) fn record_extension(&self, receipt_handle: &str, ends: Instant) {
        let mut lease = self.state.lease.lock();
        if lease.receipt_handle == receipt_handle {
            lease.ends = ends;
        }
    }

    /// Releases the permit, so that another message can be received while this one only waits for its acknowledgement.
    pub(super) fn release_permit(&mut self) {
        self.permit = None;
    }
}

impl Drop for InFlightMessage {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.received.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_message_that_is_delivered_twice_is_in_flight_once_with_its_newest_handle() {
        let permits = Arc::new(Semaphore::new(3));
        let in_flight = InFlight::default();
        let ends = Instant::now() + Duration::from_secs(120);
        let register = |handle: &str| {
            let message = Message {
                receipt_handle: handle.to_owned(),
                ..Message::default()
            };
            let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
            in_flight.register(message, permit, ends)
        };
        let mut message = register("first").unwrap();
        assert!(register("second").is_none());
        assert_eq!(message.receipt_handle(), "second");
        assert_eq!(permits.available_permits(), 2);
        message.record_extension("first", ends + Duration::from_secs(1));
        assert_eq!(message.lease_ends(), ends);
        message.release_permit();
        assert_eq!(permits.available_permits(), 3);
        assert!(register("third").is_none());
        drop(message);
        assert!(in_flight.oldest_age().is_none());
        assert!(register("fourth").is_some());
    }
}
