//! Logs, on standard error: one span a message.

use std::io::{self, IsTerminal};

use tracing::field::{self, Empty};
use tracing::{Span, error_span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::message::Traceparent;
use crate::queue::Message;
use crate::settings::LogFormat;

/// Begins to log.
///
/// # Errors
/// Where the filter cannot be read.
pub fn start(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    if json {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .init();
    } else {
        builder
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .init();
    }
    Ok(())
}

/// The span of all that is logged of a message, from its receipt to its acknowledgement. Its request is told to it when it
/// is read.
///
/// Of the level of errors, so that it is there for whatever is logged at all.
pub fn message_span(message: &Message) -> Span {
    let trace = message.trace.as_ref();
    error_span!(
        "message",
        message_id = message.id,
        receive = message.receive_count,
        trace_id = trace.map(Traceparent::trace_id),
        traceparent = trace.map(field::display),
        kind = Empty,
        stack = Empty,
        resource = Empty,
        request = Empty,
    )
}
