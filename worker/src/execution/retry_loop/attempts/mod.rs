//! Decides after each failure of an attempt whether to make another.

use std::time::{Duration, Instant};

use super::RetryLimits;
use crate::execution::error::AttemptError;
use crate::postgres_error::Class;

/// How many races in a row are retried, and for how long at least: on a busy machine each observation takes longer, and
/// another session is faster more often. A real race is over after one more observation; an error that persists is none.
const MAX_RACES: u32 = 30;
const MIN_RACE_TIME: Duration = Duration::from_secs(15);

/// The failures of the attempts so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    last: Option<AttemptError>,
    /// Consecutive failures of the class of the last one, and the time of the first of these.
    in_a_row: u32,
    since: Option<Instant>,
}

/// The decision after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Make another attempt.
    Again,
    /// Another attempt cannot help.
    Never,
}

impl Attempts {
    /// Records a failure, and decides.
    pub(super) fn record(&mut self, error: AttemptError, limits: &RetryLimits) -> Next {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| Instant::now() >= until);
        let same = self
            .last
            .as_ref()
            .is_some_and(|last| last.class() == error.class());
        self.in_a_row = if same { self.in_a_row + 1 } else { 1 };
        let since = self.since.filter(|_| same).unwrap_or_else(Instant::now);
        self.since = Some(since);
        let next = match error.class() {
            Class::Transient if error.is_unreachable() && is_over(limits.unreachable_until) => {
                Next::Never
            }
            Class::Credentials if is_over(limits.refused_until) => Next::Never,
            Class::Transient | Class::Credentials => Next::Again,
            Class::Race if self.in_a_row < MAX_RACES || since.elapsed() < MIN_RACE_TIME => {
                Next::Again
            }
            Class::TransientAtMost(times) if self.in_a_row <= times => Next::Again,
            Class::Race
            | Class::TransientAtMost(_)
            | Class::Permanent
            | Class::Prerequisite(_)
            | Class::ClosedDatabase
            | Class::NoDatabase => Next::Never,
        };
        self.last = Some(error);
        next
    }

    /// Whether another session was faster in the last attempt.
    pub(super) fn is_in_a_race(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.class() == Class::Race)
    }

    /// The last failure; `None` if there is none.
    pub(super) fn last(&self) -> Option<&AttemptError> {
        self.last.as_ref()
    }

    /// The last error; for an attempt that was ended by its time limit, the error of the attempt before, which has more
    /// details.
    pub(crate) fn into_error(self, waiting: Option<String>) -> AttemptError {
        self.last.unwrap_or(AttemptError::Timeout {
            waiting_for: waiting,
        })
    }
}

#[cfg(test)]
mod tests;
