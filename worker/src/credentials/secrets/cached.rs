//! One secret that was read before, and for how long it serves. Reads no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Secret;

/// How long a secret serves, counted from when it was read, where Secrets Manager cannot be asked.
pub(super) const STALE: Duration = Duration::from_secs(3600);
/// How long a secret serves that Secrets Manager could not be asked about, before it is asked again.
const REST: Duration = Duration::from_secs(5);
/// A secret that is doubted all the time is read no more often than this: in the middle of a rotation Secrets Manager
/// says for seconds what PostgreSQL no longer takes.
const DOUBT: Duration = Duration::from_secs(1);

/// A secret as it was read.
#[derive(Debug)]
pub(super) struct Kept {
    secret: Arc<Secret>,
    read_at: Instant,
    fresh_until: Instant,
    refused: bool,
}

impl Kept {
    /// Read just now.
    pub(super) fn new(secret: Arc<Secret>, now: Instant, keep_for: Duration) -> Self {
        Self {
            secret,
            read_at: now,
            fresh_until: now + keep_for,
            refused: false,
        }
    }

    /// The secret, where nobody needs to be asked.
    pub(super) fn fresh(&self, now: Instant) -> Option<Arc<Secret>> {
        (now < self.fresh_until).then(|| Arc::clone(&self.secret))
    }

    /// The secret, where nobody can be asked.
    pub(super) fn stale(&self, now: Instant) -> Option<Arc<Secret>> {
        (self.is_of_use(now) && !self.refused).then(|| Arc::clone(&self.secret))
    }

    /// Whether it can serve again at all.
    pub(super) fn is_of_use(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.read_at) < STALE
    }

    /// Nobody could be asked: it serves for a while before the next try.
    pub(super) fn rest(&mut self, now: Instant) {
        self.fresh_until = (now + REST).min(self.read_at + STALE);
    }

    /// What was read led nowhere. Whoever comes with an older reading is too late: there is a newer one already.
    pub(super) fn doubt(&mut self, read: &Arc<Secret>) {
        if Arc::ptr_eq(&self.secret, read) {
            self.fresh_until = self.fresh_until.min(self.read_at + DOUBT);
        }
    }

    /// The password that was read is wrong.
    pub(super) fn refuse(&mut self, read: &Arc<Secret>) {
        self.doubt(read);
        self.refused |= Arc::ptr_eq(&self.secret, read);
    }

    /// When it was read.
    pub(super) fn read_at(&self) -> Instant {
        self.read_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: Duration = Duration::from_secs(300);
    const MOMENT: Duration = Duration::from_millis(1);

    fn secret() -> Arc<Secret> {
        Arc::new(Secret {
            username: "u".to_owned(),
            password: None,
            host: None,
            port: None,
            dbname: None,
            arn: None,
        })
    }

    #[test]
    fn a_secret_serves_unasked_for_its_time_and_without_a_newer_one_for_an_hour() {
        let now = Instant::now();
        let mut kept = Kept::new(secret(), now, MINUTES);
        assert!(kept.fresh(now + MINUTES - MOMENT).is_some());
        assert!(kept.fresh(now + MINUTES).is_none());
        assert!(kept.stale(now + STALE - MOMENT).is_some());
        assert!(kept.stale(now + STALE).is_none());
        // A failure to ask gives it a rest, but no longer life.
        kept.rest(now + MINUTES);
        assert!(kept.fresh(now + MINUTES + REST - MOMENT).is_some());
        assert!(kept.fresh(now + MINUTES + REST).is_none());
        kept.rest(now + STALE - MOMENT);
        assert!(kept.fresh(now + STALE).is_none());
    }

    #[test]
    fn a_doubt_ends_it_at_once_but_no_sooner_than_a_second_after_it_was_read() {
        let now = Instant::now();
        let read = secret();
        let mut kept = Kept::new(Arc::clone(&read), now, MINUTES);
        kept.doubt(&read);
        assert!(kept.fresh(now + DOUBT - MOMENT).is_some());
        assert!(kept.fresh(now + DOUBT).is_none());
        assert!(kept.stale(now + DOUBT).is_some());
        kept.refuse(&read);
        assert!(kept.stale(now + DOUBT).is_none());
    }

    #[test]
    fn the_doubt_of_an_older_reading_says_nothing() {
        let now = Instant::now();
        let mut kept = Kept::new(secret(), now, MINUTES);
        kept.refuse(&secret());
        assert!(kept.fresh(now + MINUTES - MOMENT).is_some());
        assert!(kept.stale(now + MINUTES).is_some());
    }
}
