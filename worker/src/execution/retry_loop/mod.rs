//! Repeats attempts at one piece of work until one succeeds: it decides whether a failure allows another attempt, and how
//! long to wait for it. Requests, the command line and re-syncs use it; they differ in [`Retryable`] and [`RetryLimits`].

mod attempts;

use std::time::{Duration, Instant};

pub(crate) use self::attempts::Attempts;
use self::attempts::Next;
use super::error::AttemptError;
use crate::process::retry::{POLICY, Retry, full_jitter};

/// Longest pause before the next attempt after a race with another session: the server is not overloaded.
const RACE_PAUSE: Duration = Duration::from_millis(200);

/// Work that is attempted until it succeeds.
pub(crate) trait Retryable {
    /// The result of a successful attempt.
    type Outcome;

    /// Makes one attempt.
    ///
    /// # Errors
    /// [`AttemptError`]; a failed attempt leaves only changes that the next one observes.
    async fn attempt(&self) -> Result<Self::Outcome, AttemptError>;

    /// Records that an attempt failed.
    fn note_failure(&self, _error: &AttemptError) {}

    /// Records that another attempt begins, and why the last one failed.
    fn note_retry(&self, _last: &AttemptError) {}

    /// Ends a pause, and with it the attempts. By default it never does.
    async fn cut(&self) -> EarlyReturn {
        std::future::pending().await
    }
}

/// Time limits of the attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryLimits {
    /// No attempt begins after this time.
    pub(crate) retry_until: Instant,
    /// An attempt that still runs at this time is cancelled; `None` if the timeouts of its statements are sufficient.
    pub(crate) attempt_until: Option<Instant>,
    /// After this time a server to which no connection can be made counts as gone.
    pub(crate) unreachable_until: Option<Instant>,
    /// After this time a refused password counts as wrong.
    pub(crate) refused_until: Option<Instant>,
}

impl RetryLimits {
    /// Limits for work of which no attempt begins after `retry_until`, whatever the failure is.
    pub(crate) fn until(retry_until: Instant) -> Self {
        Self {
            retry_until,
            attempt_until: None,
            unreachable_until: None,
            refused_until: None,
        }
    }
}

/// Why no further attempt is made; [`Attempts::into_error`] returns the last failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Another attempt cannot help.
    Never,
    /// There is no time for another attempt, or no permit for the server.
    OutOfTime,
    /// An interruption ended the attempts.
    Cut(EarlyReturn),
}

/// Why attempts end before their time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlyReturn {
    /// The server was never reached, and does not answer now.
    Unreached,
    /// Another request, whose owner is below its share, waits for the permit.
    Wanted,
}

/// Makes attempts until one succeeds, none can help, or the time is over. Failures are recorded in `attempts`, even if the
/// returned future is dropped.
///
/// # Errors
/// [`Stopped`] if no attempt succeeded.
pub(crate) async fn run_with_retries<W: Retryable>(
    work: &W,
    limits: RetryLimits,
    attempts: &mut Attempts,
) -> Result<W::Outcome, Stopped> {
    let mut pauses = Retry::new(POLICY, limits.retry_until);
    loop {
        let attempt = work.attempt();
        let ended = match limits.attempt_until {
            Some(until) => match tokio::time::timeout_at(until.into(), attempt).await {
                Ok(ended) => ended,
                Err(_) => return Err(Stopped::OutOfTime),
            },
            None => attempt.await,
        };
        let error = match ended {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        work.note_failure(&error);
        let is_over_limit = error.is_server_limit();
        if attempts.record(error, &limits) == Next::Never {
            return Err(Stopped::Never);
        }
        if is_over_limit {
            return Err(Stopped::OutOfTime);
        }
        if attempts.is_in_a_race() && Instant::now() < limits.retry_until {
            tokio::time::sleep(full_jitter(RACE_PAUSE)).await;
        } else {
            tokio::select! {
                is_left = pauses.pause() => if !is_left { return Err(Stopped::OutOfTime) },
                cut = work.cut() => return Err(Stopped::Cut(cut)),
            }
        }
        if let Some(last) = attempts.last() {
            work.note_retry(last);
        }
    }
}

#[cfg(test)]
mod tests;
