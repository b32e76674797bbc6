//! Logs, on standard error.
//!
//! Whatever the filter asks for, other crates than this one write nothing below `OTHERS`: what they write there holds
//! signatures, tokens, presigned URLs, headers and the texts of secrets (aws_sigv4 its canonical requests, aws_smithy and
//! hyper requests and answers, reqwest URLs, tokio_postgres statements).

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Whose logs may be as detailed as the filter asks for: the library's and the binaries'.
const OURS: &str = "extension_worker";
/// The most detailed level of all others.
const OTHERS: Level = Level::INFO;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object for each line.
    Json,
    /// Text for people.
    Text,
}

/// Whether a line of this target and level may be written at all.
fn may_be_written(target: &str, level: Level) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    level <= OTHERS || name == OURS || name == "extension_worker_failpoints"
}

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
    let cap = filter_fn(|metadata| may_be_written(metadata.target(), *metadata.level()));
    if json {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .with(cap)
            .init();
    } else {
        builder
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .finish()
            .with(cap)
            .init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_write_nothing_that_is_more_detailed_than_info() {
        for other in [
            "aws_sigv4::http_request::sign",
            "aws_smithy_runtime::client::orchestrator",
            "hyper::proto::h1::io",
            "reqwest::connect",
            "h2::codec",
            "rustls::client::hs",
            "tokio_postgres::query",
            "extension_workers",
            "log",
        ] {
            assert!(!may_be_written(other, Level::TRACE), "{other}");
            assert!(!may_be_written(other, Level::DEBUG), "{other}");
            assert!(may_be_written(other, Level::INFO), "{other}");
        }
        assert!(may_be_written("extension_worker::handler", Level::TRACE));
    }
}
