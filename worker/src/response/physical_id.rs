//! `PhysicalResourceId`: what `Ref` gives. What is dropped never depends on what one says, but for being the same or
//! another.

use sha2::{Digest, Sha256};

use crate::ledger::ResourceKey;
use crate::request::RequestHeader;
use crate::target::Address;

/// Stable as long as the resource stays on its server; another server is another resource.
pub fn physical_resource_id(address: &Address, resource: &ResourceKey) -> String {
    format!(
        "{address}/{}/{}",
        resource.logical_resource_id,
        fingerprint(resource)
    )
}

/// The id of an answer that changes none: the request's own, or of a Create one that marks what was never created.
pub(crate) fn unchanged_id(header: &RequestHeader) -> String {
    header
        .physical_resource_id
        .clone()
        .unwrap_or_else(|| not_created_id(header))
}

/// Whether a Delete is for a Create that failed, or was never answered: its id is none that a success gave. Its ledgers,
/// if it has any, are undone all the same.
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
