//! The ledger's tables. They live in each managed database, so that they change in the transaction that changes the
//! extensions, and travel with dumps and snapshots.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use postgres_protocol::escape::escape_literal;

use crate::plan::{Managed, Owner, ResourceKey, ResourceState, Role};

/// The steps to the newest form: the first makes version 1 out of nothing.
const MIGRATIONS: [&str; 2] = [include_str!("ledger_1.sql"), include_str!("ledger_2.sql")];

/// The version that this worker writes.
pub fn newest_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The statements that lead from a version to the newest; from 0 where there is no ledger.
pub(super) fn migration(from: u32) -> String {
    MIGRATIONS
        .iter()
        .skip(usize::try_from(from).unwrap_or(usize::MAX))
        .copied()
        .collect()
}

/// `$1` stack, `$2` logical resource id, `$3` request id → one JSON document, [`crate::plan::Ledger`].
///
/// Of an extension's owners the resource itself and one other: whether there are others is asked, never how many.
pub(super) const READ: &str = "
SELECT json_build_object(
  'resource', (SELECT json_build_object('physical_resource_id', physical_resource_id, 'state', state,
                                        'request_type', request_type, 'requested_at', requested_at)
               FROM extension_worker.resource WHERE stack_id = $1 AND logical_resource_id = $2),
  'request', (SELECT json_build_object('outcome', outcome, 'response', response) FROM extension_worker.request
              WHERE stack_id = $1 AND logical_resource_id = $2 AND request_id = $3),
  'managed', (SELECT coalesce(json_object_agg(e.name, json_build_object('origin', e.origin, 'owners',
      (SELECT coalesce(json_agg(json_build_object('role', o.role, 'resource', json_build_object(
                'stack_id', o.stack_id, 'logical_resource_id', o.logical_resource_id))
              ORDER BY o.stack_id, o.logical_resource_id), '[]')
       FROM ((SELECT * FROM extension_worker.owner
              WHERE extension = e.name AND stack_id = $1 AND logical_resource_id = $2)
             UNION ALL
             (SELECT * FROM extension_worker.owner
              WHERE extension = e.name AND (stack_id, logical_resource_id) <> ($1, $2)
              ORDER BY stack_id, logical_resource_id LIMIT 1)) o))), '{}')
    FROM extension_worker.extension e)
)::text";

/// The key under which the ledger keeps what a re-sync changed, in the place of a stack and a logical resource id.
pub(super) const RESYNC: &str = "resync";

/// `$1` the re-sync's id → one JSON document, [`crate::plan::WholeLedger`].
pub(super) const READ_WHOLE: &str = "
SELECT json_build_object(
  'resources', (SELECT coalesce(json_agg(json_build_object('stack_id', stack_id, 'logical_resource_id', logical_resource_id,
                                                           'declared', declared)
                                         ORDER BY stack_id, logical_resource_id), '[]')
                FROM extension_worker.resource WHERE state = 'live'),
  'managed', (SELECT coalesce(json_object_agg(e.name, json_build_object('origin', e.origin, 'owners',
      (SELECT coalesce(json_agg(json_build_object('role', o.role, 'resource', json_build_object(
                'stack_id', o.stack_id, 'logical_resource_id', o.logical_resource_id))
              ORDER BY o.stack_id, o.logical_resource_id), '[]')
       FROM extension_worker.owner o WHERE o.extension = e.name))), '{}')
    FROM extension_worker.extension e),
  'resync', (SELECT outcome FROM extension_worker.request
             WHERE stack_id = 'resync' AND logical_resource_id = 'resync' AND request_id = $1)
)::text";

/// Outcomes are kept as long as a message can come again: the retention of the dead-letter queue, 14 days, and the
/// queue's four before it.
const OUTCOME_DAYS: u32 = 18;

/// `$1` stack, `$2` logical resource id, `$3` request id, `$4` when it was published, `$5` the answer → the answer that
/// counts: the first that was kept.
pub(super) const KEEP_RESPONSE: &str = "
INSERT INTO extension_worker.request AS r (stack_id, logical_resource_id, request_id, requested_at, response)
VALUES ($1, $2, $3, $4::timestamptz, $5)
ON CONFLICT (stack_id, logical_resource_id, request_id)
  DO UPDATE SET response = coalesce(r.response, excluded.response)
RETURNING response";

/// What one carried-out request writes.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The resource.
    pub resource: &'a ResourceKey,
    /// The id that the answer gives.
    pub physical_resource_id: &'a str,
    /// Whether the resource is there from now on.
    pub state: ResourceState,
    /// The properties as the stack wrote them.
    pub declared: &'a serde_json::Value,
    /// `Create`, `Update` or `Delete`.
    pub request_type: &'a str,
    /// The request.
    pub request_id: &'a str,
    /// When it was published.
    pub requested_at: DateTime<Utc>,
    /// What it came to in this database.
    pub outcome: &'a serde_json::Value,
    /// The answer, where nothing but this database belongs to it.
    pub response: Option<&'a str>,
    /// Who owned what before.
    pub managed_before: &'a BTreeMap<String, Managed>,
    /// Who owns what now.
    pub managed_after: &'a BTreeMap<String, Managed>,
}

impl Entry<'_> {
    /// The statements, each with its semicolon.
    pub(super) fn sql(&self) -> String {
        let stack = escape_literal(&self.resource.stack_id);
        let logical = escape_literal(&self.resource.logical_resource_id);
        let request = escape_literal(self.request_id);
        let requested_at = escape_literal(&self.requested_at.to_rfc3339());
        let mut sql = format!(
            "INSERT INTO extension_worker.resource AS r (stack_id, logical_resource_id, physical_resource_id, state,
  declared, request_type, request_id, requested_at)
VALUES ({stack}, {logical}, {physical}, {state}, {declared}, {kind}, {request}, {requested_at})
ON CONFLICT (stack_id, logical_resource_id) DO UPDATE SET physical_resource_id = excluded.physical_resource_id,
  state = excluded.state, declared = excluded.declared, request_type = excluded.request_type,
  request_id = excluded.request_id, requested_at = excluded.requested_at, changed_at = now();
INSERT INTO extension_worker.request (stack_id, logical_resource_id, request_id, requested_at, outcome, response)
VALUES ({stack}, {logical}, {request}, {requested_at}, {outcome}, {response});
DELETE FROM extension_worker.request WHERE stack_id = {stack} AND logical_resource_id = {logical}
  AND requested_at < now() - interval '{OUTCOME_DAYS} days';
",
            physical = escape_literal(self.physical_resource_id),
            state = escape_literal(match self.state {
                ResourceState::Live => "live",
                ResourceState::Deleted => "deleted",
            }),
            declared = escape_literal(&self.declared.to_string()),
            kind = escape_literal(self.request_type),
            outcome = escape_literal(&self.outcome.to_string()),
            response = self
                .response
                .map_or_else(|| "NULL".to_owned(), escape_literal),
        );
        write_ownership(&mut sql, self.managed_before, self.managed_after);
        sql
    }
}

/// What a re-sync writes.
#[derive(Debug)]
pub struct ResyncEntry<'a> {
    /// The re-sync.
    pub resync_id: &'a str,
    /// What it came to, where it changed an extension: whoever does it again finds it here.
    pub result: Option<&'a serde_json::Value>,
    /// The baseline that is declared from now on, with what it declares.
    pub baseline: Option<(&'a ResourceKey, &'a serde_json::Value)>,
    /// Who owned what before.
    pub managed_before: &'a BTreeMap<String, Managed>,
    /// Who owns what now.
    pub managed_after: &'a BTreeMap<String, Managed>,
}

impl ResyncEntry<'_> {
    /// The statements, each with its semicolon.
    pub(super) fn sql(&self) -> String {
        let resync = escape_literal(self.resync_id);
        let mut sql = String::new();
        if let Some((key, declared)) = self.baseline {
            let name = escape_literal(&key.logical_resource_id);
            sql.push_str(&format!(
                "INSERT INTO extension_worker.resource AS r (stack_id, logical_resource_id, physical_resource_id, state,
  declared, request_type, request_id, requested_at)
VALUES ({stack}, {name}, {name}, 'live', {declared}, 'Resync', {resync}, now())
ON CONFLICT (stack_id, logical_resource_id) DO UPDATE SET state = excluded.state, declared = excluded.declared,
  request_id = excluded.request_id, requested_at = excluded.requested_at, changed_at = now();
",
                stack = escape_literal(&key.stack_id),
                declared = escape_literal(&declared.to_string()),
            ));
        }
        if let Some(result) = self.result {
            sql.push_str(&format!(
                "INSERT INTO extension_worker.request (stack_id, logical_resource_id, request_id, requested_at, outcome)
VALUES ('{RESYNC}', '{RESYNC}', {resync}, now(), {outcome});
DELETE FROM extension_worker.request WHERE stack_id = '{RESYNC}' AND logical_resource_id = '{RESYNC}'
  AND requested_at < now() - interval '{OUTCOME_DAYS} days';
",
                outcome = escape_literal(&result.to_string()),
            ));
        }
        write_ownership(&mut sql, self.managed_before, self.managed_after);
        sql
    }
}

/// Only what differs, so that a request that changes nothing writes nothing here.
fn write_ownership(
    sql: &mut String,
    managed_before: &BTreeMap<String, Managed>,
    managed_after: &BTreeMap<String, Managed>,
) {
    for name in managed_before
        .keys()
        .filter(|name| !managed_after.contains_key(*name))
    {
        sql.push_str(&format!(
            "DELETE FROM extension_worker.extension WHERE name = {};\n",
            escape_literal(name)
        ));
    }
    for (extension, managed) in managed_after {
        let before = managed_before.get(extension);
        if before == Some(managed) {
            continue;
        }
        let name = escape_literal(extension);
        let origin = escape_literal(match managed.origin {
            crate::plan::Origin::Created => "created",
            crate::plan::Origin::Adopted => "adopted",
        });
        sql.push_str(&format!(
            "INSERT INTO extension_worker.extension (name, origin) VALUES ({name}, {origin}) \
                 ON CONFLICT (name) DO UPDATE SET origin = excluded.origin;\n"
        ));
        // An extension may have many owners, of which a request changes one.
        let owners_before: BTreeSet<&Owner> = before.iter().flat_map(|m| &m.owners).collect();
        let owners: BTreeSet<&Owner> = managed.owners.iter().collect();
        for gone in owners_before.difference(&owners) {
            sql.push_str(&format!(
                "DELETE FROM extension_worker.owner WHERE extension = {name} AND stack_id = {} \
                     AND logical_resource_id = {};\n",
                escape_literal(&gone.resource.stack_id),
                escape_literal(&gone.resource.logical_resource_id),
            ));
        }
        for new in owners.difference(&owners_before) {
            sql.push_str(&format!("INSERT INTO extension_worker.owner (extension, stack_id, logical_resource_id, role) \
                     VALUES ({name}, {}, {}, {});\n",
                    escape_literal(&new.resource.stack_id),
                    escape_literal(&new.resource.logical_resource_id),
                    escape_literal(match new.role {
                        Role::Declared => "declared",
                        Role::Dependency => "dependency",
                    }),
                ));
        }
    }
}
