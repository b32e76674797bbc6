-- Version 3: one table, whose rows are of three kinds, so that a database that gets its first extension pays for one.
--   resource   a resource of a stack, or a baseline; a deleted one stays, so that a request that comes late changes nothing.
--              `owns` holds the extensions that it owns, each with "declared" or "dependency".
--   request    a request that was decided, with what it came to in this database and, in one of its databases, the answer.
--   extension  an extension that a resource owns, or that was created for one and left in place: "created" or "adopted".
COMMENT ON SCHEMA extension_worker IS
  'Ledger of extension-worker, version 3: which CloudFormation resource declared which extension. Do not change by hand.';

CREATE TABLE extension_worker.ledger (
  kind                text COLLATE "C" NOT NULL,
  stack_id            text COLLATE "C" NOT NULL,
  logical_resource_id text COLLATE "C" NOT NULL,
  name                text COLLATE "C" NOT NULL,
  requested_at        timestamptz NOT NULL,
  owns                jsonb,
  data                jsonb NOT NULL,
  PRIMARY KEY (kind, stack_id, logical_resource_id, name)
);

CREATE VIEW extension_worker.managed_extensions WITH (security_barrier) AS
-- Operators and functions are named with their schema: this may run under the path of an ordinary session.
SELECT e.name,
       x.extversion AS installed_version,
       a.default_version,
       n.nspname AS schema,
       e.data OPERATOR(pg_catalog.->>) 'origin' AS origin,
       r.owns OPERATOR(pg_catalog.->>) e.name AS role,
       CASE WHEN may.know THEN r.stack_id END AS stack_id,
       CASE WHEN may.know THEN r.logical_resource_id END AS logical_resource_id
FROM extension_worker.ledger e
CROSS JOIN (SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class
            WHERE oid OPERATOR(pg_catalog.=) 'extension_worker.ledger'::pg_catalog.regclass) AS may (know)
LEFT JOIN extension_worker.ledger r
  ON r.kind OPERATOR(pg_catalog.=) 'resource' AND r.owns OPERATOR(pg_catalog.?) e.name
LEFT JOIN pg_catalog.pg_extension x ON x.extname OPERATOR(pg_catalog.=) e.name
LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) x.extnamespace
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name OPERATOR(pg_catalog.=) e.name
WHERE e.kind OPERATOR(pg_catalog.=) 'extension';
COMMENT ON VIEW extension_worker.managed_extensions IS
  'One row for each extension and resource that owns it. Members of the owner see which resource it is. installed_version is NULL where the extension was dropped by hand.';

-- What default privileges add is taken away where there is any: see migrations.rs.
GRANT USAGE ON SCHEMA extension_worker TO PUBLIC;
GRANT SELECT ON extension_worker.managed_extensions TO PUBLIC;
