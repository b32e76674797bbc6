//! What is read in the ledger and written there. A resource's row is one statement, whatever it owns.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use postgres_protocol::escape::escape_literal;
use serde_json::json;

use super::encoding::keep_all;
use super::model::RESYNC;
use super::{Managed, Origin, ResourceKey, ResourceRequest, ResourceState, Role};

/// `$1` stack, `$2` logical resource id, `$3` request id → one JSON document, [`super::Ledger`].
///
/// Of an extension's owners the resource itself and one other: whether there are others is asked, never how many.
pub(crate) const READ: &str = "
WITH owned AS (
  SELECT DISTINCT ON (o.key, own.is_own) o.key AS extension, json_build_object('role', o.value, 'resource', json_build_object(
           'stack_id', r.stack_id, 'logical_resource_id', r.logical_resource_id)) AS owner
  FROM extension_worker.ledger r CROSS JOIN LATERAL jsonb_each_text(r.owns) o
  CROSS JOIN LATERAL (SELECT (r.stack_id, r.logical_resource_id) = ($1, $2)) AS own (is_own)
  WHERE r.kind = 'resource'
  ORDER BY o.key, own.is_own, r.stack_id, r.logical_resource_id
)
SELECT json_build_object(
  'resource', (SELECT data - 'declared' || jsonb_build_object('requested_at', requested_at) FROM extension_worker.ledger
               WHERE kind = 'resource' AND stack_id = $1 AND logical_resource_id = $2 AND name = ''),
  'request', (SELECT data FROM extension_worker.ledger
              WHERE kind = 'request' AND stack_id = $1 AND logical_resource_id = $2 AND name = $3),
  'managed', (SELECT coalesce(json_object_agg(e.name, json_build_object('origin', e.data -> 'origin', 'owners',
      (SELECT coalesce(json_agg(o.owner), '[]') FROM owned o WHERE o.extension = e.name))), '{}')
    FROM extension_worker.ledger e WHERE e.kind = 'extension')
)::text";

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

/// Outcomes are kept as long as a message can come again: the retention of the dead-letter queue, 14 days, and the
/// queue's four before it.
const OUTCOME_DAYS: u32 = 18;

/// `$1` stack, `$2` logical resource id, `$3` request id, `$4` when it was published, `$5` the answer → the answer that
/// counts: the first that was kept.
pub(crate) const RECORD_RESPONSE: &str = "
INSERT INTO extension_worker.ledger AS r (kind, stack_id, logical_resource_id, name, requested_at, data)
VALUES ('request', $1, $2, $3, $4::timestamptz, jsonb_build_object('outcome', NULL, 'response', $5::text))
ON CONFLICT (kind, stack_id, logical_resource_id, name)
  DO UPDATE SET data = r.data || jsonb_build_object('response', coalesce(r.data ->> 'response', $5::text))
RETURNING data ->> 'response'";

/// What one carried-out request writes.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The request.
    pub request: &'a ResourceRequest<'a>,
    /// The id that the answer gives.
    pub physical_resource_id: &'a str,
    /// Whether the resource is there from now on.
    pub state: ResourceState,
    /// What it came to in this database.
    pub outcome: &'a serde_json::Value,
    /// The answer, where nothing but this database belongs to it.
    pub response: Option<&'a str>,
    /// Who owned what before.
    pub managed_before: &'a BTreeMap<String, Managed>,
    /// Who owns what now.
    pub managed_after: &'a BTreeMap<String, Managed>,
    /// When it is written.
    pub changed_at: DateTime<Utc>,
    /// PostgreSQL's, at that time.
    pub server_version: &'a str,
}

impl Entry<'_> {
    /// The statements, each with its semicolon.
    pub(crate) fn sql(&self) -> String {
        let request = self.request;
        let requested_at = escape_literal(&request.published_at.to_rfc3339());
        let data = json!({
            "physical_resource_id": self.physical_resource_id,
            "state": self.state,
            "declared": request.declared,
            "request_type": request.request_type,
            "request_id": request.request_id,
            "changed_at": self.changed_at,
            "server_version": self.server_version,
        });
        let mut sql = write_resource(
            request.resource,
            &requested_at,
            self.managed_after,
            &keep_all(&data),
        );
        sql.push_str(&write_request(
            (
                &request.resource.stack_id,
                &request.resource.logical_resource_id,
                request.request_id,
            ),
            &requested_at,
            &keep_all(&json!({"outcome": self.outcome, "response": self.response})),
        ));
        write_extensions(&mut sql, self.managed_before, self.managed_after);
        sql
    }
}

/// What a re-sync writes.
#[derive(Debug)]
pub struct ResyncEntry<'a> {
    /// The re-sync.
    pub resync_id: &'a str,
    /// What it came to, where it changed an extension: a repetition finds it here.
    pub result: Option<&'a serde_json::Value>,
    /// The baseline that is declared from now on, with what it declares.
    pub baseline: Option<(&'a ResourceKey, &'a serde_json::Value)>,
    /// Who owned what before.
    pub managed_before: &'a BTreeMap<String, Managed>,
    /// Who owns what now.
    pub managed_after: &'a BTreeMap<String, Managed>,
    /// When it is written.
    pub changed_at: DateTime<Utc>,
    /// PostgreSQL's, at that time.
    pub server_version: &'a str,
}

impl ResyncEntry<'_> {
    /// The statements, each with its semicolon.
    pub(crate) fn sql(&self) -> String {
        let mut sql = String::new();
        if let Some((key, declared)) = self.baseline {
            let data = json!({
                "physical_resource_id": key.logical_resource_id,
                "state": ResourceState::Live,
                "declared": declared,
                "request_type": "Resync",
                "request_id": self.resync_id,
                "changed_at": self.changed_at,
            });
            let data = keep_all(&data);
            sql.push_str(&write_resource(key, "now()", self.managed_after, &data));
        }
        if let Some(result) = self.result {
            sql.push_str(&write_request(
                (RESYNC, RESYNC, self.resync_id),
                "now()",
                &keep_all(&json!({"outcome": result, "response": null})),
            ));
        }
        for key in owners(self.managed_before).union(&owners(self.managed_after)) {
            let (before, after) = (
                owned_by(key, self.managed_before),
                owned_by(key, self.managed_after),
            );
            if before != after {
                sql.push_str(&format!(
                    "UPDATE extension_worker.ledger SET owns = {} WHERE kind = 'resource' AND stack_id = {} \
                     AND logical_resource_id = {};\n",
                    escape_literal(&json!(after).to_string()),
                    escape_literal(&key.stack_id),
                    escape_literal(&key.logical_resource_id),
                ));
            }
        }
        write_extensions(&mut sql, self.managed_before, self.managed_after);
        // What is compared with the next version that is seen.
        let seen = keep_all(&json!({"server_version": self.server_version}));
        let seen = escape_literal(&seen.to_string());
        sql.push_str(&format!(
            "UPDATE extension_worker.ledger SET data = data || {seen}::jsonb WHERE kind = 'resource';\n"
        ));
        sql
    }
}

/// `requested_at` is an SQL expression.
fn write_resource(
    key: &ResourceKey,
    requested_at: &str,
    managed: &BTreeMap<String, Managed>,
    data: &serde_json::Value,
) -> String {
    format!(
        "INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, owns, data)
VALUES ('resource', {}, {}, '', {requested_at}, {}, {})
ON CONFLICT (kind, stack_id, logical_resource_id, name)
  DO UPDATE SET requested_at = excluded.requested_at, owns = excluded.owns, data = excluded.data;
",
        escape_literal(&key.stack_id),
        escape_literal(&key.logical_resource_id),
        escape_literal(&json!(owned_by(key, managed)).to_string()),
        escape_literal(&data.to_string()),
    )
}

/// The request's row, which stages may have written before, and the end of those that no message can come again for.
/// `requested_at` is an SQL expression.
pub(super) fn write_request(
    (stack_id, logical_resource_id, request_id): (&str, &str, &str),
    requested_at: &str,
    data: &serde_json::Value,
) -> String {
    let stack = escape_literal(stack_id);
    let logical = escape_literal(logical_resource_id);
    format!(
        "INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, data)
VALUES ('request', {stack}, {logical}, {}, {requested_at}, {})
ON CONFLICT (kind, stack_id, logical_resource_id, name) DO UPDATE SET data = excluded.data;
DELETE FROM extension_worker.ledger WHERE kind = 'request' AND stack_id = {stack} AND logical_resource_id = {logical}
  AND requested_at < now() - interval '{OUTCOME_DAYS} days';
",
        escape_literal(request_id),
        escape_literal(&data.to_string()),
    )
}

/// Only what differs, so that a request that changes nothing writes nothing here.
fn write_extensions(
    sql: &mut String,
    managed_before: &BTreeMap<String, Managed>,
    managed_after: &BTreeMap<String, Managed>,
) {
    for name in managed_before
        .keys()
        .filter(|name| !managed_after.contains_key(*name))
    {
        sql.push_str(&format!(
            "DELETE FROM extension_worker.ledger WHERE kind = 'extension' AND stack_id = '' \
             AND logical_resource_id = '' AND name = {};\n",
            escape_literal(name)
        ));
    }
    for (name, managed) in managed_after {
        let origin_before = managed_before.get(name).map(|before| before.origin);
        if origin_before == Some(managed.origin) {
            continue;
        }
        let origin = match managed.origin {
            Origin::Created => "created",
            Origin::Adopted => "adopted",
        };
        sql.push_str(&format!(
            "INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, data)
VALUES ('extension', '', '', {}, now(), '{{\"origin\": \"{origin}\"}}')
ON CONFLICT (kind, stack_id, logical_resource_id, name) DO UPDATE SET data = excluded.data;
",
            escape_literal(name)
        ));
    }
}

fn owners(managed: &BTreeMap<String, Managed>) -> BTreeSet<&ResourceKey> {
    managed
        .values()
        .flat_map(|entry| &entry.owners)
        .map(|owner| &owner.resource)
        .collect()
}

/// The extensions that a resource owns, each with why.
fn owned_by<'a>(
    key: &ResourceKey,
    managed: &'a BTreeMap<String, Managed>,
) -> BTreeMap<&'a str, Role> {
    managed
        .iter()
        .filter_map(|(name, entry)| {
            let owner = entry.owners.iter().find(|owner| owner.resource == *key)?;
            Some((name.as_str(), owner.role))
        })
        .collect()
}
