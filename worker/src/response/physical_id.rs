//! `PhysicalResourceId`: what `Ref` gives. Nothing is ever read from one; it is compared as a whole.

use sha2::{Digest, Sha256};

use crate::database::Address;
use crate::message::Coordinates;
use crate::plan::ResourceKey;

/// Stable as long as the resource stays on its server; another server is another resource.
pub fn physical_resource_id(address: &Address, resource: &ResourceKey) -> String {
    format!(
        "{address}/{}/{}",
        resource.logical_resource_id,
        fingerprint(resource)
    )
}

/// The id of an answer that gives none: the request's, or of a Create that failed one that names the resource.
pub fn own_id(coordinates: &Coordinates, known: Option<(&Address, &ResourceKey)>) -> String {
    if let Some(id) = &coordinates.physical_resource_id {
        return id.clone();
    }
    match known {
        Some((address, resource)) => physical_resource_id(address, resource),
        None => {
            let resource = ResourceKey {
                stack_id: coordinates.stack_id.arn.clone(),
                logical_resource_id: coordinates.logical_resource_id.clone(),
            };
            format!(
                "not-created/{}/{}",
                resource.logical_resource_id,
                fingerprint(&resource)
            )
        }
    }
}

/// Two stacks' resources of one name have different ids.
fn fingerprint(resource: &ResourceKey) -> String {
    let digest = Sha256::new()
        .chain_update(&resource.stack_id)
        .chain_update("|")
        .chain_update(&resource.logical_resource_id)
        .finalize();
    digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
