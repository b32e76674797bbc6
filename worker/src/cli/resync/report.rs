//! What a re-sync came to. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::resync_protocol::event::{DatabaseResult, Mode, State};

/// The whole of it, as `--json` writes it and the page takes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    /// Which re-sync.
    pub(super) resync_id: String,
    /// What it did.
    pub(super) mode: Mode,
    /// When it was asked for.
    pub(super) started_at: DateTime<Utc>,
    /// When the last result was there, or no other was waited for.
    pub(super) finished_at: DateTime<Utc>,
    /// Whether all results are there.
    pub(super) complete: bool,
    /// One for each database.
    pub(super) results: Vec<DatabaseResult>,
}

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing is to be done.
    Fine,
    /// A database has drifted, or is not ready for an upgrade.
    Drift,
    /// A database failed.
    Failures,
    /// Not all results are there.
    Incomplete,
}

impl Verdict {
    /// The exit code; 1 and 2 are of what went wrong before there was a report.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Drift => 3,
            Self::Failures => 4,
            Self::Incomplete => 5,
        }
    }
}

impl Report {
    /// The worst of it.
    pub(super) fn verdict(&self) -> Verdict {
        let worst = self.results.iter().map(|result| match result.state {
            State::InSync | State::Repaired | State::Unmanaged | State::Ready => Verdict::Fine,
            State::Drifted | State::NeedsSteps | State::Blocked => Verdict::Drift,
            State::Failed => Verdict::Failures,
        });
        let whole = if self.complete {
            Verdict::Fine
        } else {
            Verdict::Incomplete
        };
        worst.max().unwrap_or(Verdict::Fine).max(whole)
    }

    /// How many results there are of each state.
    pub(super) fn totals(&self) -> BTreeMap<State, usize> {
        let mut totals = BTreeMap::new();
        for result in &self.results {
            *totals.entry(result.state).or_default() += 1;
        }
        totals
    }
}

/// The totals in words: `2 in sync, 1 failed`.
pub(super) fn in_words(totals: &BTreeMap<State, usize>) -> String {
    let words: Vec<String> = totals
        .iter()
        .map(|(state, count)| format!("{count} {}", word(*state)))
        .collect();
    words.join(", ")
}

/// A state in words.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::InSync => "in sync",
        State::Repaired => "repaired",
        State::Drifted => "drifted",
        State::Failed => "failed",
        State::Unmanaged => "unmanaged",
        State::Ready => "ready",
        State::NeedsSteps => "needs steps",
        State::Blocked => "blocked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resync::tests::{report, result};

    #[test]
    fn the_worst_decides_on_the_exit_code() {
        let code = |complete, states: &[State]| {
            let results = states.iter().map(|state| result(*state, "d")).collect();
            let report = Report {
                complete,
                ..report(results)
            };
            report.verdict().exit_code()
        };
        assert_eq!(code(true, &[]), 0);
        let fine = [State::InSync, State::Repaired, State::Unmanaged];
        assert_eq!(code(true, &fine), 0);
        assert_eq!(code(true, &[State::InSync, State::Drifted]), 3);
        assert_eq!(
            code(true, &[State::Failed, State::Drifted, State::InSync]),
            4
        );
        assert_eq!(code(false, &[State::Failed]), 5);
        assert_eq!(code(false, &[]), 5);
    }
}
