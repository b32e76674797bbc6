//! What a client and the workers say to each other for a re-sync. Pure: no I/O, no clock, no environment.

pub mod event;
mod finding;
mod offer;
mod request;

pub use crate::request::RESYNC;
pub use finding::{Basis, Finding, Severity};
pub(crate) use offer::major;
pub use offer::{OfferedExtension, TargetOffer};
pub use request::{
    DEFAULT_BASELINE, InstanceId, InstanceKind, MajorVersion, OfferSource, ResyncMessage,
    ResyncTarget, UpgradeRequest, baseline, resync_id, targets,
};
