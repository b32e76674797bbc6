-- From version 1 to version 2: the answer is kept as it was put, and one may be kept of what was not carried out.
COMMENT ON SCHEMA extension_worker IS
  'Ledger of extension-worker, version 2: which CloudFormation resource declared which extension. Do not change by hand.';

ALTER TABLE extension_worker.request ALTER COLUMN outcome DROP NOT NULL;
ALTER TABLE extension_worker.request ADD COLUMN IF NOT EXISTS response text;
COMMENT ON TABLE extension_worker.request IS
  'Requests that were decided: what each came to in this database, and in one of its databases the answer to it. A second delivery is answered from here.';
