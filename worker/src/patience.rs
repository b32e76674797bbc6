//! How long a request is tried again: what each failure of an attempt says of the next one.

use std::time::{Duration, Instant};

use crate::fault::Class;
use crate::work::Trouble;

/// How long a message is worked on before it goes back to the queue, so that a server that is down does not fill every
/// slot; and how long a wrong password may still turn out right, as rotation changes the database before the secret.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often in a row somebody else may be faster. A race is over after one more look; what goes on is none.
const RACES: u32 = 10;

/// The attempts at one delivery of a request.
#[derive(Debug, Default)]
pub struct Attempts {
    last: Option<Trouble>,
    in_a_row: u32,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again.
    Again,
    /// Trying again never helps.
    Never,
}

impl Attempts {
    /// Notes a failure, and says what is next. A server that no connection could be made to until `unreachable_until` is
    /// taken for gone.
    pub fn note(&mut self, trouble: Trouble, unreachable_until: Option<Instant>) -> Next {
        let same = self
            .last
            .as_ref()
            .is_some_and(|last| last.class == trouble.class);
        self.in_a_row = if same { self.in_a_row + 1 } else { 1 };
        let next = match trouble.class {
            Class::Transient if trouble.unreachable => match unreachable_until {
                Some(until) if Instant::now() >= until => Next::Never,
                Some(_) | None => Next::Again,
            },
            Class::Transient | Class::Credentials => Next::Again,
            Class::Race if self.in_a_row < RACES => Next::Again,
            Class::TransientAtMost(times) if self.in_a_row <= times => Next::Again,
            Class::Race
            | Class::TransientAtMost(_)
            | Class::Permanent
            | Class::Prerequisite(_)
            | Class::NoDatabase => Next::Never,
        };
        self.last = Some(trouble);
        next
    }

    /// What went wrong last; an attempt that time ended knows less of it than the one before.
    pub fn into_trouble(self) -> Trouble {
        self.last.unwrap_or_else(Trouble::out_of_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(class: Class) -> Trouble {
        Trouble {
            class,
            ..Trouble::out_of_time()
        }
    }

    #[test]
    fn a_bounded_failure_is_counted_for_itself_and_in_a_row() {
        let mut attempts = Attempts::default();
        for _ in 0..7 {
            assert_eq!(attempts.note(trouble(Class::Transient), None), Next::Again);
        }
        for _ in 0..3 {
            assert_eq!(
                attempts.note(trouble(Class::TransientAtMost(3)), None),
                Next::Again
            );
        }
        assert_eq!(
            attempts.note(trouble(Class::TransientAtMost(3)), None),
            Next::Never
        );
    }

    #[test]
    fn a_race_that_goes_on_is_none() {
        let mut attempts = Attempts::default();
        let next: Vec<Next> = (0..RACES)
            .map(|_| attempts.note(trouble(Class::Race), None))
            .collect();
        assert_eq!(next.last(), Some(&Next::Never));
        assert_eq!(next.iter().filter(|next| **next == Next::Never).count(), 1);
    }

    #[test]
    fn only_a_server_that_cannot_be_reached_is_taken_for_gone() {
        let past = Some(Instant::now());
        let unreachable = Trouble {
            unreachable: true,
            ..trouble(Class::Transient)
        };
        assert_eq!(
            Attempts::default().note(unreachable.clone(), past),
            Next::Never
        );
        assert_eq!(Attempts::default().note(unreachable, None), Next::Again);
        assert_eq!(
            Attempts::default().note(trouble(Class::Transient), past),
            Next::Again
        );
    }
}
