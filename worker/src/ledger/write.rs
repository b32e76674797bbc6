//! The statements that write the ledger. The row of a resource is one statement, whatever the resource owns.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::encoding::keep_all;
use super::model::RESYNC;
use super::{Managed, Origin, ResourceKey, ResourceRequest, ResourceState, Role};

/// `$1` stack, `$2` logical resource id, `$3` request id, `$4` when it was published, `$5` the response → the response that
/// was recorded first, which is the one to send.
pub(crate) const RECORD_RESPONSE: &str = "
INSERT INTO extension_worker.ledger AS r (kind, stack_id, logical_resource_id, name, requested_at, data)
VALUES ('request', $1, $2, $3, $4::timestamptz, jsonb_build_object('outcome', NULL, 'response', $5::text))
ON CONFLICT (kind, stack_id, logical_resource_id, name)
  DO UPDATE SET data = r.data || jsonb_build_object('response', coalesce(r.data ->> 'response', $5::text))
RETURNING data ->> 'response'";

/// A statement that writes, with its arguments, each of type text. A statement that requests run repeatedly has a name,
/// under which it can be prepared.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) name: Option<&'static str>,
    pub(crate) sql: &'static str,
    pub(crate) arguments: Vec<String>,
}

/// `$1` stack, `$2` logical resource id: deletes the rows of older requests. They are kept as long as a message can be
/// delivered again: the four days of the queue's retention, and the 14 days of the dead-letter queue's.
macro_rules! delete_old_requests {
    () => {
        "WITH old AS (
  DELETE FROM extension_worker.ledger WHERE kind = 'request' AND stack_id = $1 AND logical_resource_id = $2
  AND requested_at < now() - interval '18 days'
)
"
    };
}

/// `$1` stack, `$2` logical resource id, `$3` the time of the request, `$4` what it owns, `$5` the row's document.
const WRITE_RESOURCE: &str = "\
INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, owns, data)
VALUES ('resource', $1, $2, '', $3::timestamptz, $4::jsonb, $5::jsonb)
ON CONFLICT (kind, stack_id, logical_resource_id, name)
  DO UPDATE SET requested_at = excluded.requested_at, owns = excluded.owns, data = excluded.data";

/// `$1` stack, `$2` logical resource id, `$3` request id, `$4` the time of the request, `$5` the document of the row, which
/// stages may have written before; also deletes the rows of older requests.
const WRITE_REQUEST: &str = concat!(
    delete_old_requests!(),
    "\
INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, data)
VALUES ('request', $1, $2, $3, $4::timestamptz, $5::jsonb)
ON CONFLICT (kind, stack_id, logical_resource_id, name) DO UPDATE SET data = excluded.data"
);

/// The rows of a resource and of its request in one statement: `$1` stack, `$2` logical resource id, `$3` the time of the request,
/// `$4` what the resource owns, `$5` its document, `$6` request id, `$7` the document of the request.
const WRITE_RESOURCE_AND_REQUEST: &str = concat!(
    delete_old_requests!(),
    "\
INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, owns, data)
VALUES ('resource', $1, $2, '', $3::timestamptz, $4::jsonb, $5::jsonb),
       ('request', $1, $2, $6, $3::timestamptz, NULL, $7::jsonb)
ON CONFLICT (kind, stack_id, logical_resource_id, name)
  DO UPDATE SET requested_at = excluded.requested_at, owns = excluded.owns, data = excluded.data"
);

/// `$1` extension, `$2` `created` or `adopted`.
const WRITE_EXTENSION: &str = "\
INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, data)
VALUES ('extension', '', '', $1, now(), jsonb_build_object('origin', $2))
ON CONFLICT (kind, stack_id, logical_resource_id, name) DO UPDATE SET data = excluded.data";

/// `$1` extension.
const DELETE_EXTENSION: &str = "\
DELETE FROM extension_worker.ledger WHERE kind = 'extension' AND stack_id = '' AND logical_resource_id = '' AND name = $1";

/// `$1` what it owns, `$2` stack, `$3` logical resource id.
const WRITE_OWNED: &str = "\
UPDATE extension_worker.ledger SET owns = $1::jsonb WHERE kind = 'resource' AND stack_id = $2 AND logical_resource_id = $3";

/// `$1` a document that is merged into the rows of all resources.
const WRITE_SEEN: &str =
    "UPDATE extension_worker.ledger SET data = data || $1::jsonb WHERE kind = 'resource'";

/// The rows of one request that was carried out.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The request.
    pub(crate) request: &'a ResourceRequest<'a>,
    /// The physical id in the response.
    pub(crate) physical_resource_id: &'a str,
    /// Whether the resource exists after the request.
    pub(crate) state: ResourceState,
    /// The result in this database.
    pub(crate) outcome: &'a serde_json::Value,
    /// The response, if the request has only this database.
    pub(crate) response: Option<&'a str>,
    /// The owners before.
    pub(crate) managed_before: &'a BTreeMap<String, Managed>,
    /// The owners after.
    pub(crate) managed_after: &'a BTreeMap<String, Managed>,
    /// The time of the transaction.
    pub(crate) changed_at: DateTime<Utc>,
    /// PostgreSQL's version at that time.
    pub(crate) server_version: &'a str,
}

impl Entry<'_> {
    /// The statements.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let request = self.request;
        let requested_at = request.published_at.to_rfc3339();
        let data = json!({
            "physical_resource_id": self.physical_resource_id,
            "state": self.state,
            "declared": request.declared,
            "request_type": request.request_type,
            "request_id": request.request_id,
            "changed_at": self.changed_at,
            "server_version": self.server_version,
        });
        let decided = json!({"outcome": self.outcome, "response": self.response});
        let mut arguments =
            resource_arguments(request.resource, &requested_at, self.managed_after, &data);
        arguments.extend([
            request.request_id.to_owned(),
            keep_all(&decided).to_string(),
        ]);
        let mut writes = vec![Write {
            name: Some("write_resource_and_request"),
            sql: WRITE_RESOURCE_AND_REQUEST,
            arguments,
        }];
        write_extensions(&mut writes, self.managed_before, self.managed_after);
        writes
    }
}

/// The rows of a re-sync.
#[derive(Debug)]
pub(crate) struct ResyncEntry<'a> {
    /// The re-sync.
    pub(crate) resync_id: &'a str,
    /// The result, if it changed an extension: a repeated delivery finds it here.
    pub(crate) result: Option<&'a serde_json::Value>,
    /// The baseline that is declared after the re-sync, with its declarations.
    pub(crate) baseline: Option<(&'a ResourceKey, &'a serde_json::Value)>,
    /// The owners before.
    pub(crate) managed_before: &'a BTreeMap<String, Managed>,
    /// The owners after.
    pub(crate) managed_after: &'a BTreeMap<String, Managed>,
    /// The time of the transaction.
    pub(crate) changed_at: DateTime<Utc>,
    /// PostgreSQL's version at that time.
    pub(crate) server_version: &'a str,
}

impl ResyncEntry<'_> {
    /// The statements.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        if let Some((key, declared)) = self.baseline {
            let data = json!({
                "physical_resource_id": key.logical_resource_id,
                "state": ResourceState::Live,
                "declared": declared,
                "request_type": "Resync",
                "request_id": self.resync_id,
                "changed_at": self.changed_at,
            });
            writes.push(Write {
                name: None,
                sql: WRITE_RESOURCE,
                arguments: resource_arguments(key, NOW, self.managed_after, &data),
            });
        }
        if let Some(result) = self.result {
            writes.push(write_request(
                (RESYNC, RESYNC, self.resync_id),
                NOW,
                &json!({"outcome": result, "response": null}),
            ));
        }
        for key in owners(self.managed_before).union(&owners(self.managed_after)) {
            let (before, after) = (
                owned_by(key, self.managed_before),
                owned_by(key, self.managed_after),
            );
            if before != after {
                writes.push(Write {
                    name: None,
                    sql: WRITE_OWNED,
                    arguments: vec![
                        json!(after).to_string(),
                        key.stack_id.clone(),
                        key.logical_resource_id.clone(),
                    ],
                });
            }
        }
        write_extensions(&mut writes, self.managed_before, self.managed_after);
        // Compared with the version that the next re-sync observes.
        writes.push(Write {
            name: None,
            sql: WRITE_SEEN,
            arguments: vec![keep_all(&json!({"server_version": self.server_version})).to_string()],
        });
        writes
    }
}

/// PostgreSQL's function for the time at which the transaction began.
pub(super) const NOW: &str = "now";

/// The first five arguments of the statements that write a resource.
fn resource_arguments(
    key: &ResourceKey,
    requested_at: &str,
    managed: &BTreeMap<String, Managed>,
    data: &serde_json::Value,
) -> Vec<String> {
    vec![
        key.stack_id.clone(),
        key.logical_resource_id.clone(),
        requested_at.to_owned(),
        json!(owned_by(key, managed)).to_string(),
        keep_all(data).to_string(),
    ]
}

pub(super) fn write_request(
    (stack_id, logical_resource_id, request_id): (&str, &str, &str),
    requested_at: &str,
    data: &serde_json::Value,
) -> Write {
    let arguments = [stack_id, logical_resource_id, request_id, requested_at].map(str::to_owned);
    Write {
        name: None,
        sql: WRITE_REQUEST,
        arguments: arguments
            .into_iter()
            .chain([keep_all(data).to_string()])
            .collect(),
    }
}

/// Writes only differences, so that a request that changes nothing writes nothing here.
fn write_extensions(
    writes: &mut Vec<Write>,
    managed_before: &BTreeMap<String, Managed>,
    managed_after: &BTreeMap<String, Managed>,
) {
    let gone = managed_before
        .keys()
        .filter(|name| !managed_after.contains_key(*name));
    writes.extend(gone.map(|name| Write {
        name: None,
        sql: DELETE_EXTENSION,
        arguments: vec![name.clone()],
    }));
    for (name, managed) in managed_after {
        let origin_before = managed_before.get(name).map(|before| before.origin);
        if origin_before == Some(managed.origin) {
            continue;
        }
        let origin = match managed.origin {
            Origin::Created => "created",
            Origin::Adopted => "adopted",
        };
        writes.push(Write {
            name: None,
            sql: WRITE_EXTENSION,
            arguments: vec![name.clone(), origin.to_owned()],
        });
    }
}

fn owners(managed: &BTreeMap<String, Managed>) -> BTreeSet<&ResourceKey> {
    managed
        .values()
        .flat_map(|entry| &entry.owners)
        .map(|owner| &owner.resource)
        .collect()
}

/// The extensions that a resource owns, each with the reason.
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
