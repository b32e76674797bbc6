//! `PhysicalResourceId`: the value of `Ref`. It never decides what is dropped, except by whether it is the same id or
//! another.

use sha2::{Digest, Sha256};

use crate::ledger::ResourceKey;
use crate::request::RequestHeader;
use crate::target::Address;

/// The id of a resource on a server. It is stable while the resource stays there; on another server it is another id.
pub fn physical_resource_id(address: &Address, resource: &ResourceKey) -> String {
    format!(
        "{address}/{}/{}",
        resource.logical_resource_id,
        fingerprint(resource)
    )
}

/// The id in a response that does not change it: the id of the request, or for a Create one that marks a resource that was
/// never created.
pub(crate) fn unchanged_id(header: &RequestHeader) -> String {
    header
        .physical_resource_id
        .clone()
        .unwrap_or_else(|| not_created_id(header))
}

/// Whether a Delete is for a Create that failed or never got a response: then its id is not one of a successful response.
/// The rows of such a resource, if a ledger has any, are removed nevertheless.
pub(crate) fn was_never_created(header: &RequestHeader) -> bool {
    let resource = ResourceKey::of(header);
    let end = format!(
        "/{}/{}",
        resource.logical_resource_id,
        fingerprint(&resource)
    );
    header
        .physical_resource_id
        .as_deref()
        .is_none_or(|id| !id.ends_with(&end) || id == not_created_id(header))
}

fn not_created_id(header: &RequestHeader) -> String {
    let resource = ResourceKey::of(header);
    format!(
        "not-created/{}/{}",
        resource.logical_resource_id,
        fingerprint(&resource)
    )
}

/// Distinguishes resources of the same name in two stacks.
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
