-- Puts a ledger of version 3 back to version 1, as an earlier worker made it, with the same rows; but for the answers, which
-- version 1 did not keep.
DROP VIEW extension_worker.managed_extensions;
-- From nothing to version 1. The version stands in the schema's comment: it is read without touching a table.
CREATE SCHEMA IF NOT EXISTS extension_worker;
COMMENT ON SCHEMA extension_worker IS
  'Ledger of extension-worker, version 1: which CloudFormation resource declared which extension. Do not change by hand.';

CREATE TABLE extension_worker.resource (
  stack_id             text NOT NULL,
  logical_resource_id  text NOT NULL,
  physical_resource_id text NOT NULL,
  state                text NOT NULL CHECK (state IN ('live', 'deleted')),
  declared             jsonb NOT NULL,
  request_type         text NOT NULL,
  request_id           text NOT NULL,
  requested_at         timestamptz NOT NULL,
  changed_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stack_id, logical_resource_id)
);
COMMENT ON TABLE extension_worker.resource IS
  'Resources of stacks. A deleted one stays, so that a request that comes late changes nothing.';

CREATE TABLE extension_worker.request (
  stack_id            text NOT NULL,
  logical_resource_id text NOT NULL,
  request_id          text NOT NULL,
  requested_at        timestamptz NOT NULL,
  outcome             jsonb NOT NULL,
  PRIMARY KEY (stack_id, logical_resource_id, request_id)
);
COMMENT ON TABLE extension_worker.request IS
  'Requests that were carried out, with what they came to: a second delivery is answered from here.';

CREATE TABLE extension_worker.extension (
  name   text PRIMARY KEY,
  origin text NOT NULL CHECK (origin IN ('created', 'adopted'))
);
COMMENT ON TABLE extension_worker.extension IS
  'Extensions that a resource owns, or that were created for one and left behind.';

CREATE TABLE extension_worker.owner (
  extension           text NOT NULL REFERENCES extension_worker.extension ON DELETE CASCADE,
  stack_id            text NOT NULL,
  logical_resource_id text NOT NULL,
  role                text NOT NULL CHECK (role IN ('declared', 'dependency')),
  PRIMARY KEY (extension, stack_id, logical_resource_id)
);

CREATE VIEW extension_worker.managed_extensions AS
SELECT e.name,
       x.extversion AS installed_version,
       a.default_version,
       n.nspname AS schema,
       e.origin,
       o.role,
       o.stack_id,
       o.logical_resource_id
FROM extension_worker.extension e
LEFT JOIN extension_worker.owner o ON o.extension = e.name
LEFT JOIN pg_catalog.pg_extension x ON x.extname = e.name
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = e.name;
COMMENT ON VIEW extension_worker.managed_extensions IS
  'One row for each extension and resource that owns it; installed_version is NULL where somebody dropped it by hand.';

GRANT USAGE ON SCHEMA extension_worker TO PUBLIC;
GRANT SELECT ON extension_worker.managed_extensions TO PUBLIC;

INSERT INTO extension_worker.resource
SELECT stack_id, logical_resource_id, data ->> 'physical_resource_id', data ->> 'state', data -> 'declared',
       data ->> 'request_type', data ->> 'request_id', requested_at
FROM extension_worker.ledger WHERE kind = 'resource';
INSERT INTO extension_worker.request
SELECT stack_id, logical_resource_id, name, requested_at, data -> 'outcome'
FROM extension_worker.ledger WHERE kind = 'request';
INSERT INTO extension_worker.extension
SELECT name, data ->> 'origin' FROM extension_worker.ledger WHERE kind = 'extension';
INSERT INTO extension_worker.owner
SELECT o.key, r.stack_id, r.logical_resource_id, o.value
FROM extension_worker.ledger r, jsonb_each_text(r.owns) o WHERE r.kind = 'resource';
DROP TABLE extension_worker.ledger;
