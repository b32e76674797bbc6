//! What a client and the workers say to each other for a re-sync. Pure: no I/O, no clock, no environment.

pub mod event;
mod finding;
mod offer;
mod request;

pub(crate) use crate::request::RESYNC;
pub(crate) use finding::{Basis, Finding, Severity};
pub(crate) use offer::{OfferedExtension, TargetOffer, major};
pub use request::ResyncMessage;
pub(crate) use request::{
    DEFAULT_BASELINE, InstanceId, InstanceKind, MajorVersion, OfferSource, ResyncTarget,
    UpgradeRequest, baseline, resync_id, targets,
};
