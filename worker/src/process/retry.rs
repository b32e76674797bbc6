//! Trying again. The only module that knows the crate `backoff`, which is unmaintained (RUSTSEC-2025-0012): to replace it,
//! rewrite [`Retry`].

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use chrono::{DateTime, Utc};

/// How the pauses between attempts grow. Each is drawn evenly between nothing and a bound that doubles (full jitter).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// The bound of the first pause.
    pub(crate) first: Duration,
    /// The bound that is doubled no more.
    pub(crate) longest: Duration,
}

/// For databases and answers: 200 ms, doubling up to 30 s.
pub(crate) const POLICY: Policy = Policy {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(30),
};

/// What is left for the last attempt when a pause is cut short for it.
const LAST_ATTEMPT: Duration = Duration::from_secs(1);

/// The pauses between attempts that end at an instant.
#[derive(Debug)]
pub(crate) struct Retry {
    pauses: ExponentialBackoff,
    until: Instant,
}

impl Retry {
    /// No pause yet.
    pub(crate) fn new(policy: Policy, until: Instant) -> Self {
        Self {
            pauses: pauses(policy),
            until,
        }
    }

    /// Waits before the next attempt; `false` where there is no time for another.
    pub(crate) async fn pause(&mut self) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left <= LAST_ATTEMPT {
            return false;
        }
        let pause = self.pauses.next_backoff().unwrap_or_default();
        tokio::time::sleep(pause.min(left - LAST_ATTEMPT)).await;
        true
    }
}

fn pauses(policy: Policy) -> ExponentialBackoff {
    // backoff draws from interval ± factor × interval: with half the bound and a factor of one that is 0 to the bound.
    ExponentialBackoff {
        current_interval: policy.first / 2,
        initial_interval: policy.first / 2,
        randomization_factor: 1.0,
        multiplier: 2.0,
        max_interval: policy.longest / 2,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}

/// The monotonic clock's reading at an instant of the calendar; where it cannot reach back so far, now.
pub(crate) fn instant(at: DateTime<Utc>) -> Instant {
    let now = Utc::now();
    match (at - now).to_std() {
        Ok(ahead) => Instant::now() + ahead,
        Err(_) => {
            let behind = (now - at).to_std().unwrap_or_default();
            Instant::now()
                .checked_sub(behind)
                .unwrap_or_else(Instant::now)
        }
    }
}

/// A pause drawn evenly between nothing and the longest.
pub(crate) fn full_jitter(longest: Duration) -> Duration {
    longest.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn the_last_pause_ends_shortly_before_time_is_up() {
        let started = Instant::now();
        let slow = Policy {
            first: Duration::from_secs(3600),
            longest: Duration::from_secs(3600),
        };
        let mut retry = Retry::new(slow, started + Duration::from_millis(1300));
        assert!(retry.pause().await);
        assert!(
            (200..1300).contains(&started.elapsed().as_millis()),
            "{:?}",
            started.elapsed()
        );
        assert!(!retry.pause().await);
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_its_bound(first_ms in 1_u64..10_000, factor in 1_u64..100) {
            let policy = Policy { first: Duration::from_millis(first_ms), longest: Duration::from_millis(first_ms * factor) };
            let mut bound = policy.first;
            let mut pauses = pauses(policy);
            for _ in 0..20 {
                let pause = pauses.next_backoff().unwrap();
                prop_assert!(pause <= bound + Duration::from_micros(1), "{pause:?} > {bound:?}");
                bound = (bound * 2).min(policy.longest);
            }
        }
    }
}
