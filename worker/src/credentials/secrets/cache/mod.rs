//! Secrets that were read, each for some minutes, and one reading of each at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tracing::warn;

use super::cached::{Kept, STALE};
use super::{Secret, SecretError};
use crate::process::error_chain::with_causes;

/// How many secrets are kept at the most.
const LIMIT: usize = 1000;
/// So much, up and down, differs the time for which each secret is kept: what was read together is not read together
/// again.
const JITTER: f64 = 0.1;
/// How long a reading may take where an older one can serve.
const SLOW: Duration = Duration::from_secs(2);

/// What is shared by all who want the same secret at the same time.
type Reading = Shared<BoxFuture<'static, Result<Arc<Secret>, SecretError>>>;

/// Secrets by the names that stacks give them.
#[derive(Debug)]
pub(super) struct Cache {
    keep_for: Duration,
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    kept: Option<Kept>,
    reading: Option<Reading>,
}

impl Cache {
    /// An empty one. With no time to be kept for, secrets are read each time.
    pub(super) fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            entries: Mutex::default(),
        }
    }

    /// The secret that is kept, or the one that is fetched, by this caller or by one that came before.
    pub(super) async fn read<F>(
        self: &Arc<Self>,
        id: &str,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<Secret>, SecretError>
    where
        F: Future<Output = Result<Secret, SecretError>> + Send + 'static,
    {
        let (reading, stale) = {
            let mut entries = self.entries();
            let now = Instant::now();
            let entry = entries.entry(id.to_owned()).or_default();
            if let Some(secret) = entry.kept.as_ref().and_then(|kept| kept.fresh(now)) {
                return Ok(secret);
            }
            let stale = entry.kept.as_ref().and_then(|kept| kept.stale(now));
            let reading = entry
                .reading
                .get_or_insert_with(|| self.begin(id.to_owned(), fetch()));
            (reading.clone(), stale)
        };
        match stale {
            Some(stale) => tokio::time::timeout(SLOW, reading)
                .await
                .unwrap_or(Ok(stale)),
            None => reading.await,
        }
    }

    /// What was read led nowhere: see [`Kept::doubt`].
    pub(super) fn doubt(&self, id: &str, read: &Arc<Secret>) {
        if let Some(kept) = self
            .entries()
            .get_mut(id)
            .and_then(|entry| entry.kept.as_mut())
        {
            kept.doubt(read);
        }
    }

    /// The password that was read is wrong.
    pub(super) fn refused(&self, id: &str, read: &Arc<Secret>) {
        if let Some(kept) = self
            .entries()
            .get_mut(id)
            .and_then(|entry| entry.kept.as_mut())
        {
            kept.refuse(read);
        }
    }

    /// A task of its own: who began it may be cancelled, and the others still wait for it.
    fn begin<F>(self: &Arc<Self>, id: String, fetch: F) -> Reading
    where
        F: Future<Output = Result<Secret, SecretError>> + Send + 'static,
    {
        let cache = Arc::clone(self);
        let name = id.clone();
        let task = tokio::spawn(async move {
            let result = fetch.await;
            cache.end(&name, result)
        });
        let cache = Arc::clone(self);
        async move {
            task.await.unwrap_or_else(|fault| {
                let panicked = SecretError::Unavailable {
                    id: id.clone(),
                    cause: "the reading of it broke off".to_owned(),
                    source: Arc::new(fault),
                };
                cache.end(&id, Err(panicked))
            })
        }
        .boxed()
        .shared()
    }

    /// Keeps what was read; or finds what serves in its stead.
    fn end(
        &self,
        id: &str,
        result: Result<Secret, SecretError>,
    ) -> Result<Arc<Secret>, SecretError> {
        let now = Instant::now();
        let mut entries = self.entries();
        let mut kept = entries.remove(id).and_then(|entry| entry.kept);
        let result = match result {
            Ok(secret) => {
                let secret = Arc::new(secret);
                kept = (!self.keep_for.is_zero())
                    .then(|| Kept::new(Arc::clone(&secret), now, jittered(self.keep_for)));
                Ok(secret)
            }
            Err(error @ SecretError::Unavailable { .. }) => {
                let stale = kept.as_ref().and_then(|kept| kept.stale(now));
                if let Some(kept) = &mut kept {
                    kept.rest(now);
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
                kept = None;
                Err(error)
            }
        };
        if let Some(kept) = kept.filter(|_| result.is_ok()) {
            make_room(&mut entries, now);
            let entry = Entry {
                kept: Some(kept),
                reading: None,
            };
            entries.insert(id.to_owned(), entry);
        }
        result
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For one more: what is too old to serve goes, and where that is not enough, what was read first.
fn make_room(entries: &mut HashMap<String, Entry>, now: Instant) {
    entries.retain(|_, entry| {
        entry.reading.is_some() || entry.kept.as_ref().is_some_and(|kept| kept.is_of_use(now))
    });
    while entries.len() >= LIMIT {
        let at_rest = entries
            .iter()
            .filter(|(_, entry)| entry.reading.is_none())
            .filter_map(|(id, entry)| Some((entry.kept.as_ref()?.read_at(), id)));
        let Some(oldest) = at_rest.min().map(|(_, id)| id.clone()) else {
            return;
        };
        entries.remove(&oldest);
    }
}

fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
        .min(STALE)
}

#[cfg(test)]
mod tests;
