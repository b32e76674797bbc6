//! The servers of the account's instances and clusters.

use super::{ExpandError, Found, LostTarget, server};
use crate::aws::rds::{Instance, Instances, ListError, Marker};
use crate::response::reason;
use crate::resync::internal_message::{Cursor, Page, Server};
use crate::resync_protocol::ResyncMessage;

pub(super) async fn find(
    page: &Page,
    message: &ResyncMessage,
    instances: &Instances,
    tag: Option<&(String, Option<String>)>,
) -> Result<Found, ExpandError> {
    let from = match &page.from {
        Some(Cursor::Instances(marker)) => Some(marker.clone()),
        Some(Cursor::Secrets(_)) | None => None,
    };
    let what = match tag {
        Some((key, value)) => format!("instances {key}={}", value.as_deref().unwrap_or("*")),
        None => "instances".to_owned(),
    };
    let (listed, next) = list(instances, tag, from).await;
    let mut found = Found::default();
    for instance in listed {
        match of_instance(message, instance) {
            Ok(server) => found.servers.push(server),
            Err(lost) => found.lost.push(lost),
        }
    }
    match next {
        Ok(next) => {
            found.targets = usize::from(next.is_none());
            found.from = next.map(Cursor::Instances);
            if !page.has_found && !found.has_any() && found.from.is_none() {
                let reason = reason::resync::of_no_instance_found();
                found.lost.push(LostTarget::failed(what, reason));
            }
        }
        Err(error) if error.code.contains("AccessDenied") => {
            let reason = reason::resync::of_forbidden_instance_list(error.call, &error.code);
            found.lost.push(LostTarget::failed(what, reason));
            found.targets = 1;
        }
        Err(error) => return Err(ExpandError(error.to_string())),
    }
    Ok(found)
}

/// A page, and where it continues. Few accounts have more than one page of instances: their clusters are on the first.
async fn list(
    instances: &Instances,
    tag: Option<&(String, Option<String>)>,
    from: Option<Marker>,
) -> (Vec<Instance>, Result<Option<Marker>, ListError>) {
    let (mut listed, next) = match instances.list(tag, from).await {
        Ok(listed) => listed,
        Err(error) => return (Vec::new(), Err(error)),
    };
    if next != Some(Marker::Clusters(None)) {
        return (listed, Ok(next));
    }
    match instances.list(tag, next).await {
        Ok((clusters, rest)) => {
            listed.extend(clusters);
            (listed, Ok(rest))
        }
        Err(error) => (listed, Err(error)),
    }
}

/// The server of an instance or cluster, if it has an endpoint to connect to.
pub(super) fn of_instance(
    message: &ResyncMessage,
    instance: Instance,
) -> Result<Server, LostTarget> {
    let Instance {
        id,
        endpoint,
        secret,
    } = instance;
    let lost = |reason| LostTarget::failed(key(&id), reason);
    let Some((host, port)) = endpoint else {
        return Err(lost(reason::resync::of_no_endpoint()));
    };
    let Some(secret) = secret else {
        return Err(lost(reason::resync::of_no_managed_secret()));
    };
    Ok(Server {
        host: Some(host),
        port: Some(port),
        ..server(message, key(&id), id, secret)
    })
}

/// A secret may have the name of an instance.
pub(super) fn key(id: &str) -> String {
    format!("rds:{id}")
}
