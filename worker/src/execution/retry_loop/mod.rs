//! Attempts at one piece of work until it succeeds: what each failure says of the next attempt, and how long to wait for it.
//! Requests, the command line and re-syncs all go through it; what differs between them are [`Retryable`] and [`RetryLimits`].

mod attempts;

use std::time::{Duration, Instant};

pub(crate) use self::attempts::Attempts;
use self::attempts::Next;
use super::error::AttemptError;
use crate::process::retry::{POLICY, Retry, full_jitter};

/// How long at the most to wait before the next attempt in a race: no server is overloaded.
const RACE_PAUSE: Duration = Duration::from_millis(200);

/// Work that is attempted until it succeeds.
pub(crate) trait Retryable {
    /// What a successful attempt returns.
    type Outcome;

    /// Makes one attempt.
    ///
    /// # Errors
    /// [`AttemptError`]; the attempt changed nothing then that the next one does not find.
    async fn attempt(&self) -> Result<Self::Outcome, AttemptError>;

    /// Notes that an attempt failed.
    fn note_failure(&self, _error: &AttemptError) {}

    /// Notes that another attempt is about to be made, and why the last one failed.
    fn note_retry(&self, _last: &AttemptError) {}

    /// Ends a pause, and with it the attempts. By default nothing does.
    async fn cut(&self) -> EarlyReturn {
        std::future::pending().await
    }
}

/// How long work is attempted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryLimits {
    /// No attempt begins after it.
    pub(crate) retry_until: Instant,
    /// An attempt that still runs is cancelled then; none where the timeouts of its statements are enough.
    pub(crate) attempt_until: Option<Instant>,
    /// From then on a server that no connection can be made to is taken for gone.
    pub(crate) unreachable_until: Option<Instant>,
    /// From then on a password that is refused is taken for wrong.
    pub(crate) refused_until: Option<Instant>,
}

impl RetryLimits {
    /// Whatever the failure, no attempt begins after `retry_until`.
    pub(crate) fn until(retry_until: Instant) -> Self {
        Self {
            retry_until,
            attempt_until: None,
            unreachable_until: None,
            refused_until: None,
        }
    }
}

/// Why no further attempt is made; [`Attempts::into_error`] has the last failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Trying again never helps.
    Never,
    /// There is no time for another attempt, or no room at the server.
    OutOfTime,
    /// Something ended the attempts.
    Cut(EarlyReturn),
}

/// Why attempts end before their time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlyReturn {
    /// The server was never reached, and does not answer now.
    Unreached,
    /// Another request below its share waits for the permit.
    Wanted,
}

/// Attempts until one succeeds, trying again never helps, or there is no time for another. Failures are recorded in
/// `attempts`, also where the returned future is dropped.
///
/// # Errors
/// [`Stopped`], where no attempt succeeded.
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
