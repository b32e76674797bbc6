//! A cached secret, and how long it may be used. Reads no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Secret;

/// How long a secret is used after it was read if Secrets Manager cannot be called.
pub(super) const MAX_STALENESS: Duration = Duration::from_secs(3600);
/// How long a cached secret is used after a failed call, before the next call.
const REFRESH_DEFERRAL: Duration = Duration::from_secs(5);
/// Shortest time between two reads of a secret that is marked as expired: during a rotation Secrets Manager returns for
/// seconds a password that PostgreSQL no longer accepts.
const MIN_REFETCH_INTERVAL: Duration = Duration::from_secs(1);

/// A secret with the time at which it was read.
#[derive(Debug)]
pub(super) struct CachedSecret {
    secret: Arc<Secret>,
    read_at: Instant,
    fresh_until: Instant,
    refused: bool,
}

impl CachedSecret {
    /// A secret that was read just now.
    pub(super) fn new(secret: Arc<Secret>, now: Instant, lifetime: Duration) -> Self {
        Self {
            secret,
            read_at: now,
            fresh_until: now + lifetime,
            refused: false,
        }
    }

    /// The secret, if it is fresh.
    pub(super) fn fresh(&self, now: Instant) -> Option<Arc<Secret>> {
        (now < self.fresh_until).then(|| Arc::clone(&self.secret))
    }

    /// The secret, for use while Secrets Manager cannot be reached.
    pub(super) fn stale(&self, now: Instant) -> Option<Arc<Secret>> {
        (self.is_usable(now) && !self.refused).then(|| Arc::clone(&self.secret))
    }

    /// Whether it may still be used at all.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.read_at) < MAX_STALENESS
    }

    /// Secrets Manager could not be reached: the secret is used for a while before the next call.
    pub(super) fn defer_refresh(&mut self, now: Instant) {
        self.fresh_until = (now + REFRESH_DEFERRAL).min(self.read_at + MAX_STALENESS);
    }

    /// The login with this secret failed: it is read again, unless the cached one is newer.
    pub(super) fn expire(&mut self, read: &Arc<Secret>) {
        if Arc::ptr_eq(&self.secret, read) {
            self.fresh_until = self.fresh_until.min(self.read_at + MIN_REFETCH_INTERVAL);
        }
    }

    /// The password in the secret was refused.
    pub(super) fn invalidate(&mut self, read: &Arc<Secret>) {
        self.expire(read);
        self.refused |= Arc::ptr_eq(&self.secret, read);
    }

    /// When the secret was read.
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
        let mut cached = CachedSecret::new(secret(), now, MINUTES);
        assert!(cached.fresh(now + MINUTES - MOMENT).is_some());
        assert!(cached.fresh(now + MINUTES).is_none());
        assert!(cached.stale(now + MAX_STALENESS - MOMENT).is_some());
        assert!(cached.stale(now + MAX_STALENESS).is_none());
        // A failed read defers the next one, but does not extend the time for which the secret may be used.
        cached.defer_refresh(now + MINUTES);
        assert!(
            cached
                .fresh(now + MINUTES + REFRESH_DEFERRAL - MOMENT)
                .is_some()
        );
        assert!(cached.fresh(now + MINUTES + REFRESH_DEFERRAL).is_none());
        cached.defer_refresh(now + MAX_STALENESS - MOMENT);
        assert!(cached.fresh(now + MAX_STALENESS).is_none());
    }

    #[test]
    fn a_doubt_ends_it_at_once_but_no_sooner_than_a_second_after_it_was_read() {
        let now = Instant::now();
        let read = secret();
        let mut cached = CachedSecret::new(Arc::clone(&read), now, MINUTES);
        cached.expire(&read);
        assert!(cached.fresh(now + MIN_REFETCH_INTERVAL - MOMENT).is_some());
        assert!(cached.fresh(now + MIN_REFETCH_INTERVAL).is_none());
        assert!(cached.stale(now + MIN_REFETCH_INTERVAL).is_some());
        cached.invalidate(&read);
        assert!(cached.stale(now + MIN_REFETCH_INTERVAL).is_none());
    }

    #[test]
    fn the_doubt_of_an_older_reading_says_nothing() {
        let now = Instant::now();
        let mut cached = CachedSecret::new(secret(), now, MINUTES);
        cached.invalidate(&secret());
        assert!(cached.fresh(now + MINUTES - MOMENT).is_some());
        assert!(cached.stale(now + MINUTES).is_some());
    }
}
