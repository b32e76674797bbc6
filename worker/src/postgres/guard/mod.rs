//! Inspects a server's messages before the driver gets them: the requested authentication, and the number of bytes. Pure.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

use crate::credentials::{AuthMethodError, AuthPolicy};

/// Maximum number of bytes of one exchange, from the client's statements until the server is ready for more. The catalog
/// queries return less than 1 MB with every extension of RDS, and a ledger of thousands of resources has a few MB.
pub(super) const EXCHANGE_BYTES: usize = 8 << 20;
/// Bytes that count for a message beside its own, for the memory that the driver uses for each, so that many small messages
/// are limited, too.
const MESSAGE_BYTES: usize = 128;
/// Maximum size of an AuthenticationRequest: those of SCRAM are below 1 kB.
const MAX_AUTH_BYTES: usize = 4096;

/// The SQLSTATE of the error with which the guard ends an exchange that is too large. The classes of PostgreSQL's SQLSTATEs
/// that begin with a letter after I are only P0 and XX.
pub(super) const TOO_MUCH: &str = "WX001";

/// A byte for the type, four for the length.
const HEAD_BYTES: usize = 5;

const AUTHENTICATION: u8 = b'R';
const READY_FOR_QUERY: u8 = b'Z';
const NOTICE: u8 = b'N';
const NOTIFICATION: u8 = b'A';
const PARAMETER_STATUS: u8 = b'S';
const BACKEND_KEY_DATA: u8 = b'K';
/// The process id with which the message begins.
const PID_BYTES: usize = 4;

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuardError {
    /// The server requests an authentication that is not allowed.
    #[error(transparent)]
    Auth(#[from] AuthMethodError),
    /// The bytes are not PostgreSQL's protocol.
    #[error("the server does not speak PostgreSQL's protocol")]
    Protocol,
}

impl From<GuardError> for io::Error {
    fn from(error: GuardError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Guard {
    policy: AuthPolicy,
    /// The beginning of a message, until it is complete enough to decide.
    head: Vec<u8>,
    /// The bytes of the current message that have not arrived yet, and whether the driver gets them.
    rest: usize,
    is_passed_on: bool,
    /// The bytes that are left in this exchange.
    left: usize,
    /// The server is ready: the next message of the client begins an exchange.
    is_answered: bool,
    has_ended: bool,
    backend_pid: BackendPid,
}

/// The process id of the server's backend; 0 until the server has sent it.
#[derive(Debug, Clone, Default)]
pub(super) struct BackendPid(Arc<AtomicI32>);

impl BackendPid {
    pub(super) fn get(&self) -> i32 {
        self.0.load(Relaxed)
    }
}

impl Guard {
    pub(super) fn new(policy: AuthPolicy, backend_pid: BackendPid) -> Self {
        Self {
            backend_pid,
            policy,
            head: Vec::with_capacity(HEAD_BYTES),
            rest: 0,
            is_passed_on: false,
            left: EXCHANGE_BYTES,
            is_answered: false,
            has_ended: false,
        }
    }

    /// Records that the client sends a message.
    pub(super) fn send(&mut self) {
        if self.is_answered {
            self.is_answered = false;
            self.left = EXCHANGE_BYTES;
        }
    }

    /// Whether the server's messages are no longer read.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Takes bytes of the server, and adds to `passed_on` those that the driver gets. Notices and changed settings, which
    /// the driver would log or store, count, and are left out. If the server sends too much, an error response replaces the
    /// message that exceeds the limit: the driver has no other way to report why a statement failed.
    ///
    /// # Errors
    /// [`GuardError`].
    pub(super) fn receive(
        &mut self,
        mut bytes: &[u8],
        passed_on: &mut Vec<u8>,
    ) -> Result<(), GuardError> {
        while !bytes.is_empty() && !self.has_ended {
            if self.rest > 0 {
                let (part, others) = bytes.split_at(self.rest.min(bytes.len()));
                if self.is_passed_on {
                    passed_on.extend_from_slice(part);
                }
                self.rest -= part.len();
                bytes = others;
                continue;
            }
            let wanted = self.wanted()?;
            let missing = wanted - self.head.len();
            let (part, others) = bytes.split_at(missing.min(bytes.len()));
            self.head.extend_from_slice(part);
            bytes = others;
            if self.head.len() == wanted && wanted == self.wanted()? {
                self.decide(passed_on)?;
            }
        }
        Ok(())
    }

    /// How many bytes of a message are needed to decide: for an AuthenticationRequest all of them.
    fn wanted(&self) -> Result<usize, GuardError> {
        match self.head_parts() {
            Some((AUTHENTICATION, length)) if length <= MAX_AUTH_BYTES => Ok(1 + length),
            Some((AUTHENTICATION, _)) => Err(GuardError::Protocol),
            Some((BACKEND_KEY_DATA, length)) if length >= 4 + PID_BYTES => {
                Ok(HEAD_BYTES + PID_BYTES)
            }
            Some(_) | None => Ok(HEAD_BYTES),
        }
    }

    /// The type of a message, and its length without the type; `None` until both have arrived.
    fn head_parts(&self) -> Option<(u8, usize)> {
        let (kind, rest) = self.head.split_first()?;
        let (length, _) = rest.split_first_chunk()?;
        Some((*kind, usize::try_from(u32::from_be_bytes(*length)).ok()?))
    }

    fn decide(&mut self, passed_on: &mut Vec<u8>) -> Result<(), GuardError> {
        let (kind, length) = self.head_parts().ok_or(GuardError::Protocol)?;
        let body = length.checked_sub(4).ok_or(GuardError::Protocol)?;
        let cost = length + MESSAGE_BYTES;
        let Some(left) = self.left.checked_sub(cost) else {
            self.has_ended = true;
            passed_on.extend(too_much());
            return Ok(());
        };
        self.left = left;
        self.rest = body;
        if kind == AUTHENTICATION {
            let (_, content) = self.head.split_at(HEAD_BYTES);
            let (code, rest) = content.split_first_chunk().ok_or(GuardError::Protocol)?;
            self.policy.check(u32::from_be_bytes(*code), rest)?;
            self.rest = 0;
        }
        let (_, behind) = self.head.split_at(HEAD_BYTES);
        if let (BACKEND_KEY_DATA, Some(pid)) = (kind, behind.first_chunk()) {
            self.backend_pid.0.store(i32::from_be_bytes(*pid), Relaxed);
            self.rest = body - PID_BYTES;
        }
        self.is_answered |= kind == READY_FOR_QUERY;
        self.is_passed_on = !matches!(kind, NOTICE | NOTIFICATION | PARAMETER_STATUS);
        if self.is_passed_on {
            passed_on.append(&mut self.head);
        }
        self.head.clear();
        Ok(())
    }
}

/// An ErrorResponse.
fn too_much() -> Vec<u8> {
    let text = "the server sent too much";
    let fields = format!("SFATAL\0VFATAL\0C{TOO_MUCH}\0M{text}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap_or_default();
    [&b"E"[..], &length.to_be_bytes(), fields.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
