//! Whether a server belongs to a Blue/Green deployment whose replication a change of extensions on blue would break, so
//! that green would have to be created again.
//!
//! The worker lists the deployments before a change, and never for a mere observation. If it cannot list them, it refuses
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tracing::warn;

use super::transaction::ReconcileError;
use crate::aws::rds::{Deployment, Instances, ListError, Reported};
use crate::plan::{BlueGreenCheck, Part, Side};
use crate::response::reason;
use crate::target::Address;

/// How long a listing is cached: RDS allows an account few calls a second, and the creation of a deployment takes longer.
const LISTING_LIFETIME: Duration = Duration::from_secs(60);
/// How long RDS may take to answer while a request waits.
const LISTING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the worker does not list deployments again after it may not list them, or RDS did not answer in time: without a
/// route to RDS, no request of the next minutes waits for it.
const DEFER: Duration = Duration::from_secs(600);
/// The states of a deployment that has ended.
///
/// Source: `BlueGreenDeployment` in the API reference of RDS.
const OVER: [&str; 2] = ["SWITCHOVER_COMPLETED", "DELETING"];

type Parts = HashMap<(String, u16), Part>;

/// The account's deployments, cached for a minute.
#[derive(Debug)]
pub struct BlueGreenDeployments {
    instances: Instances,
    check: BlueGreenCheck,
    /// Until when the listing is valid.
    last: Mutex<Option<(Instant, Arc<Parts>)>>,
    /// Held by the request that lists the deployments.
    listing_lock: tokio::sync::Mutex<()>,
    /// Whether it was logged that the task role may not list them.
    is_denied: Mutex<bool>,
}

impl BlueGreenDeployments {
    /// Makes an empty cache.
    pub fn new(instances: Instances, check: BlueGreenCheck) -> Self {
        Self {
            instances,
            check,
            last: Mutex::default(),
            listing_lock: tokio::sync::Mutex::default(),
            is_denied: Mutex::default(),
        }
    }

    /// Whether the server may be changed; with a warning, if there is one.
    ///
    /// # Errors
    /// [`ReconcileError::BlueGreen`].
    pub(crate) async fn check(&self, address: &Address) -> Result<Option<String>, ReconcileError> {
        let Some(part) = self.part(address).await else {
            return Ok(None);
        };
        match self.check {
            BlueGreenCheck::Refuse => Err(ReconcileError::BlueGreen(Box::new(part))),
            BlueGreenCheck::Warn => {
                warn!(server = %address, "changed although it is {part}");
                Ok(Some(reason::of_changed_blue_green(&part)))
            }
        }
    }

    async fn part(&self, address: &Address) -> Option<Part> {
        let endpoint = (address.host.as_str().to_ascii_lowercase(), address.port);
        let parts = match self.listed() {
            Some(parts) => parts,
            None => {
                let _listing = self.listing_lock.lock().await;
                match self.listed() {
                    Some(parts) => parts,
                    // Boxed: the SDK's future is large, and rarely needed.
                    None => self.list().boxed().await,
                }
            }
        };
        parts.get(&endpoint).cloned()
    }

    fn listed(&self) -> Option<Arc<Parts>> {
        let last = self.last.lock();
        let (until, parts) = last.as_ref()?;
        (Instant::now() < *until).then(|| Arc::clone(parts))
    }

    async fn list(&self) -> Arc<Parts> {
        let listed = tokio::time::timeout(LISTING_TIMEOUT, list(&self.instances)).await;
        let (parts, lifetime) = match listed {
            Ok(Ok(parts)) => {
                *self.is_denied.lock() = false;
                (parts, LISTING_LIFETIME)
            }
            Ok(Err(error)) if error.code.contains("AccessDenied") => {
                let was_denied = std::mem::replace(&mut *self.is_denied.lock(), true);
                if !was_denied {
                    warn!(
                        call = error.call,
                        code = error.code,
                        "the task role may not ask RDS for Blue/Green deployments: none is looked out for"
                    );
                }
                (Parts::new(), DEFER)
            }
            Ok(Err(error)) => {
                warn!(%error, "RDS could not be asked for Blue/Green deployments");
                (Parts::new(), LISTING_LIFETIME)
            }
            Err(_) => {
                warn!("RDS does not answer for Blue/Green deployments");
                (Parts::new(), DEFER)
            }
        };
        let parts = Arc::new(parts);
        *self.last.lock() = Some((Instant::now() + lifetime, Arc::clone(&parts)));
        parts
    }
}

/// The endpoints of instances and clusters are listed only if there is a deployment.
async fn list(instances: &Instances) -> Result<Parts, ListError> {
    let mut deployments = instances.blue_green_deployments().await?;
    deployments.retain(|deployment| !OVER.contains(&deployment.status.as_str()));
    if deployments.is_empty() {
        return Ok(Parts::new());
    }
    let mut reported = instances.reported_clusters().await?;
    reported.extend(instances.reported_instances().await?);
    Ok(parts(&deployments, &reported))
}

/// The part of each server. An endpoint that belongs to both sides counts as blue.
fn parts(deployments: &[Deployment], reported: &[Reported]) -> Parts {
    let mut parts = Parts::new();
    for deployment in deployments {
        let of = |arn: &str| members(reported, arn);
        let target = deployment.target.as_deref().map(of).unwrap_or_default();
        let source = of(&deployment.source);
        if is_physical(&source, &target) {
            continue;
        }
        for (members, side) in [(target, Side::Green), (source, Side::Blue)] {
            for (host, port) in members.iter().flat_map(|member| &member.endpoints) {
                let part = Part {
                    deployment: deployment.id.clone(),
                    status: deployment.status.clone(),
                    side,
                };
                parts.insert((host.to_ascii_lowercase(), *port), part);
            }
        }
    }
    parts
}

/// The instance or cluster of an ARN, and its members.
fn members<'a>(reported: &'a [Reported], arn: &str) -> Vec<&'a Reported> {
    let Some(named) = reported.iter().find(|one| one.arn == arn) else {
        return Vec::new();
    };
    let is_member = |one: &&Reported| {
        one.arn == arn || one.cluster.as_ref() == Some(&named.id) && named.is_cluster
    };
    reported.iter().filter(is_member).collect()
}

/// Whether blue is replicated physically, so that every change reaches green: RDS for PostgreSQL within a major version.
/// Green may not be known yet, and may have another version then.
///
/// Source: "PostgreSQL replication methods for blue/green deployments" in the RDS User Guide.
fn is_physical(source: &[&Reported], target: &[&Reported]) -> bool {
    match (source.first(), target.first()) {
        (Some(source), Some(target)) => {
            let major = |one: &Reported| one.engine_version.split('.').next().map(str::to_owned);
            source.engine == "postgres" && major(source) == major(target)
        }
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(id: &str, engine: &str, version: &str, cluster: Option<&str>) -> Reported {
        Reported {
            id: id.to_owned(),
            arn: format!("arn:{id}"),
            is_cluster: engine.starts_with("aurora") && cluster.is_none(),
            engine: engine.to_owned(),
            engine_version: version.to_owned(),
            secret: None,
            cluster: cluster.map(str::to_owned),
            endpoints: vec![(format!("{id}.Example"), 5432)],
        }
    }

    fn deployment(source: &str, target: Option<&str>) -> Deployment {
        Deployment {
            id: "bgd-1".to_owned(),
            source: format!("arn:{source}"),
            target: target.map(|target| format!("arn:{target}")),
            status: "AVAILABLE".to_owned(),
        }
    }

    fn sides(deployment: Deployment, reported: &[Reported]) -> Vec<(String, Side)> {
        let found = parts(&[deployment], reported);
        let mut sides: Vec<_> = found
            .into_iter()
            .map(|((host, _), part)| (host, part.side))
            .collect();
        sides.sort_by(|one, other| one.0.cmp(&other.0));
        sides
    }

    #[test]
    fn both_sides_of_a_major_upgrade_are_known_by_their_endpoints() {
        let all = [
            reported("blue", "postgres", "15.4", None),
            reported("green", "postgres", "17.2", None),
            reported("other", "postgres", "15.4", None),
        ];
        let both = [
            ("blue.example".to_owned(), Side::Blue),
            ("green.example".to_owned(), Side::Green),
        ];
        assert_eq!(sides(deployment("blue", Some("green")), &all), both);
        // It is not known yet what green will be.
        assert_eq!(sides(deployment("blue", None), &all), both[..1]);
    }

    #[test]
    fn within_a_major_version_changes_reach_green() {
        let all = [
            reported("blue", "postgres", "15.4", None),
            reported("green", "postgres", "15.8", None),
        ];
        assert_eq!(sides(deployment("blue", Some("green")), &all), []);
    }

    #[test]
    fn a_cluster_is_replicated_logically_and_so_are_its_members() {
        let all = [
            reported("blue", "aurora-postgresql", "15.4", None),
            reported("member", "aurora-postgresql", "15.4", Some("blue")),
            reported("green", "aurora-postgresql", "15.4", None),
        ];
        let names: Vec<_> = sides(deployment("blue", Some("green")), &all)
            .into_iter()
            .map(|(host, _)| host)
            .collect();
        assert_eq!(names, ["blue.example", "green.example", "member.example"]);
    }
}
