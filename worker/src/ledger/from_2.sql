-- The rows of version 2.
INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, owns, data)
SELECT 'resource', r.stack_id, r.logical_resource_id, '', r.requested_at,
       (SELECT coalesce(jsonb_object_agg(o.extension, o.role), '{}') FROM extension_worker.owner o
        WHERE o.stack_id = r.stack_id AND o.logical_resource_id = r.logical_resource_id),
       jsonb_build_object('physical_resource_id', r.physical_resource_id, 'state', r.state, 'declared', r.declared,
                          'request_type', r.request_type, 'request_id', r.request_id, 'changed_at', r.changed_at)
FROM extension_worker.resource r;
INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, data)
SELECT 'request', stack_id, logical_resource_id, request_id, requested_at,
       jsonb_build_object('outcome', outcome, 'response', response)
FROM extension_worker.request;
INSERT INTO extension_worker.ledger (kind, stack_id, logical_resource_id, name, requested_at, data)
SELECT 'extension', '', '', name, now(), jsonb_build_object('origin', origin)
FROM extension_worker.extension;
