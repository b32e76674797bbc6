//! Permits to process messages, shared fairly: while another message waits, no stack and no account holds more than half of
//! them.
//!
//! A received message waits here for a permit. If its stack or account already has its share, it waits only for a moment,
//! and is then returned to the queue, so that the consumer holds few messages beyond those being processed: see
//! [`waiting_room`]. Between two attempts, a message whose stack or account holds more than its share yields its permit to
//! one that waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

/// How long a message waits if its stack or account has its share already.
const WAIT_OVER_SHARE: Duration = Duration::from_millis(500);
/// How long any other message waits before it is returned to the queue for another worker.
const WAIT: Duration = Duration::from_secs(10);
/// Maximum number of messages that wait for a permit.
const MAX_WAITING_ROOM: usize = 10;

/// Number of messages that may wait for one of these permits. Without a waiting message the queue would not be read while
/// all permits are held.
pub(crate) fn waiting_room(permits: usize) -> usize {
    (permits / 2).min(MAX_WAITING_ROOM)
}

/// The permits, and their holders.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    permits: usize,
    state: Arc<Mutex<State>>,
    /// Notified when holders may have to yield their permits.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    stacks: HashMap<String, usize>,
    accounts: HashMap<String, usize>,
    /// In the order of arrival.
    waiting: Vec<Waiting>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    owner: Owner,
    granted: oneshot::Sender<Share>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    stack: String,
    account: String,
}

/// A permit; released when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Shares,
    owner: Owner,
}

/// The stack or account has its share, or no permit became free in time: the message is returned to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its stack or account has its share of the concurrency already")]
pub(crate) struct OverShareError;

impl Shares {
    /// Makes this number of permits.
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            permits: permits.max(1),
            state: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// Acquires a permit for a message of a stack. With `is_final_receive` the wait has no limit, because there is no later
    /// delivery.
    ///
    /// # Errors
    /// [`OverShareError`].
    pub(crate) async fn acquire(
        &self,
        stack: &str,
        account: &str,
        is_final_receive: bool,
    ) -> Result<Share, OverShareError> {
        let owner = Owner {
            stack: stack.to_owned(),
            account: account.to_owned(),
        };
        let (id, mut granted, wait) = {
            let mut state = self.state();
            if state.held < self.permits && !self.must_yield(&state, &owner, 1) {
                state.add(&owner);
                return Ok(self.share(owner));
            }
            let is_over =
                self.must_yield(&state, &owner, 1) || state.of_stack(&owner) >= self.half();
            let (grant, granted) = oneshot::channel();
            let id = state.next_id;
            state.next_id += 1;
            state.waiting.push(Waiting {
                id,
                owner: owner.clone(),
                granted: grant,
            });
            let wait = if is_over { WAIT_OVER_SHARE } else { WAIT };
            (id, granted, wait)
        };
        // Removes the message from the list when the wait ends or is cancelled.
        let _leaving = Leaving { shares: self, id };
        self.changed.notify_waiters();
        let share = if is_final_receive {
            (&mut granted).await.ok()
        } else {
            let share = tokio::time::timeout(wait, &mut granted).await;
            share.ok().and_then(Result::ok)
        };
        // The permit may have been granted in the last moment.
        share
            .or_else(|| granted.try_recv().ok())
            .ok_or(OverShareError)
    }

    fn share(&self, owner: Owner) -> Share {
        Share {
            shares: self.clone(),
            owner,
        }
    }

    fn half(&self) -> usize {
        (self.permits / 2).max(1)
    }

    /// Whether an owner with `more` permits would exceed its share while others wait.
    fn must_yield(&self, state: &State, owner: &Owner, more: usize) -> bool {
        let half = self.half();
        let waits = |other: &dyn Fn(&Owner) -> bool| {
            state.waiting.iter().any(|waiting| other(&waiting.owner))
        };
        let stack_has_more = state.of_stack(owner) + more > half;
        let account_has_more =
            state.accounts.get(&owner.account).copied().unwrap_or(0) + more > half;
        stack_has_more && waits(&|other| other.stack != owner.stack)
            || account_has_more && waits(&|other| other.account != owner.account)
    }

    /// Grants free permits to waiting messages whose owners are below their share, in the order of arrival. Returns permits
    /// that could not be granted, to be dropped after the state is unlocked.
    #[must_use]
    fn grant(&self, state: &mut State) -> Vec<Share> {
        let mut left = Vec::new();
        while state.held < self.permits {
            let next = state
                .waiting
                .iter()
                .position(|waiting| !self.must_yield(state, &waiting.owner, 1));
            let Some(next) = next else { break };
            let waiting = state.waiting.remove(next);
            state.add(&waiting.owner);
            left.extend(waiting.granted.send(self.share(waiting.owner)).err());
        }
        left
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn of_stack(&self, owner: &Owner) -> usize {
        self.stacks.get(&owner.stack).copied().unwrap_or(0)
    }

    fn add(&mut self, owner: &Owner) {
        self.held += 1;
        *self.stacks.entry(owner.stack.clone()).or_default() += 1;
        *self.accounts.entry(owner.account.clone()).or_default() += 1;
    }

    fn remove(&mut self, owner: &Owner) {
        self.held = self.held.saturating_sub(1);
        lower(&mut self.stacks, &owner.stack);
        lower(&mut self.accounts, &owner.account);
    }
}

fn lower(counts: &mut HashMap<String, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Share {
    /// Returns when another message waits, and the stack or account of this one holds more than its share.
    pub(crate) async fn wanted(&self) {
        loop {
            let changed = self.shares.changed.notified();
            tokio::pin!(changed);
            // From here on no notification is missed.
            changed.as_mut().enable();
            if self.shares.must_yield(&self.shares.state(), &self.owner, 0) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        state.remove(&self.owner);
        let left = self.shares.grant(&mut state);
        drop(state);
        drop(left);
    }
}

/// Removes a message that no longer waits from the list.
struct Leaving<'a> {
    shares: &'a Shares,
    id: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        state.waiting.retain(|waiting| waiting.id != self.id);
        // Holders that had to yield only to this message need not yield any more.
        let left = self.shares.grant(&mut state);
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests;
