//! What the attempts at one request share: what they wait for, and their turn at the server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::Trouble;
use super::server_limit::{Turn, Turns};
use crate::target::Address;

/// What the attempts at one request share.
#[derive(Debug, Default)]
pub struct Progress {
    /// Whether there is no later attempt, in this delivery or another.
    last_chance: bool,
    waiting: Mutex<Option<String>>,
    turn: Mutex<Option<(Address, Turn)>>,
}

impl Progress {
    /// Nothing was tried yet. At the last chance a turn is waited for in any case.
    pub fn new(last_chance: bool) -> Self {
        Self {
            last_chance,
            ..Self::default()
        }
    }

    pub(super) fn waits_for(&self, what: String) {
        *lock(&self.waiting) = Some(what);
    }

    /// What was waited for last, to be told when it never comes.
    pub fn waited_for(&self) -> Option<String> {
        lock(&self.waiting).clone()
    }

    /// The server at which there is a turn.
    pub fn address(&self) -> Option<Address> {
        lock(&self.turn)
            .as_ref()
            .map(|(address, _)| address.clone())
    }

    /// Notes whether the server answered the attempt.
    pub fn note(&self, answered: bool) {
        if let Some((_, turn)) = &*lock(&self.turn) {
            turn.note(answered);
        }
    }

    /// Takes a turn at the server, for this attempt and those after it.
    pub(super) async fn take_turn(&self, turns: &Turns, address: &Address) -> Result<(), Trouble> {
        if lock(&self.turn)
            .as_ref()
            .is_some_and(|(at, _)| at == address)
        {
            return Ok(());
        }
        let turn = turns
            .take(address, self.last_chance)
            .await
            .ok_or_else(|| Trouble::crowded(address))?;
        *lock(&self.turn) = Some((address.clone(), turn));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
