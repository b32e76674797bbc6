//! The state that the attempts at one request share: what they wait for, and their permit for the server.

use parking_lot::Mutex;

use super::error::AttemptError;
use super::server_limit::{ServerLimits, ServerPermit};
use crate::target::Address;

/// The state that the attempts at one request share.
#[derive(Debug, Default)]
pub(crate) struct DeliveryState {
    /// Whether there is no later attempt, in this delivery or another.
    is_final_receive: bool,
    waiting: Mutex<Option<String>>,
    permit: Mutex<Option<(Address, ServerPermit)>>,
}

impl DeliveryState {
    /// The state before the first attempt. At the final receive the request waits for a permit even if the server fails.
    pub(crate) fn new(is_final_receive: bool) -> Self {
        Self {
            is_final_receive,
            ..Self::default()
        }
    }

    pub(super) fn set_waiting_for(&self, what: String) {
        *self.waiting.lock() = Some(what);
    }

    /// What the request waited for last, which the Reason of a timeout names.
    pub(crate) fn waiting_for(&self) -> Option<String> {
        self.waiting.lock().clone()
    }

    /// The server of the permit.
    pub(crate) fn address(&self) -> Option<Address> {
        self.permit
            .lock()
            .as_ref()
            .map(|(address, _)| address.clone())
    }

    /// Records whether the server answered the attempt.
    pub(crate) fn record_answer(&self, answered: bool) {
        if let Some((_, permit)) = &*self.permit.lock() {
            permit.record_answer(answered);
        }
    }

    /// Acquires a permit for the server, for this attempt and the following ones.
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
