//! The queries that read the ledger; each returns one JSON document.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::encoding::read;
use super::model::RequestRecord;
use super::{Ledger, Managed, Origin, Owner, ResourceKey, ResourceRecord, Role};

/// `$1` stack, `$2` logical resource id, `$3` request id, `$4` the extensions that the request declares, as a JSON array → one JSON
/// document, for [`read_ledger`].
///
/// Of an extension's owners it returns the resource itself and one other, because only their existence matters, not their
/// number. It does not search other owners of extensions that the request declares, as these stay in any case, and this
/// search would take most of the query's time.
pub(crate) const READ: &str = "
SELECT json_build_object(
  'resource', own.data - 'declared' || jsonb_build_object('requested_at', own.requested_at),
  'request', (SELECT data FROM extension_worker.ledger
              WHERE kind = 'request' AND stack_id = $1 AND logical_resource_id = $2 AND name = $3),
  'managed', (SELECT coalesce(json_object_agg(e.name, json_build_object('origin', e.data -> 'origin', 'role', own.owns ->> e.name,
      'other', CASE WHEN NOT $4::jsonb ? e.name THEN (
        SELECT json_build_object('role', r.owns ->> e.name, 'resource', json_build_object(
                 'stack_id', r.stack_id, 'logical_resource_id', r.logical_resource_id))
        FROM extension_worker.ledger r
        WHERE r.kind = 'resource' AND r.owns ? e.name AND (r.stack_id, r.logical_resource_id) <> ($1, $2)
        ORDER BY r.stack_id, r.logical_resource_id LIMIT 1) END)), '{}')
    FROM extension_worker.ledger e WHERE e.kind = 'extension')
)::text
FROM (SELECT) AS one LEFT JOIN extension_worker.ledger own
  ON own.kind = 'resource' AND own.stack_id = $1 AND own.logical_resource_id = $2 AND own.name = ''";

/// `$1` the re-sync's id → one JSON document, [`super::WholeLedger`].
pub(crate) const READ_WHOLE: &str = "
SELECT json_build_object(
  'resources', (SELECT coalesce(json_agg(json_build_object('stack_id', stack_id, 'logical_resource_id', logical_resource_id,
                                                           'declared', data -> 'declared')
                                         ORDER BY stack_id, logical_resource_id), '[]')
                FROM extension_worker.ledger WHERE kind = 'resource' AND data ->> 'state' = 'live'),
  'managed', (SELECT coalesce(json_object_agg(e.name, json_build_object('origin', e.data -> 'origin', 'owners',
      (SELECT coalesce(json_agg(json_build_object('role', r.owns ->> e.name, 'resource', json_build_object(
                'stack_id', r.stack_id, 'logical_resource_id', r.logical_resource_id))
              ORDER BY r.stack_id, r.logical_resource_id), '[]')
       FROM extension_worker.ledger r WHERE r.kind = 'resource' AND r.owns ? e.name))), '{}')
    FROM extension_worker.ledger e WHERE e.kind = 'extension'),
  'resync', (SELECT nullif(data -> 'outcome', 'null') FROM extension_worker.ledger
             WHERE kind = 'request' AND stack_id = 'resync' AND logical_resource_id = 'resync' AND name = $1),
  'server_version', (SELECT data -> 'server_version' FROM extension_worker.ledger
                     WHERE kind = 'resource' AND data ? 'server_version' ORDER BY data ->> 'changed_at' DESC LIMIT 1),
  'progress', (SELECT nullif(data -> 'progress', 'null') FROM extension_worker.ledger
               WHERE kind = 'request' AND stack_id = 'resync' AND logical_resource_id = 'resync' AND name = $1)
)::text";

/// The result of [`READ`].
#[derive(Debug, Deserialize)]
struct LedgerRow {
    resource: Option<ResourceRecord>,
    request: Option<RequestRecord>,
    managed: BTreeMap<String, ManagedRow>,
}

#[derive(Debug, Deserialize)]
struct ManagedRow {
    origin: Origin,
    /// Why the resource owns it, if it does.
    role: Option<Role>,
    /// Another resource that owns it.
    other: Option<Owner>,
}

/// Parses the result of `READ`: the ledger's rows for a request of this resource.
///
/// # Errors
/// The document has another form.
pub fn read_ledger(document: &str, resource: &ResourceKey) -> serde_json::Result<Ledger> {
    let row: LedgerRow = read(document)?;
    let managed = row.managed.into_iter().map(|(name, managed)| {
        let own = managed.role.map(|role| Owner {
            resource: resource.clone(),
            role,
        });
        let entry = Managed {
            origin: managed.origin,
            owners: own.into_iter().chain(managed.other).collect(),
        };
        (name, entry)
    });
    Ok(Ledger {
        resource: row.resource,
        request: row.request,
        managed: managed.collect(),
    })
}
