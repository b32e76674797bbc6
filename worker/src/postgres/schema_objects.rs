//! Objects of less privileged roles that the script of an extension would see.
//!
//! `CREATE EXTENSION` and `ALTER EXTENSION … UPDATE` run a script, as a superuser if the extension is trusted or RDS allows
//! it. Its `search_path` contains the extension's schema and those of the extensions that it requires. `pg_catalog` comes
//! first, but PostgreSQL prefers a function or an operator whose signature matches better, in whichever schema it is.

use std::collections::BTreeMap;

use postgres_protocol::escape::escape_literal;
use serde::Deserialize;

use crate::extension::SchemaName;

/// Maximum number of objects that are named, for the length of a Reason.
const NAMED: usize = 10;

/// The objects and schemas that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SchemaObjects {
    /// Functions, operators, casts and types of less privileged roles, with a name that PostgreSQL or the extension uses.
    pub(crate) shadowing: Vec<String>,
    /// The schemas in which a less privileged role may create more of them: `schema "public" (role "app")`.
    pub(crate) open: Vec<String>,
}

/// The result of [`short_query`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(super) struct ShortAnswer {
    /// Whether [`query`] can find objects.
    pub(super) may_shadow: bool,
    /// The schemas in which a less privileged role may create objects, each with that role; no role stands for PUBLIC.
    open: Vec<(String, Option<String>)>,
}

impl ShortAnswer {
    /// In the form of [`SchemaObjects`].
    pub(super) fn open(&self) -> Vec<String> {
        let mut schemas: BTreeMap<&str, Vec<Option<&str>>> = BTreeMap::new();
        for (schema, role) in &self.open {
            schemas.entry(schema).or_default().push(role.as_deref());
        }
        let named = schemas.into_iter().map(|(schema, mut roles)| {
            roles.sort_unstable_by_key(|role| (role.is_none(), *role));
            let roles: Vec<String> = roles
                .into_iter()
                .map(|role| {
                    role.map_or_else(
                        || "every role".to_owned(),
                        |role| format!("role \"{role}\""),
                    )
                })
                .collect();
            format!("schema \"{schema}\" ({})", roles.join(", "))
        });
        named.collect()
    }
}

/// The query → one JSON document, [`ShortAnswer`]. It takes PostgreSQL a third of the time of [`query`], as it compares
/// only owners, and in most databases finds no object of a less privileged role in the schemas.
///
/// It finds the objects of a schema by `pg_depend`, which has an index for this, and a row for each function, operator and
/// type that does not belong to PostgreSQL; the types of tables and arrays depend on these. The multirange of a range may
/// be in another schema than the range: both, and casts, are searched in all schemas, except those that `initdb` created.
pub(super) fn short_query<'a>(
    schemas: impl Iterator<Item = &'a SchemaName>,
    acts_as: Option<&str>,
) -> String {
    format!(
        "{}
SELECT json_build_object(
  'may_shadow', EXISTS (
    SELECT FROM seen s JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = s.oid
    WHERE CASE d.classid WHEN 'pg_proc'::regclass THEN (SELECT proowner FROM pg_proc WHERE oid = d.objid)
                         WHEN 'pg_operator'::regclass THEN (SELECT oprowner FROM pg_operator WHERE oid = d.objid)
                         WHEN 'pg_type'::regclass THEN (SELECT typowner FROM pg_type WHERE oid = d.objid)
          END <> ALL (ARRAY(SELECT oid FROM trusted)))
  OR EXISTS (
    SELECT FROM pg_cast c WHERE c.oid >= {FIRST_OID} AND c.castcontext <> 'e'
    AND EXISTS (SELECT FROM pg_type t WHERE t.oid IN (c.castsource, c.casttarget)
                AND t.typowner <> ALL (ARRAY(SELECT oid FROM trusted))))
  OR EXISTS (
    SELECT FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid
    WHERE r.rngtypid >= {FIRST_OID} AND t.typowner <> ALL (ARRAY(SELECT oid FROM trusted))),
  'open', (SELECT coalesce(json_agg(json_build_array(s.nspname, g.name)), '[]') FROM seen s CROSS JOIN LATERAL (
    SELECT pg_get_userbyid(o.oid)::text
    FROM (SELECT CASE WHEN pg_get_userbyid(s.nspowner) = 'pg_database_owner'
                 THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE s.nspowner END) AS o (oid)
    WHERE o.oid <> ALL (ARRAY(SELECT oid FROM trusted))
    UNION
    SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END FROM aclexplode(s.nspacl) a
    WHERE a.privilege_type = 'CREATE' AND a.grantee <> s.nspowner AND a.grantee <> ALL (ARRAY(SELECT oid FROM trusted))
  ) AS g (name))
)::text",
        seen(schemas, acts_as)
    )
}

/// The query → `true` if [`short_query`] would find nothing, because everything in the schemas belongs to the session's
/// role or to the superuser that initialized the server, whose OID is 10. It takes PostgreSQL half of the time of
/// `short_query`: a new session pays for each catalog, function and operator that it uses for the first time.
///
/// It is `false` if schemas or casts of the database belong to other roles, too. `with_rights` is whether the roles that
/// may create objects count. The numbers are the OIDs of `pg_namespace`, `pg_proc`, `pg_operator`, `pg_type` and of the
/// role `pg_database_owner`, the same in every version.
pub(super) fn bare_query<'a>(
    schemas: impl Iterator<Item = &'a SchemaName>,
    with_rights: bool,
) -> String {
    let schemas = array(schemas.map(SchemaName::as_str));
    let seen = format!(
        "nspname = ANY ({schemas}) AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')"
    );
    let rights = format!(
        "
OR EXISTS (
  SELECT FROM pg_namespace WHERE {seen} AND (
    CASE nspowner WHEN 6171 THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE nspowner END
      NOT IN (10, quote_ident(session_user)::regrole::oid)
    OR EXISTS (SELECT FROM aclexplode(nspacl) a WHERE a.privilege_type = 'CREATE' AND a.grantee <> nspowner)))"
    );
    format!(
        "SELECT to_json(NOT (EXISTS (
  SELECT FROM pg_depend d WHERE d.refclassid = 2615 AND d.refobjid IN (SELECT oid FROM pg_namespace WHERE {seen})
  AND CASE d.classid WHEN 1255 THEN (SELECT proowner FROM pg_proc WHERE oid = d.objid)
                     WHEN 2617 THEN (SELECT oprowner FROM pg_operator WHERE oid = d.objid)
                     WHEN 1247 THEN (SELECT typowner FROM pg_type WHERE oid = d.objid)
      END NOT IN (10, quote_ident(session_user)::regrole::oid))
OR EXISTS (SELECT FROM pg_cast WHERE oid >= {FIRST_OID} AND castcontext <> 'e')
OR EXISTS (SELECT FROM pg_range WHERE rngtypid >= {FIRST_OID}){rights}))",
        rights = if with_rights { &rights } else { "" },
    )
}

/// The lowest OID that PostgreSQL assigns after `initdb`.
const FIRST_OID: u32 = 16384;

/// Common table expressions: `trusted`, the roles that are not less privileged, and `seen`, the schemas.
fn seen<'a>(schemas: impl Iterator<Item = &'a SchemaName>, acts_as: Option<&str>) -> String {
    let schemas = array(schemas.map(SchemaName::as_str));
    let first = acts_as.map_or_else(|| "NULL".to_owned(), escape_literal);
    format!(
        "WITH trusted AS (
  SELECT oid FROM pg_roles WHERE rolsuper OR rolname = session_user OR rolname = {first}
), seen AS (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
  WHERE nspname = ANY ({schemas}) AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
)"
    )
}

fn array<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let literals: Vec<String> = texts.map(escape_literal).collect();
    format!("ARRAY[{}]::text[]", literals.join(","))
}

/// The query → the names of the objects, as a JSON array. `extensions` are the extensions whose own names count, too;
/// `acts_as` is the role whose rotated clone the session's role is.
pub(super) fn query<'a>(
    schemas: impl Iterator<Item = &'a SchemaName>,
    extensions: impl Iterator<Item = &'a str>,
    acts_as: Option<&str>,
) -> String {
    let extensions = array(extensions);
    format!(
        "{seen}, member AS (
  -- Of the extensions in question alone: an owner of another may put functions into it with ALTER EXTENSION ADD.
  SELECT classid, objid FROM pg_depend
  WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND refobjid IN (SELECT oid FROM pg_extension WHERE extname = ANY ({extensions}))
), function AS (
  SELECT p.oid, p.proname AS name, p.proowner AS owner, s.nspname, EXISTS (
    SELECT FROM pg_proc b WHERE b.proname = p.proname AND b.pronamespace = 'pg_catalog'::regnamespace) AS is_builtin
  FROM seen s JOIN pg_proc p ON p.pronamespace = s.oid WHERE p.proowner NOT IN (SELECT oid FROM trusted)
), operator AS (
  SELECT o.oid, o.oprname AS name, o.oprowner AS owner, s.nspname, o.oprleft, o.oprright, EXISTS (
    SELECT FROM pg_operator b WHERE b.oprname = o.oprname AND b.oprnamespace = 'pg_catalog'::regnamespace) AS is_builtin
  FROM seen s JOIN pg_operator o ON o.oprnamespace = s.oid WHERE o.oprowner NOT IN (SELECT oid FROM trusted)
), type AS (
  SELECT t.oid, t.typname AS name, t.typowner AS owner, s.nspname, EXISTS (
    SELECT FROM pg_type b WHERE b.typname = t.typname AND b.typnamespace = 'pg_catalog'::regnamespace) AS is_builtin
  FROM seen s JOIN pg_type t ON t.typnamespace = s.oid LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typowner NOT IN (SELECT oid FROM trusted) AND t.typcategory <> 'A' AND coalesce(c.relkind, 'c') = 'c'
), shadowing (object) AS (
  SELECT 'function ' || format('%I.', f.nspname) || f.name || '(' || pg_get_function_identity_arguments(f.oid) || ')'
    || format(' of role \"%s\"', pg_get_userbyid(f.owner))
  FROM function f
  WHERE f.is_builtin OR f.name IN (
    SELECT p.proname FROM member m JOIN pg_proc p ON p.oid = m.objid WHERE m.classid = 'pg_proc'::regclass)
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = f.oid)
  UNION ALL
  SELECT 'operator ' || format('%I.', o.nspname) || o.name
    || format('(%s, %s)', format_type(o.oprleft, NULL), format_type(o.oprright, NULL))
    || format(' of role \"%s\"', pg_get_userbyid(o.owner))
  FROM operator o
  WHERE o.is_builtin OR o.name IN (
    SELECT p.oprname FROM member m JOIN pg_operator p ON p.oid = m.objid WHERE m.classid = 'pg_operator'::regclass)
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_operator'::regclass AND m.objid = o.oid)
  UNION ALL
  SELECT 'type ' || format('%I.%I of role \"%s\"', t.nspname, t.name, pg_get_userbyid(t.owner))
  FROM type t
  WHERE t.is_builtin OR t.name IN (
    SELECT p.typname FROM member m JOIN pg_type p ON p.oid = m.objid WHERE m.classid = 'pg_type'::regclass)
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
  UNION ALL
  -- A cast has no name; one that is applied unasked offers PostgreSQL's own values to functions of the type.
  SELECT format('cast from %s to %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL))
    || format(' of role \"%s\"', pg_get_userbyid(t.typowner))
  FROM pg_cast c JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget) JOIN seen s ON s.oid = t.typnamespace
  WHERE c.castcontext <> 'e' AND t.typowner NOT IN (SELECT oid FROM trusted)
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_cast'::regclass AND m.objid = c.oid)
)
SELECT coalesce(json_agg(object), '[]')::text
FROM (SELECT DISTINCT object FROM shadowing ORDER BY object LIMIT {NAMED}) named",
        seen = seen(schemas, acts_as)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_schemas_are_named_with_the_roles_that_may_create_there() {
        let answer: ShortAnswer = serde_json::from_str(
            r#"{"may_shadow": false, "open": [["b", null], ["b", "y"], ["a", "x"], ["b", "w"]]}"#,
        )
        .unwrap();
        assert_eq!(
            answer.open(),
            [
                r#"schema "a" (role "x")"#,
                r#"schema "b" (role "w", role "y", every role)"#
            ]
        );
    }
}
