//! Cache of secrets, with one read of each at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::{Mutex, MutexGuard};
use tracing::warn;

use super::cached::{CachedSecret, MAX_STALENESS};
use super::{Secret, SecretError};
use crate::process::error_chain::with_causes;

/// Maximum number of secrets.
const MAX_SECRETS: usize = 1000;
/// Jitter of the time for which a secret is cached, so that secrets that were read together are not read together again.
const JITTER: f64 = 0.1;
/// Timeout of a read if an older version may be used.
const STALE_FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// The read under way, which all callers for the same secret share.
type InFlightFetch = Shared<BoxFuture<'static, Result<Arc<Secret>, SecretError>>>;

/// Secrets by the names in the properties.
#[derive(Debug)]
pub(super) struct Cache {
    lifetime: Duration,
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    cached: Option<CachedSecret>,
    in_flight: Option<InFlightFetch>,
}

impl Cache {
    /// Makes an empty cache. With a lifetime of zero, secrets are read each time.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            entries: Mutex::default(),
        }
    }

    /// Returns the cached secret, or the result of a read by this caller or an earlier one.
    pub(super) async fn read<F>(
        self: &Arc<Self>,
        id: &str,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<Secret>, SecretError>
    where
        F: Future<Output = Result<Secret, SecretError>> + Send + 'static,
    {
        let (in_flight, stale) = {
            let mut entries = self.entries();
            let now = Instant::now();
            let entry = entries.entry(id.to_owned()).or_default();
            if let Some(secret) = entry.cached.as_ref().and_then(|cached| cached.fresh(now)) {
                return Ok(secret);
            }
            let stale = entry.cached.as_ref().and_then(|cached| cached.stale(now));
            let in_flight = entry
                .in_flight
                .get_or_insert_with(|| self.start_fetch(id.to_owned(), fetch()));
            (in_flight.clone(), stale)
        };
        match stale {
            Some(stale) => tokio::time::timeout(STALE_FETCH_TIMEOUT, in_flight)
                .await
                .unwrap_or(Ok(stale)),
            None => in_flight.await,
        }
    }

    /// The login with this secret failed: see [`CachedSecret::expire`].
    pub(super) fn expire(&self, id: &str, read: &Arc<Secret>) {
        if let Some(cached) = self
            .entries()
            .get_mut(id)
            .and_then(|entry| entry.cached.as_mut())
        {
            cached.expire(read);
        }
    }

    /// The password in the secret was refused.
    pub(super) fn invalidate(&self, id: &str, read: &Arc<Secret>) {
        if let Some(cached) = self
            .entries()
            .get_mut(id)
            .and_then(|entry| entry.cached.as_mut())
        {
            cached.invalidate(read);
        }
    }

    /// A separate task: its first caller may be cancelled while others wait for it.
    fn start_fetch<F>(self: &Arc<Self>, id: String, fetch: F) -> InFlightFetch
    where
        F: Future<Output = Result<Secret, SecretError>> + Send + 'static,
    {
        let cache = Arc::clone(self);
        let name = id.clone();
        let task = tokio::spawn(async move {
            let result = fetch.await;
            cache.finish_fetch(&name, result)
        });
        let cache = Arc::clone(self);
        async move {
            task.await.unwrap_or_else(|error| {
                let panicked = SecretError::Unavailable {
                    id: id.clone(),
                    cause: "the reading of it broke off".to_owned(),
                    source: Arc::new(error),
                };
                cache.finish_fetch(&id, Err(panicked))
            })
        }
        .boxed()
        .shared()
    }

    /// Caches the result of a read; or returns an older version that may be used.
    fn finish_fetch(
        &self,
        id: &str,
        result: Result<Secret, SecretError>,
    ) -> Result<Arc<Secret>, SecretError> {
        let now = Instant::now();
        let mut entries = self.entries();
        let mut cached = entries.remove(id).and_then(|entry| entry.cached);
        let result = match result {
            Ok(secret) => {
                let secret = Arc::new(secret);
                cached = (!self.lifetime.is_zero())
                    .then(|| CachedSecret::new(Arc::clone(&secret), now, jittered(self.lifetime)));
                Ok(secret)
            }
            Err(error @ SecretError::Unavailable { .. }) => {
                let stale = cached.as_ref().and_then(|cached| cached.stale(now));
                if let Some(cached) = &mut cached {
                    cached.defer_refresh(now);
                }
                stale.ok_or_else(|| error.clone()).inspect(|_| {
                    warn!(
                        secret = id,
                        error = with_causes(&error),
                        "an older reading of the secret serves"
                    );
                })
            }
            Err(
                error @ (SecretError::NotFound { .. }
                | SecretError::Denied { .. }
                | SecretError::Unusable { .. }),
            ) => {
                cached = None;
                Err(error)
            }
        };
        if let Some(cached) = cached.filter(|_| result.is_ok()) {
            evict(&mut entries, now);
            let entry = Entry {
                cached: Some(cached),
                in_flight: None,
            };
            entries.insert(id.to_owned(), entry);
        }
        result
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock()
    }
}

/// Makes room for one more: removes secrets that are too old to be used, and then the one that was read first.
fn evict(entries: &mut HashMap<String, Entry>, now: Instant) {
    entries.retain(|_, entry| {
        entry.in_flight.is_some()
            || entry
                .cached
                .as_ref()
                .is_some_and(|cached| cached.is_usable(now))
    });
    while entries.len() >= MAX_SECRETS {
        let at_rest = entries
            .iter()
            .filter(|(_, entry)| entry.in_flight.is_none())
            .filter_map(|(id, entry)| Some((entry.cached.as_ref()?.read_at(), id)));
        let Some(oldest) = at_rest.min().map(|(_, id)| id.clone()) else {
            return;
        };
        entries.remove(&oldest);
    }
}

fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
        .min(MAX_STALENESS)
}

#[cfg(test)]
mod tests;
