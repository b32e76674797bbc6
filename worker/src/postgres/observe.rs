//! One look at one database: a single query whose answer is a single JSON document.

use postgres_protocol::escape::escape_literal;

use crate::extension::{Declaration, ExtensionName, Observed, SchemaName, VersionRequest};
use crate::ledger::newest_version;
use crate::postgres_error::DatabaseError;

/// What a look is about: with fewer names the server has less to read.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    names: Vec<String>,
    /// Of each name the version that it must have, where the declaration says just one.
    versions: Vec<Option<String>>,
    /// Those whose version a pattern chooses among all that there are.
    chosen: Vec<String>,
    schemas: Vec<String>,
    /// Whether the default versions of what is installed are wanted too.
    installed: bool,
    /// Whether the server's directory of extensions is left alone.
    skips_directory: bool,
}

impl Scope {
    /// What is to be known to plan these declarations.
    pub fn of(declarations: &[Declaration]) -> Self {
        let named = |name: &ExtensionName| name.as_str().to_ascii_lowercase();
        let exact = |declaration: &Declaration| match &declaration.version {
            VersionRequest::Exact(version) => Some(version.as_str().to_owned()),
            VersionRequest::Unset | VersionRequest::Default | VersionRequest::Matching(_) => None,
        };
        let schema = |declaration: &Declaration| {
            declaration
                .schema
                .as_ref()
                .map(|schema: &SchemaName| schema.as_str().to_owned())
        };
        Self {
            names: declarations
                .iter()
                .map(|declaration| named(&declaration.name))
                .collect(),
            versions: declarations.iter().map(exact).collect(),
            chosen: declarations
                .iter()
                .filter(|declaration| matches!(declaration.version, VersionRequest::Matching(_)))
                .map(|declaration| named(&declaration.name))
                .collect(),
            schemas: declarations.iter().filter_map(schema).collect(),
            installed: false,
            skips_directory: false,
        }
    }

    /// Without the server's directory of extensions, all of whose control files PostgreSQL reads at once: a broken one
    /// fails the look at every other.
    pub fn without_directory(self) -> Self {
        Self {
            skips_directory: true,
            ..self
        }
    }

    /// Whether the server's directory of extensions is read for it.
    pub fn reads_directory(&self) -> bool {
        !self.skips_directory && (self.installed || !self.names.is_empty())
    }

    /// And what is to be known of whatever is installed.
    pub fn and_installed(self) -> Self {
        Self {
            installed: true,
            ..self
        }
    }

    /// The query. Its names are found in `pg_catalog` alone, to which the session's search_path is pinned.
    ///
    /// Reading `pg_available_extension_versions` costs PostgreSQL a directory scan for each extension that there is:
    /// it is read only where a declared extension is not installed, or not in the one version that is declared. Update
    /// paths are many: they are read only where there may be somewhere to go.
    pub fn sql(&self) -> String {
        let sought = |names: &[String]| {
            let names = names.iter().filter(|_| !self.skips_directory);
            text_array(names.map(Some))
        };
        let names = sought(&self.names);
        let versions = self.versions.iter().filter(|_| !self.skips_directory);
        let versions = text_array(versions.map(Option::as_ref));
        let chosen = sought(&self.chosen);
        let schemas = text_array(self.schemas.iter().map(Some));
        // Nothing is read of the directory where nothing is asked.
        let has_names = !self.names.is_empty() && !self.skips_directory;
        let installed = self.installed && !self.skips_directory;
        let names_any = installed || has_names;
        format!(
            "SELECT json_build_object(
  'server_version', split_part(current_setting('server_version'), ' ', 1),
  'role', current_user,
  'in_recovery', pg_is_in_recovery(),
  'catalog', json_build_object(
    'extensions', (SELECT coalesce(json_agg(json_build_object('name', a.name, 'default_version', a.default_version)
                                            ORDER BY a.name), '[]')
                   FROM pg_available_extensions() a
                   WHERE {names_any} AND (lower(a.name) = ANY ({names})
                     OR {installed} AND EXISTS (SELECT FROM pg_extension e WHERE e.extname = a.name)
                     OR EXISTS (SELECT FROM unnest({names}) AS declared (name)
                       WHERE NOT EXISTS (SELECT FROM pg_extension e WHERE lower(e.extname) = declared.name)))),
    'versions', CASE WHEN EXISTS (SELECT FROM unnest({names}, {versions}) AS declared (name, version)
                                  WHERE NOT EXISTS (SELECT FROM pg_extension e WHERE lower(e.extname) = declared.name
                                                    AND coalesce(declared.version, e.extversion) = e.extversion))
      THEN (WITH RECURSIVE offered AS MATERIALIZED (SELECT * FROM pg_available_extension_versions()),
              wanted (name) AS (SELECT name FROM offered WHERE lower(name) = ANY ({names})
                UNION SELECT required FROM wanted JOIN offered USING (name), unnest(offered.requires) required)
            SELECT coalesce(json_agg(json_build_object('name', v.name, 'version', v.version, 'schema', v.schema,
                                                       'requires', v.requires)), '[]')
            FROM offered v WHERE v.name IN (SELECT name FROM wanted))
      ELSE '[]' END,
    'paths', (SELECT coalesce(json_agg(json_build_object('name', a.name, 'source', p.source, 'target', p.target)), '[]')
              FROM pg_available_extensions() a CROSS JOIN LATERAL pg_extension_update_paths(a.name) p
              WHERE {has_names} AND p.path IS NOT NULL AND (lower(a.name) = ANY ({chosen})
                OR EXISTS (SELECT FROM unnest({names}, {versions}) AS declared (name, version)
                           JOIN pg_extension e ON lower(e.extname) = declared.name
                           WHERE e.extname = a.name AND e.extversion <> coalesce(declared.version, a.default_version))))),
  'installed', (SELECT coalesce(json_object_agg(e.extname, json_build_object(
      'version', e.extversion, 'schema', n.nspname, 'relocatable', e.extrelocatable,
      'requires', (SELECT coalesce(json_agg(r.extname ORDER BY r.extname), '[]')
                   FROM pg_depend d JOIN pg_extension r ON r.oid = d.refobjid
                   WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid
                     AND d.refclassid = 'pg_extension'::regclass))), '{{}}')
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace),
  'schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace WHERE nspname = ANY ({schemas})),
  'allowed_extensions', current_setting('rds.allowed_extensions', true),
  'ledger_version', (SELECT CASE
      WHEN to_regclass('extension_worker.ledger') IS NULL AND to_regclass('extension_worker.resource') IS NULL THEN 0
      -- A dump without comments has no version.
      ELSE coalesce(substring(obj_description(oid, 'pg_namespace') FROM 'version ([0-9]{{1,6}})')::int,
                    CASE WHEN to_regclass('extension_worker.ledger') IS NULL THEN 1 ELSE 3 END) END
    FROM pg_namespace WHERE nspname = 'extension_worker'),
  'preloaded', settings.preloaded,
  'cron_database', settings.cron_database,
  'database', current_database()
)
-- One look at the settings: each makes all of them.
FROM (SELECT max(setting) FILTER (WHERE name = 'shared_preload_libraries') AS preloaded,
             max(setting) FILTER (WHERE name = 'cron.database_name') AS cron_database
      FROM pg_settings WHERE name IN ('shared_preload_libraries', 'cron.database_name')) settings"
        )
    }
}

/// Reads the document.
pub(super) fn read(document: &str) -> Result<Observed, DatabaseError> {
    let observed: Observed = serde_json::from_str(document)
        .map_err(|error| DatabaseError::Unreadable(error.to_string()))?;
    match observed.ledger_version {
        Some(version) if version > newest_version() => Err(DatabaseError::NewerLedger(version)),
        Some(_) | None => Ok(observed),
    }
}

fn text_array<'a>(texts: impl Iterator<Item = Option<&'a String>>) -> String {
    let literals: Vec<String> = texts
        .map(|text| text.map_or_else(|| "NULL".to_owned(), |text| escape_literal(text)))
        .collect();
    format!("ARRAY[{}]::text[]", literals.join(","))
}
