//! The observation of a database: one query whose result is one JSON document, with everything that can change between two
//! requests. For what the server offers see [`super::offer`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::server_facts::ServerFacts;
use crate::extension::{Catalog, Declaration, InstalledExtension, Observed, SchemaName};
use crate::ledger::newest_version;
use crate::postgres_error::DatabaseError;

/// `$1` names of schemas, as a JSON array → one JSON document, [`Look`]. Its names are found in `pg_catalog` alone, to which
/// the transaction's `search_path` is set.
pub(super) const LOOK: &str = "SELECT json_build_object(
  'role', current_user,
  'in_recovery', pg_is_in_recovery(),
  'installed', (SELECT coalesce(json_object_agg(e.extname, json_build_object(
      'version', e.extversion, 'schema', n.nspname, 'relocatable', e.extrelocatable,
      'requires', (SELECT coalesce(json_agg(r.extname ORDER BY r.extname), '[]')
                   FROM pg_depend d JOIN pg_extension r ON r.oid = d.refobjid
                   WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid
                     AND d.refclassid = 'pg_extension'::regclass))), '{}')
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace),
  'schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace
              WHERE nspname IN (SELECT json_array_elements_text($1::json))),
  'allowed_extensions', current_setting('rds.allowed_extensions', true),
  'ledger_version', (SELECT CASE
      WHEN to_regclass('extension_worker.ledger') IS NULL AND to_regclass('extension_worker.resource') IS NULL THEN 0
      -- A dump without comments has no version.
      -- obj_description() is written in SQL, and takes as long as the rest of this query.
      ELSE coalesce(substring((SELECT description FROM pg_description
                               WHERE objoid = oid AND classoid = 'pg_namespace'::regclass AND objsubid = 0)
                              FROM 'version ([0-9]{1,6})')::int,
                    CASE WHEN to_regclass('extension_worker.ledger') IS NULL THEN 1 ELSE 3 END) END
    FROM pg_namespace WHERE nspname = 'extension_worker'),
  'database', current_database()
)::text";

#[derive(Debug, Deserialize)]
struct Look {
    role: String,
    in_recovery: bool,
    installed: BTreeMap<String, InstalledExtension>,
    schemas: Vec<SchemaName>,
    allowed_extensions: Option<String>,
    ledger_version: Option<u32>,
    database: String,
}

/// The names of the schemas of the declarations, as JSON.
pub(super) fn schemas_of(declarations: &[Declaration]) -> String {
    let schemas = declarations
        .iter()
        .filter_map(|declaration| declaration.schema.as_ref())
        .map(SchemaName::as_str);
    serde_json::Value::from_iter(schemas).to_string()
}

/// Parses the document.
pub(super) fn read(document: &str, server: &ServerFacts) -> Result<Observed, DatabaseError> {
    let look: Look = serde_json::from_str(document)
        .map_err(|error| DatabaseError::Unreadable(error.to_string()))?;
    if let Some(version) = look
        .ledger_version
        .filter(|version| *version > newest_version())
    {
        return Err(DatabaseError::NewerLedger(version));
    }
    Ok(Observed {
        server_version: server.version.clone(),
        role: look.role,
        in_recovery: look.in_recovery,
        catalog: Catalog::default(),
        installed: look.installed,
        schemas: look.schemas,
        allowed_extensions: look.allowed_extensions,
        preloaded: server.preloaded.clone(),
        cron_database: server.cron_database.clone(),
        database: look.database,
        ledger_version: look.ledger_version,
    })
}
