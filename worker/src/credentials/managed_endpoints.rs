//! The endpoints of instances and clusters whose master secret RDS manages, cached for some minutes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tracing::warn;

use crate::aws::rds::{Instances, ListError, Reported};
use crate::target::Address;

/// How long a listed endpoint is cached.
const LISTING_LIFETIME: Duration = Duration::from_secs(300);
/// Shortest time between two listings: RDS allows an account few calls a second.
const MIN_INTERVAL: Duration = Duration::from_secs(2);
/// Prefix of the names of secrets that RDS manages.
///
/// Source: "Password management with Amazon RDS and AWS Secrets Manager" in the RDS User Guide.
const MANAGED: &str = ":secret:rds!";

/// The hosts and ports of each secret, by its ARN.
type BySecret = HashMap<String, HashSet<(String, u16)>>;

/// The endpoints that RDS reports.
#[derive(Debug)]
pub(super) struct ManagedEndpoints {
    instances: Instances,
    last: Mutex<Option<Listing>>,
    /// Held by the task that lists them.
    listing_lock: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Listing {
    begun_at: Instant,
    outcome: Result<Arc<BySecret>, ListError>,
}

impl ManagedEndpoints {
    pub(super) fn new(instances: Instances) -> Self {
        Self {
            instances,
            last: Mutex::default(),
            listing_lock: tokio::sync::Mutex::default(),
        }
    }

    /// Whether RDS reports this endpoint for the instance or cluster of the secret. If the cached listing does not have it,
    /// a new one is made: a listing that began before the question denies nothing.
    ///
    /// # Errors
    /// [`ListError`], if another attempt may help.
    pub(super) async fn report(&self, arn: &str, address: &Address) -> Result<bool, ListError> {
        if !arn.contains(MANAGED) {
            return Ok(false);
        }
        let asked_at = Instant::now();
        let endpoint = (address.host.as_str().to_owned(), address.port);
        if self.has(arn, &endpoint) {
            return Ok(true);
        }
        let _listing = self.listing_lock.lock().await;
        let last = self.last();
        let listing = match last.filter(|listing| listing.begun_at >= asked_at) {
            Some(listing) => listing,
            // Boxed: the SDK's future is large, and rarely needed.
            None => self.list().boxed().await,
        };
        let by_secret = listing.outcome?;
        Ok(holds(&by_secret, arn, &endpoint))
    }

    fn has(&self, arn: &str, endpoint: &(String, u16)) -> bool {
        let last = self.last();
        let fresh = last.filter(|listing| listing.begun_at.elapsed() < LISTING_LIFETIME);
        fresh.is_some_and(|listing| {
            let by_secret = listing.outcome.as_ref();
            by_secret.is_ok_and(|by_secret| holds(by_secret, arn, endpoint))
        })
    }

    /// Lists them again, when the time since the last listing allows it.
    async fn list(&self) -> Listing {
        if let Some(last) = self.last() {
            tokio::time::sleep_until((last.begun_at + MIN_INTERVAL).into()).await;
        }
        let begun_at = Instant::now();
        let outcome = listed(&self.instances).await.map(Arc::new);
        let listing = Listing { begun_at, outcome };
        *self.last.lock() = Some(listing.clone());
        listing
    }

    fn last(&self) -> Option<Listing> {
        let last = self.last.lock();
        last.clone()
    }
}

fn holds(by_secret: &BySecret, arn: &str, endpoint: &(String, u16)) -> bool {
    by_secret
        .get(arn)
        .is_some_and(|endpoints| endpoints.contains(endpoint))
}

async fn listed(instances: &Instances) -> Result<BySecret, ListError> {
    let clusters = what_may_be_listed(instances.reported_clusters().await)?;
    let instances = what_may_be_listed(instances.reported_instances().await)?;
    Ok(by_secret(clusters, instances))
}

/// An empty listing, if the task role may not list them.
fn what_may_be_listed(
    listed: Result<Vec<Reported>, ListError>,
) -> Result<Vec<Reported>, ListError> {
    match listed {
        Err(error) if error.code.contains("AccessDenied") => {
            warn!(
                call = error.call,
                code = error.code,
                "the task role may not ask RDS for endpoints: none is reported, and WORKER_HOSTS alone allows hosts \
                 that a secret does not name"
            );
            Ok(Vec::new())
        }
        other => other,
    }
}

/// The secret of a cluster is also that of its members.
fn by_secret(clusters: Vec<Reported>, instances: Vec<Reported>) -> BySecret {
    let of_cluster: HashMap<String, String> = clusters
        .iter()
        .filter_map(|cluster| Some((cluster.id.clone(), cluster.secret.clone()?)))
        .collect();
    let mut found = BySecret::new();
    for reported in clusters.into_iter().chain(instances) {
        let secret = reported.secret.or_else(|| {
            let cluster = reported.cluster.as_ref()?;
            of_cluster.get(cluster).cloned()
        });
        if let Some(secret) = secret {
            let lower = |(host, port): (String, u16)| (host.to_ascii_lowercase(), port);
            let endpoints = reported.endpoints.into_iter().map(lower);
            found.entry(secret).or_default().extend(endpoints);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(id: &str, secret: Option<&str>, cluster: Option<&str>, hosts: &[&str]) -> Reported {
        Reported {
            id: id.to_owned(),
            arn: String::new(),
            is_cluster: false,
            engine: "postgres".to_owned(),
            engine_version: "15.4".to_owned(),
            secret: secret.map(str::to_owned),
            cluster: cluster.map(str::to_owned),
            endpoints: hosts
                .iter()
                .map(|host| ((*host).to_owned(), 5433))
                .collect(),
        }
    }

    #[test]
    fn endpoints_belong_to_the_secret_of_their_instance_or_cluster() {
        let found = by_secret(
            vec![reported("c", Some("of c"), None, &["writer", "READER"])],
            vec![
                reported("i", Some("of i"), None, &["single"]),
                reported("m", None, Some("c"), &["member"]),
                reported("bare", None, None, &["bare"]),
                reported("lost", None, Some("elsewhere"), &["lost"]),
            ],
        );
        let has = |arn: &str, host: &str, port| holds(&found, arn, &(host.to_owned(), port));
        for host in ["writer", "reader", "member"] {
            assert!(has("of c", host, 5433), "{host}");
            assert!(!has("of i", host, 5433), "{host}");
        }
        assert!(has("of i", "single", 5433) && !has("of i", "single", 5432));
        assert_eq!(found.len(), 2);
    }
}
