//! From the body of an SQS message to a request that can be carried out. Pure: no I/O, no clock, no environment.
//!
//! Two stages, so that a request with faults is still answered: [`RequestHeader`] are what an answer needs and are read
//! leniently; [`Request`] is what is carried out and is read strictly.

mod arn;
mod envelope;
pub(crate) mod explain;
mod header;
mod numbers;
mod operation;
mod origin;
pub(crate) mod partition;
pub(crate) mod properties;
mod property_types;
pub(crate) mod property_values;
#[cfg(test)]
pub(crate) mod reference;
mod response_url;
#[cfg(test)]
mod tests;
pub mod text;
mod trace_context;

pub use arn::Arn;
pub use envelope::{Envelope, EnvelopeError, RESYNC};
pub use header::{RequestHeader, RequestType, StackId};
pub use numbers::read_with_numbers_as_text;
pub use operation::{HeaderError, Operation, Request, RequestError, Timing};
pub use origin::Origin;
pub use properties::{Authentication, Databases, OnUnreachableDelete, Properties, PropertiesError};
pub use property_types::{ExtensionObject, ResourceProperties};
pub use property_values::Port;
pub use response_url::{ResponseUrl, ResponseUrlError};
pub use trace_context::{TRACEPARENT, Traceparent};
