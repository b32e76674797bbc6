//! Trying again. The only module that knows the crate `backoff`, which is unmaintained (RUSTSEC-2025-0012): to replace it,
//! rewrite the body of [`retry`].

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;

/// How the pauses between attempts grow. Each is drawn evenly between nothing and a bound that doubles (full jitter).
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The bound of the first pause.
    pub first: Duration,
    /// The bound that is doubled no more.
    pub longest: Duration,
}

/// For databases and answers: 200 ms, doubling up to 30 s.
pub const POLICY: Policy = Policy {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(30),
};

/// What a failed attempt says of the next one.
#[derive(Debug)]
pub enum Failure<E> {
    /// Trying again may help.
    Transient(E),
    /// Trying again never helps.
    Permanent(E),
}

/// Attempts until one succeeds, one fails permanently, or no pause fits in before `until`. The attempt is told its
/// number, from 0.
///
/// # Errors
/// The last attempt's failure: a [`Failure::Transient`] means that time ran out.
pub async fn retry<T, E, A, F>(
    policy: Policy,
    until: Instant,
    mut attempt: A,
) -> Result<T, Failure<E>>
where
    A: FnMut(u32) -> F,
    F: Future<Output = Result<T, Failure<E>>>,
{
    // backoff draws from interval ± factor × interval: with half the bound and a factor of one that is 0 to the bound.
    let backoff = ExponentialBackoff {
        current_interval: policy.first / 2,
        initial_interval: policy.first / 2,
        randomization_factor: 1.0,
        multiplier: 2.0,
        max_interval: policy.longest / 2,
        max_elapsed_time: Some(until.saturating_duration_since(Instant::now())),
        ..ExponentialBackoff::default()
    };
    let mut number = 0;
    backoff::future::retry(backoff, || {
        let attempt = attempt(number);
        number += 1;
        async {
            attempt.await.map_err(|failure| match failure {
                Failure::Transient(_) => backoff::Error::transient(failure),
                Failure::Permanent(_) => backoff::Error::permanent(failure),
            })
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Policy = Policy {
        first: Duration::from_millis(2),
        longest: Duration::from_millis(8),
    };

    #[tokio::test]
    async fn a_transient_failure_is_tried_again_and_a_permanent_one_is_not() {
        let until = Instant::now() + Duration::from_secs(5);
        let third = retry(QUICK, until, async |number| match number {
            0 | 1 => Err(Failure::Transient("again")),
            number => Ok(number),
        });
        assert_eq!(third.await.ok(), Some(2));
        let first = retry(QUICK, until, async |number| {
            Err::<(), _>(Failure::Permanent(number))
        });
        assert!(matches!(first.await, Err(Failure::Permanent(0))));
    }

    #[tokio::test]
    async fn attempts_end_when_time_does() {
        let started = Instant::now();
        let until = started + Duration::from_millis(50);
        let never = retry(QUICK, until, async |_| Err::<(), _>(Failure::Transient(())));
        assert!(matches!(never.await, Err(Failure::Transient(()))));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
