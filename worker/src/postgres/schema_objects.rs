//! What roles of lower rank have put where an extension's script will see it.
//!
//! `CREATE EXTENSION` and `ALTER EXTENSION … UPDATE` run a script, as a superuser where the extension is trusted or RDS
//! says so, under a `search_path` that holds the extension's schema and those of what it requires. PostgreSQL's own objects
//! come first there, but a function or an operator with a better fitting signature is taken all the same.

use postgres_protocol::escape::escape_literal;
use serde::Deserialize;

use crate::extension::SchemaName;

/// The most objects that are named: a Reason holds no more.
const NAMED: usize = 10;

/// What was found in the schemas that scripts see.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct SchemaObjects {
    /// Functions, operators, casts and types of roles of lower rank, with a name that PostgreSQL or the extension uses.
    pub shadowing: Vec<String>,
    /// The schemas in which a role of lower rank may create more of them: `schema "public" (role "app")`.
    pub open: Vec<String>,
}

/// The query: one JSON document, [`SchemaObjects`]. `extensions` are those whose own names count too; `acts_as` is the role
/// that a rotated clone of it works as.
pub(super) fn query<'a>(
    schemas: impl Iterator<Item = &'a SchemaName>,
    extensions: impl Iterator<Item = &'a str>,
    acts_as: Option<&str>,
) -> String {
    let array = |texts: Vec<String>| format!("ARRAY[{}]::text[]", texts.join(","));
    let schemas = array(schemas.map(|name| escape_literal(name.as_str())).collect());
    let extensions = array(extensions.map(escape_literal).collect());
    let first = acts_as.map_or_else(|| "NULL".to_owned(), escape_literal);
    format!(
        "WITH trusted AS (
  SELECT oid FROM pg_roles WHERE rolsuper OR rolname = session_user OR rolname = {first}
), seen AS (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
  WHERE nspname = ANY ({schemas}) AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
), member AS (
  SELECT classid, objid, refobjid IN (SELECT oid FROM pg_extension WHERE extname = ANY ({extensions})) AS is_own
  FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
), known_function AS (
  SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
  UNION SELECT p.proname FROM member m JOIN pg_proc p ON p.oid = m.objid WHERE m.is_own AND m.classid = 'pg_proc'::regclass
), known_operator AS (
  SELECT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace
  UNION SELECT o.oprname FROM member m JOIN pg_operator o ON o.oid = m.objid
  WHERE m.is_own AND m.classid = 'pg_operator'::regclass
), known_type AS (
  SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
  UNION SELECT t.typname FROM member m JOIN pg_type t ON t.oid = m.objid WHERE m.is_own AND m.classid = 'pg_type'::regclass
), shadowing (object) AS (
  SELECT 'function ' || format('%I.', s.nspname) || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
    || format(' of role \"%s\"', pg_get_userbyid(p.proowner))
  FROM seen s JOIN pg_proc p ON p.pronamespace = s.oid
  WHERE p.proowner NOT IN (SELECT oid FROM trusted) AND p.proname IN (SELECT proname FROM known_function)
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
  UNION ALL
  SELECT 'operator ' || format('%I.', s.nspname) || o.oprname
    || format('(%s, %s)', format_type(o.oprleft, NULL), format_type(o.oprright, NULL))
    || format(' of role \"%s\"', pg_get_userbyid(o.oprowner))
  FROM seen s JOIN pg_operator o ON o.oprnamespace = s.oid
  WHERE o.oprowner NOT IN (SELECT oid FROM trusted) AND o.oprname IN (SELECT oprname FROM known_operator)
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_operator'::regclass AND m.objid = o.oid)
  UNION ALL
  SELECT 'type ' || format('%I.%I of role \"%s\"', s.nspname, t.typname, pg_get_userbyid(t.typowner))
  FROM seen s JOIN pg_type t ON t.typnamespace = s.oid LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typowner NOT IN (SELECT oid FROM trusted) AND t.typname IN (SELECT typname FROM known_type)
    AND t.typcategory <> 'A' AND coalesce(c.relkind, 'c') = 'c'
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
  UNION ALL
  -- A cast has no name; one that is applied unasked offers PostgreSQL's own values to functions of the type.
  SELECT format('cast from %s to %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL))
    || format(' of role \"%s\"', pg_get_userbyid(t.typowner))
  FROM pg_cast c JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget) JOIN seen s ON s.oid = t.typnamespace
  WHERE c.castcontext <> 'e' AND t.typowner NOT IN (SELECT oid FROM trusted)
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_cast'::regclass AND m.objid = c.oid)
), open (schema, grantee) AS (
  SELECT s.nspname, r.rolname FROM seen s
  JOIN pg_roles r ON r.oid = CASE WHEN pg_get_userbyid(s.nspowner) = 'pg_database_owner'
      THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE s.nspowner END
  WHERE r.oid NOT IN (SELECT oid FROM trusted)
  UNION
  SELECT s.nspname, CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END
  FROM seen s CROSS JOIN LATERAL aclexplode(s.nspacl) a
  WHERE a.privilege_type = 'CREATE' AND a.grantee <> s.nspowner AND a.grantee NOT IN (SELECT oid FROM trusted)
)
SELECT json_build_object(
  'shadowing', (SELECT coalesce(json_agg(object), '[]')
                FROM (SELECT DISTINCT object FROM shadowing ORDER BY object LIMIT {NAMED}) named),
  'open', (SELECT coalesce(json_agg(named), '[]') FROM (
             SELECT format('schema \"%s\" (%s)', schema, string_agg(
               CASE WHEN grantee IS NULL THEN 'every role' ELSE format('role \"%s\"', grantee) END, ', ' ORDER BY grantee))
             FROM open GROUP BY schema ORDER BY schema) AS open_schemas (named))
)::text"
    )
}
