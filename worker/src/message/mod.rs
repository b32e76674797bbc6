//! From the body of an SQS message to a request that can be carried out. Pure: no I/O, no clock, no environment.
//!
//! Two stages, so that a request with faults is still answered: [`Coordinates`] are what an answer needs and are read
//! leniently; [`Request`] is what is carried out and is read strictly.

mod certificate_url;
mod coordinates;
mod envelope;
mod explain;
mod numbers;
mod origin;
mod partition;
mod properties;
mod property_types;
pub mod reference;
mod request;
mod response_url;
mod resync;
mod signature;
#[cfg(test)]
mod tests;
mod trace;

pub use certificate_url::{CertificateUrl, ForbiddenCertificateUrl};
pub use coordinates::{Coordinates, RequestType, StackId};
pub use envelope::{Envelope, Undeliverable};
pub use numbers::read_with_numbers_as_text;
pub use origin::Origin;
pub use properties::{
    Authentication, Databases, InvalidProperties, OnUnreachableDelete, Properties,
};
pub use property_types::{ExtensionObject, Port, ResourceProperties};
pub use request::{Operation, Request, Timing, Unanswerable, UnusableRequest};
pub use response_url::{ForbiddenUrl, ResponseUrl};
pub use resync::{
    DEFAULT_BASELINE, RESYNC, ResyncMessage, ResyncTarget, baseline, resync_id, targets,
};
pub use signature::printable;
pub use signature::{Signature, SignatureFault, SignatureVersion, SignedFields};
pub use trace::{TRACEPARENT, Traceparent};
