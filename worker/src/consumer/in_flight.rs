//! The messages in hand: each once, however often it is delivered, and each with the handle of its newest delivery.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use crate::aws::sqs::Message;

/// Messages by id.
#[derive(Debug, Clone, Default)]
pub(super) struct InHand(Arc<Mutex<HashMap<String, Arc<Held>>>>);

/// What is known of a message in hand.
#[derive(Debug)]
struct Held {
    since: Instant,
    lease: Mutex<Lease>,
}

#[derive(Debug, Clone)]
struct Lease {
    receipt_handle: String,
    ends: Instant,
}

/// A message in hand, and one of the places for such; both are free again when it is dropped, whatever comes of it.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) message: Message,
    held: Arc<Held>,
    all: InHand,
    place: Option<OwnedSemaphorePermit>,
}

impl InHand {
    /// Takes a message in hand until `ends`. One that is there already is not taken twice: its newest handle is kept, and
    /// its place is free again.
    pub(super) fn take(
        &self,
        message: Message,
        place: OwnedSemaphorePermit,
        ends: Instant,
    ) -> Option<Hand> {
        let lease = Lease {
            receipt_handle: message.receipt_handle.clone(),
            ends,
        };
        let mut all = lock(&self.0);
        if let Some(held) = all.get(&message.id) {
            *lock(&held.lease) = lease;
            return None;
        }
        let held = Arc::new(Held {
            since: Instant::now(),
            lease: Mutex::new(lease),
        });
        all.insert(message.id.clone(), Arc::clone(&held));
        drop(all);
        Some(Hand {
            message,
            held,
            all: self.clone(),
            place: Some(place),
        })
    }

    /// For how long the oldest of them has been in hand.
    pub(super) fn longest(&self) -> Option<Duration> {
        let all = lock(&self.0);
        all.values().map(|held| held.since.elapsed()).max()
    }
}

impl Hand {
    /// The handle of the newest delivery.
    pub(super) fn receipt_handle(&self) -> String {
        lock(&self.held.lease).receipt_handle.clone()
    }

    /// When the message becomes visible to others, unless it is extended.
    pub(super) fn lease_ends(&self) -> Instant {
        lock(&self.held.lease).ends
    }

    /// The lease was extended; by a handle that is still the newest, or not at all.
    pub(super) fn extended(&self, receipt_handle: &str, ends: Instant) {
        let mut lease = lock(&self.held.lease);
        if lease.receipt_handle == receipt_handle {
            lease.ends = ends;
        }
    }

    /// Another message may be taken, while this one is only waiting to be acknowledged.
    pub(super) fn make_room(&mut self) {
        self.place = None;
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        lock(&self.all.0).remove(&self.message.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_message_that_is_delivered_twice_is_in_hand_once_with_its_newest_handle() {
        let places = Arc::new(Semaphore::new(3));
        let in_hand = InHand::default();
        let ends = Instant::now() + Duration::from_secs(120);
        let take = |handle: &str| {
            let message = Message {
                receipt_handle: handle.to_owned(),
                ..Message::default()
            };
            let place = Arc::clone(&places).try_acquire_owned().unwrap();
            in_hand.take(message, place, ends)
        };
        let mut hand = take("first").unwrap();
        assert!(take("second").is_none());
        assert_eq!(hand.receipt_handle(), "second");
        assert_eq!(places.available_permits(), 2);
        hand.extended("first", ends + Duration::from_secs(1));
        assert_eq!(hand.lease_ends(), ends);
        hand.make_room();
        assert_eq!(places.available_permits(), 3);
        assert!(take("third").is_none());
        drop(hand);
        assert!(in_hand.longest().is_none());
        assert!(take("fourth").is_some());
    }
}
