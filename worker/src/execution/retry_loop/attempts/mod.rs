//! What the failures of attempts at one request say of the next attempt.

use std::time::{Duration, Instant};

use super::RetryLimits;
use crate::execution::error::AttemptError;
use crate::postgres_error::Class;

/// How often in a row another session may be faster, and for how long at the least: on a busy machine each look takes
/// longer, and is overtaken more often. A race is over after one more look; what goes on for both is none.
const MAX_RACES: u32 = 30;
const MIN_RACE_TIME: Duration = Duration::from_secs(15);

/// What the attempts at one piece of work came to so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    last: Option<AttemptError>,
    /// Failures of the last one's class without another between them, and when the first of these was.
    in_a_row: u32,
    since: Option<Instant>,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again.
    Again,
    /// Trying again never helps.
    Never,
}

impl Attempts {
    /// Notes a failure, and decides what is next.
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

    /// Whether another session was faster just now.
    pub(super) fn is_in_a_race(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.class() == Class::Race)
    }

    /// Why the last attempt failed; none where none did.
    pub(super) fn last(&self) -> Option<&AttemptError> {
        self.last.as_ref()
    }

    /// What went wrong last; an attempt that time ended knows less of it than the one before.
    pub(crate) fn into_error(self, waiting: Option<String>) -> AttemptError {
        self.last.unwrap_or(AttemptError::Timeout {
            waiting_for: waiting,
        })
    }
}

#[cfg(test)]
mod tests;
