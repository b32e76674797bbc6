//! Writes the lines for CloudWatch to standard output, at regular intervals and once at the end. On a thread of its own:
//! a pipe without a reader blocks nothing else.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use chrono::Utc;
use tracing::warn;

use super::{Metrics, emf};

/// How long the last lines may take. Who does not read them by then does without.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How the lines are written.
#[derive(Debug, Clone)]
pub struct ReportSettings {
    /// CloudWatch's namespace.
    pub namespace: String,
    /// The interval.
    pub every: Duration,
}

/// Lines that are being written, until `finish`.
#[derive(Debug)]
pub struct Reporter {
    stop: Sender<()>,
    done: Receiver<()>,
}

/// Begins to write.
///
/// # Errors
/// Where no thread can be had.
pub fn start(metrics: Metrics, settings: ReportSettings) -> io::Result<Reporter> {
    let (stop, stopped) = channel();
    let (end, done) = channel();
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            report(&metrics, &settings, &stopped, &mut io::stdout());
            drop(end);
        })?;
    Ok(Reporter { stop, done })
}

impl Reporter {
    /// Writes what happened since the last lines, if that takes no longer than a second.
    pub fn finish(self) {
        drop(self.stop);
        if self.done.recv_timeout(LAST_LINES) == Err(RecvTimeoutError::Timeout) {
            warn!("nobody reads standard output: the last metrics are lost");
        }
    }
}

fn report(
    metrics: &Metrics,
    settings: &ReportSettings,
    stopped: &Receiver<()>,
    output: &mut impl Write,
) {
    let mut before = Vec::new();
    loop {
        let is_last = stopped.recv_timeout(settings.every) != Err(RecvTimeoutError::Timeout);
        let now = metrics.read();
        let lines = emf::lines(
            &settings.namespace,
            Utc::now().timestamp_millis(),
            &before,
            &now,
        );
        let mut text = lines.join("\n");
        text.push('\n');
        let written = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush());
        if let Err(error) = written {
            warn!(%error, "standard output takes no metrics: none are written any more");
            return;
        }
        if is_last {
            return;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn settings(every: Duration) -> ReportSettings {
        ReportSettings {
            namespace: "N".to_owned(),
            every,
        }
    }

    #[test]
    fn a_closed_pipe_ends_it_quietly() {
        let (_stop, stopped) = channel();
        let settings = settings(Duration::from_millis(1));
        report(&Metrics::default(), &settings, &stopped, &mut Closed);
    }

    #[test]
    fn the_last_lines_come_at_once() {
        let (stop, stopped) = channel();
        drop(stop);
        let mut written = Vec::new();
        let settings = settings(Duration::from_secs(3600));
        report(&Metrics::default(), &settings, &stopped, &mut written);
        let text = String::from_utf8(written).unwrap();
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
    }
}
