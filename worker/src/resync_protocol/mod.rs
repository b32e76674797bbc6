//! What a client and the workers say to each other for a re-sync. Pure: no I/O, no clock, no environment.

pub mod event;
mod request;

pub use crate::request::RESYNC;
pub use request::{
    DEFAULT_BASELINE, InstanceId, InstanceKind, ResyncMessage, ResyncTarget, baseline, resync_id,
    targets,
};
