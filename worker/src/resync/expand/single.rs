//! The server of one instance or cluster of RDS, as an event of RDS names it.

use std::time::Duration;

use super::rds::{key, of_instance};
use super::{ExpandError, Found, LostTarget};
use crate::aws::rds::{Described, Instances, ListError};
use crate::response::reason;
use crate::resync_protocol::event::State;
use crate::resync_protocol::{InstanceId, InstanceKind, ResyncMessage};

/// Temporary states of an instance, in which PostgreSQL answers late or not at all: RDS publishes the end of an upgrade
/// before its last tasks have ended.
///
/// Source: "Viewing Amazon RDS DB instance status" in the RDS User Guide.
const PASSING: [&str; 7] = [
    "creating",
    "failing-over",
    "rebooting",
    "renaming",
    "restoring",
    "starting",
    "upgrading",
];

/// Interval at which the state of the instance is checked.
const WAIT: Duration = Duration::from_secs(10);
/// Maximum number of checks: an hour.
const MAX_WAITS: u32 = 360;

/// The expansion of one instance.
pub(super) enum Single {
    /// Its server, or why there is none.
    Found(Found),
    /// It is in a temporary state: the page is sent again after this time.
    Later(Duration),
}

/// `waits` is how often the instance was waited for; `None` if other targets would have to wait, too.
pub(super) async fn find(
    message: &ResyncMessage,
    instances: &Instances,
    named: &InstanceId,
    waits: Option<u32>,
) -> Result<Single, ExpandError> {
    let mut found = Found {
        is_named: true,
        targets: 1,
        ..Found::default()
    };
    let described = match describe(instances, named).await {
        Ok(Some(described)) => described,
        Ok(None) => {
            let reason = reason::resync::of_no_such_instance();
            found.lost.push(LostTarget::failed(key(&named.id), reason));
            return Ok(Single::Found(found));
        }
        Err(error) if error.code.contains("AccessDenied") => {
            let reason = reason::resync::of_forbidden_instance_list(error.call, &error.code);
            found.lost.push(LostTarget::failed(key(&named.id), reason));
            return Ok(Single::Found(found));
        }
        Err(error) => return Err(ExpandError(error.to_string())),
    };
    let unmanaged = |reason| LostTarget {
        key: key(&described.instance.id),
        state: State::Unmanaged,
        reason,
    };
    let is_passing = PASSING.contains(&described.status.as_str());
    if !described.is_postgres() {
        let reason = reason::resync::of_other_engine(&described.engine);
        found.lost.push(unmanaged(reason));
    } else if described.is_replica {
        found.lost.push(unmanaged(reason::resync::of_replica()));
    } else if is_passing && waits.is_some_and(|waits| waits < MAX_WAITS) {
        return Ok(Single::Later(WAIT));
    } else {
        match of_instance(message, described.instance) {
            Ok(server) => found.servers.push(server),
            Err(lost) => found.lost.push(lost),
        }
    }
    Ok(Single::Found(found))
}

/// A member of a cluster stands for its cluster.
async fn describe(
    instances: &Instances,
    named: &InstanceId,
) -> Result<Option<Described>, ListError> {
    let is_named =
        |described: &Described| named.arn.as_ref().is_none_or(|arn| described.arn == *arn);
    if named.kind != Some(InstanceKind::Cluster) {
        let instance = instances.instance(&named.id).await?;
        if let Some(instance) = instance.filter(is_named) {
            return match &instance.cluster {
                Some(cluster) if instance.is_postgres() => instances.cluster(cluster).await,
                Some(_) | None => Ok(Some(instance)),
            };
        }
        if named.kind.is_some() {
            return Ok(None);
        }
    }
    Ok(instances.cluster(&named.id).await?.filter(is_named))
}
