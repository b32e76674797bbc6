//! Prints how far a re-sync is: a bar on a terminal, else a line now and then. On standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::report::in_words;
use super::tracker::Progress;

/// How often a line is written at the most.
const LINES_EVERY: Duration = Duration::from_secs(10);
/// How often the bar moves though nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// Prints progress.
#[derive(Debug)]
pub(super) struct ProgressPrinter {
    bar: Option<ProgressBar>,
    printed: Option<(Instant, Progress)>,
}

impl ProgressPrinter {
    /// A printer that has printed nothing yet.
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            let style = "{spinner} {elapsed_precise} [{bar:30}] {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, printed: None }
    }

    /// Prints how far it is.
    pub(super) fn print(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            // A bar of nothing would be full.
            bar.set_length(u64::try_from(progress.servers.max(1)).unwrap_or(u64::MAX));
            bar.set_position(u64::try_from(progress.finished).unwrap_or(u64::MAX));
            bar.set_message(line(progress));
            return;
        }
        let is_due = match &self.printed {
            None => true,
            Some((at, printed)) => printed != progress && at.elapsed() >= LINES_EVERY,
        };
        if is_due {
            self.printed = Some((Instant::now(), progress.clone()));
            print_line(&line(progress));
        }
    }

    /// Prints how it ended.
    pub(super) fn finish(self, progress: &Progress) {
        match self.bar {
            Some(bar) => bar.finish_and_clear(),
            None if self
                .printed
                .is_some_and(|(_, printed)| printed != *progress) =>
            {
                print_line(&line(progress))
            }
            None => {}
        }
    }
}

/// A line on standard error.
pub(super) fn print_line(line: &str) {
    // Where standard error is closed there is nowhere to report that.
    drop(writeln!(io::stderr(), "{line}"));
}

fn line(progress: &Progress) -> String {
    let Progress {
        servers,
        all_known,
        finished,
        results,
    } = progress;
    if *servers == 0 && !all_known {
        return "waiting for workers to say which servers these are".to_owned();
    }
    let and_more = if *all_known { "" } else { " or more" };
    let databases: usize = results.values().sum();
    let mut line =
        format!("{finished} of {servers}{and_more} servers finished, {databases} databases");
    if databases > 0 {
        line.push_str(&format!(": {}", in_words(results)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resync_protocol::event::State;

    #[test]
    fn a_line_says_what_is_known() {
        let mut progress = Progress::default();
        assert_eq!(
            line(&progress),
            "waiting for workers to say which servers these are"
        );
        progress.servers = 2;
        assert_eq!(
            line(&progress),
            "0 of 2 or more servers finished, 0 databases"
        );
        progress.all_known = true;
        progress.finished = 1;
        progress.results = [(State::Failed, 1), (State::InSync, 2)].into();
        assert_eq!(
            line(&progress),
            "1 of 2 servers finished, 3 databases: 2 in sync, 1 failed"
        );
    }
}
