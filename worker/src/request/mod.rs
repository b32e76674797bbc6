//! From the body of an SQS message to a valid request. Pure: no I/O, no clock, no environment.
//!
//! It has two stages, so that a request with errors can still be answered: [`RequestHeader`] has the fields that a response
//! needs, and is parsed leniently; [`Request`] has those that are carried out, and is parsed strictly.

mod arn;
mod envelope;
pub(crate) mod explain;
mod header;
mod numbers;
mod operation;
mod origin;
pub(crate) mod partition;
pub(crate) mod properties;
pub(crate) mod property_types;
pub(crate) mod property_values;
#[cfg(test)]
pub(crate) mod reference;
mod response_url;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod trace_context;

pub(crate) use arn::Arn;
pub use envelope::Envelope;
pub(crate) use envelope::RESYNC;
pub use header::RequestHeader;
pub(crate) use header::RequestType;
pub(crate) use numbers::read_with_numbers_as_text;
pub(crate) use operation::{HeaderError, RequestError};
pub use operation::{Operation, Request, Timing};
pub(crate) use origin::Origin;
pub use properties::Properties;
pub(crate) use properties::{Authentication, Databases, OnUnreachableDelete, PropertiesError};
pub(crate) use property_values::Port;
pub use response_url::ResponseUrl;
pub(crate) use response_url::ResponseUrlError;
pub(crate) use trace_context::{TRACEPARENT, Traceparent};
