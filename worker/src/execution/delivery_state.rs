//! What the attempts at one request share: what they wait for, and their turn at the server.

use parking_lot::Mutex;

use super::error::AttemptError;
use super::server_limit::{ServerLimits, ServerPermit};
use crate::target::Address;

/// What the attempts at one request share.
#[derive(Debug, Default)]
pub(crate) struct DeliveryState {
    /// Whether there is no later attempt, in this delivery or another.
    is_final_receive: bool,
    waiting: Mutex<Option<String>>,
    permit: Mutex<Option<(Address, ServerPermit)>>,
}

impl DeliveryState {
    /// Nothing was tried yet. At the last chance a turn is waited for in any case.
    pub(crate) fn new(is_final_receive: bool) -> Self {
        Self {
            is_final_receive,
            ..Self::default()
        }
    }

    pub(super) fn set_waiting_for(&self, what: String) {
        *self.waiting.lock() = Some(what);
    }

    /// What was waited for last: the Reason names it where it never comes.
    pub(crate) fn waiting_for(&self) -> Option<String> {
        self.waiting.lock().clone()
    }

    /// The server at which there is a turn.
    pub(crate) fn address(&self) -> Option<Address> {
        self.permit
            .lock()
            .as_ref()
            .map(|(address, _)| address.clone())
    }

    /// Notes whether the server answered the attempt.
    pub(crate) fn record_answer(&self, answered: bool) {
        if let Some((_, permit)) = &*self.permit.lock() {
            permit.record_answer(answered);
        }
    }

    /// Takes a turn at the server, for this attempt and those after it.
    pub(super) async fn acquire_permit(
        &self,
        server_limits: &ServerLimits,
        address: &Address,
    ) -> Result<(), AttemptError> {
        if self
            .permit
            .lock()
            .as_ref()
            .is_some_and(|(at, _)| at == address)
        {
            return Ok(());
        }
        let permit = server_limits
            .acquire(address, self.is_final_receive)
            .await
            .ok_or_else(|| AttemptError::ServerLimit(address.clone()))?;
        *self.permit.lock() = Some((address.clone(), permit));
        Ok(())
    }
}
