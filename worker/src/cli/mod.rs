//! What a person runs: one request on this machine, and a re-sync of a fleet by its workers.

pub(crate) mod input;
pub mod local;
pub mod resync;
