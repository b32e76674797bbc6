//! Objects of less privileged roles that the script of an extension would see.
//!
//! `CREATE EXTENSION` and `ALTER EXTENSION … UPDATE` run a script, as a superuser if the extension is trusted or RDS allows
//! it. Its `search_path` contains the extension's schema and those of the extensions that it requires. `pg_catalog` comes
//! first, but PostgreSQL prefers a function or an operator whose signature matches better, in whichever schema it is.

use std::collections::{BTreeMap, BTreeSet};

use postgres_protocol::escape::escape_literal;
use serde::Deserialize;

use crate::extension::SchemaName;
use crate::plan::ScriptScope;

/// Maximum number of objects that are named, for the length of a Reason.
const NAMED: usize = 10;

/// The objects and schemas that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SchemaObjects {
    /// Objects of less privileged roles with a name that PostgreSQL or an extension uses, and those of extensions whose
    /// objects the script uses.
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
pub(super) fn short_query(scope: &ScriptScope, acts_as: Option<&str>) -> String {
    let used = of_used(scope, "NOT IN (SELECT oid FROM trusted)");
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
    WHERE r.rngtypid >= {FIRST_OID} AND t.typowner <> ALL (ARRAY(SELECT oid FROM trusted))){used},
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
        seen(&scope.schemas, acts_as)
    )
}

/// The query → `true` if [`short_query`] would find nothing, because everything in the schemas belongs to the session's
/// role or to the superuser that initialized the server, whose OID is 10. It takes PostgreSQL half of the time of
/// `short_query`: a new session pays for each catalog, function and operator that it uses for the first time.
///
/// It is `false` if schemas or casts of the database belong to other roles, too. `with_rights` is whether the roles that
/// may create objects count. The numbers are the OIDs of `pg_namespace`, `pg_proc`, `pg_operator`, `pg_type` and of the
/// role `pg_database_owner`, the same in every version.
pub(super) fn bare_query(scope: &ScriptScope, with_rights: bool) -> String {
    let schemas = array(scope.schemas.iter().map(SchemaName::as_str));
    let used = of_used(
        scope,
        "NOT IN (10, quote_ident(session_user)::regrole::oid)",
    );
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
OR EXISTS (SELECT FROM pg_range WHERE rngtypid >= {FIRST_OID}){used}{rights}))",
        rights = if with_rights { &rights } else { "" },
    )
}

/// A condition of the queries above: a less privileged role may own an object of an extension that the scripts use, or a
/// relation in the schemas that has the name of a relation of such an extension. `is_less_privileged` is the
/// condition on an owner's OID. The numbers are the OIDs of `pg_extension`, `pg_proc`, `pg_operator`, `pg_type` and `pg_class`.
fn of_used(scope: &ScriptScope, is_less_privileged: &str) -> String {
    if scope.used.is_empty() {
        return String::new();
    }
    let schemas = array(scope.schemas.iter().map(SchemaName::as_str));
    let used = array(scope.used.iter().map(String::as_str));
    format!(
        "
OR EXISTS (
  SELECT FROM pg_extension e JOIN pg_depend d ON d.refclassid = 3079 AND d.refobjid = e.oid AND d.deptype = 'e'
  WHERE e.extname = ANY ({used}) AND (
    CASE d.classid WHEN 1255 THEN (SELECT proowner FROM pg_proc WHERE oid = d.objid)
                   WHEN 2617 THEN (SELECT oprowner FROM pg_operator WHERE oid = d.objid)
                   WHEN 1247 THEN (SELECT typowner FROM pg_type WHERE oid = d.objid)
                   WHEN 1259 THEN (SELECT relowner FROM pg_class WHERE oid = d.objid) END {is_less_privileged}
    OR d.classid = 1259 AND EXISTS (
      SELECT FROM pg_class c JOIN pg_class o ON o.relname = c.relname AND o.oid <> c.oid
      JOIN pg_namespace n ON n.oid = o.relnamespace AND n.nspname = ANY ({schemas})
      WHERE c.oid = d.objid AND o.relowner {is_less_privileged})))"
    )
}

/// The lowest OID that PostgreSQL assigns after `initdb`.
const FIRST_OID: u32 = 16384;

/// Common table expressions: `trusted`, the roles that are not less privileged, and `seen`, the schemas.
fn seen(schemas: &BTreeSet<SchemaName>, acts_as: Option<&str>) -> String {
    let schemas = array(schemas.iter().map(SchemaName::as_str));
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

/// The query → the names of the objects, as a JSON array. `acts_as` is the role whose rotated clone the session's role is.
///
/// A function, an operator or a type of an extension that the scripts use counts if a less privileged role owns it. A
/// relation of such an extension counts if it has a trigger, a default, a rule, a column type or a child of such a role.
pub(super) fn query(scope: &ScriptScope, acts_as: Option<&str>) -> String {
    let extensions = array(scope.extensions.iter().map(String::as_str));
    let used = array(scope.used.iter().map(String::as_str));
    format!(
        "{seen}, member AS (
  -- Of the extensions in question alone: an owner of another may put functions into it with ALTER EXTENSION ADD.
  SELECT d.classid, d.objid, e.extname = ANY ({used}) AS is_used FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
  WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = ANY ({extensions})
), own AS (
  SELECT classid, objid FROM member WHERE NOT is_used
), used AS (
  SELECT classid, objid FROM member WHERE is_used
), function AS (
  SELECT p.oid, p.proname AS name, p.proowner AS owner, n.nspname, s.oid IS NOT NULL AS is_seen, EXISTS (
    SELECT FROM pg_proc b WHERE b.proname = p.proname AND b.pronamespace = 'pg_catalog'::regnamespace) AS is_builtin
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN seen s ON s.oid = n.oid
  WHERE p.proowner NOT IN (SELECT oid FROM trusted)
    AND (s.oid IS NOT NULL OR p.oid IN (SELECT objid FROM used WHERE classid = 'pg_proc'::regclass))
), operator AS (
  SELECT o.oid, o.oprname AS name, o.oprowner AS owner, n.nspname, s.oid IS NOT NULL AS is_seen, o.oprleft, o.oprright, EXISTS (
    SELECT FROM pg_operator b WHERE b.oprname = o.oprname AND b.oprnamespace = 'pg_catalog'::regnamespace) AS is_builtin
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace LEFT JOIN seen s ON s.oid = n.oid
  WHERE o.oprowner NOT IN (SELECT oid FROM trusted)
    AND (s.oid IS NOT NULL OR o.oid IN (SELECT objid FROM used WHERE classid = 'pg_operator'::regclass))
), type AS (
  SELECT t.oid, t.typname AS name, t.typowner AS owner, n.nspname, s.oid IS NOT NULL AS is_seen, EXISTS (
    SELECT FROM pg_type b WHERE b.typname = t.typname AND b.typnamespace = 'pg_catalog'::regnamespace) AS is_builtin
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN seen s ON s.oid = n.oid
  LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typowner NOT IN (SELECT oid FROM trusted) AND t.typcategory <> 'A' AND coalesce(c.relkind, 'c') = 'c'
    AND (s.oid IS NOT NULL OR t.oid IN (SELECT objid FROM used WHERE classid = 'pg_type'::regclass))
), relation AS (
  SELECT c.oid, c.relname AS name, c.relowner AS owner, c.relnamespace FROM used m JOIN pg_class c ON c.oid = m.objid
  WHERE m.classid = 'pg_class'::regclass
), attached (relation, classid, objid) AS (
  SELECT oid, 'pg_class'::regclass::oid, oid FROM relation WHERE owner NOT IN (SELECT oid FROM trusted)
  UNION
  SELECT r.oid, d.classid, d.objid FROM relation r JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
  WHERE r.owner NOT IN (SELECT oid FROM trusted) AND d.deptype IN ('a', 'i')
    AND (d.classid IN ('pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass,
                       'pg_policy'::regclass)
      OR d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class i WHERE i.oid = d.objid AND i.relkind IN ('i', 'I')))
), shadowing (object) AS (
  SELECT 'function ' || format('%I.', f.nspname) || f.name || '(' || pg_get_function_identity_arguments(f.oid) || ')'
    || format(' of role \"%s\"', pg_get_userbyid(f.owner))
  FROM function f
  WHERE f.is_seen AND (f.is_builtin OR f.name IN (
      SELECT p.proname FROM member m JOIN pg_proc p ON p.oid = m.objid WHERE m.classid = 'pg_proc'::regclass)
      AND NOT EXISTS (SELECT FROM own m WHERE m.classid = 'pg_proc'::regclass AND m.objid = f.oid))
    OR EXISTS (SELECT FROM used m WHERE m.classid = 'pg_proc'::regclass AND m.objid = f.oid)
  UNION ALL
  SELECT 'operator ' || format('%I.', o.nspname) || o.name
    || format('(%s, %s)', format_type(o.oprleft, NULL), format_type(o.oprright, NULL))
    || format(' of role \"%s\"', pg_get_userbyid(o.owner))
  FROM operator o
  WHERE o.is_seen AND (o.is_builtin OR o.name IN (
      SELECT p.oprname FROM member m JOIN pg_operator p ON p.oid = m.objid WHERE m.classid = 'pg_operator'::regclass)
      AND NOT EXISTS (SELECT FROM own m WHERE m.classid = 'pg_operator'::regclass AND m.objid = o.oid))
    OR EXISTS (SELECT FROM used m WHERE m.classid = 'pg_operator'::regclass AND m.objid = o.oid)
  UNION ALL
  SELECT 'type ' || format('%I.%I of role \"%s\"', t.nspname, t.name, pg_get_userbyid(t.owner))
  FROM type t
  WHERE t.is_seen AND (t.is_builtin OR t.name IN (
      SELECT p.typname FROM member m JOIN pg_type p ON p.oid = m.objid WHERE m.classid = 'pg_type'::regclass)
      AND NOT EXISTS (SELECT FROM own m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid))
    OR EXISTS (SELECT FROM used m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
  UNION ALL
  -- A cast has no name; one that is applied unasked offers PostgreSQL's own values to functions of the type.
  SELECT format('cast from %s to %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL))
    || format(' of role \"%s\"', pg_get_userbyid(t.typowner))
  FROM pg_cast c JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget) JOIN seen s ON s.oid = t.typnamespace
  WHERE c.castcontext <> 'e' AND t.typowner NOT IN (SELECT oid FROM trusted)
    AND NOT EXISTS (SELECT FROM own m WHERE m.classid = 'pg_cast'::regclass AND m.objid = c.oid)
  UNION ALL
  -- It stands on the path before one of the extension's own.
  SELECT 'relation ' || format('%I.%I of role \"%s\"', s.nspname, c.relname, pg_get_userbyid(c.relowner))
  FROM relation r JOIN pg_class c ON c.relname = r.name AND c.oid <> r.oid JOIN seen s ON s.oid = c.relnamespace
  WHERE c.relowner NOT IN (SELECT oid FROM trusted)
  UNION ALL
  SELECT 'relation ' || format('%I.%I of role \"%s\"', n.nspname, r.name, pg_get_userbyid(r.owner))
  FROM relation r JOIN pg_namespace n ON n.oid = r.relnamespace
  WHERE EXISTS (
    SELECT FROM attached a JOIN pg_depend d ON d.classid = a.classid AND d.objid = a.objid
    WHERE a.relation = r.oid AND d.deptype NOT IN ('a', 'i', 'e')
      AND CASE d.refclassid WHEN 'pg_proc'::regclass THEN (SELECT proowner FROM pg_proc WHERE oid = d.refobjid)
                            WHEN 'pg_operator'::regclass THEN (SELECT oprowner FROM pg_operator WHERE oid = d.refobjid)
                            WHEN 'pg_type'::regclass THEN (SELECT typowner FROM pg_type WHERE oid = d.refobjid)
                            WHEN 'pg_class'::regclass THEN (SELECT relowner FROM pg_class WHERE oid = d.refobjid)
          END NOT IN (SELECT oid FROM trusted)
      AND NOT EXISTS (SELECT FROM member m WHERE m.classid = d.refclassid AND m.objid = d.refobjid))
    OR r.owner NOT IN (SELECT oid FROM trusted) AND EXISTS (
      SELECT FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
      WHERE i.inhparent = r.oid AND k.relowner NOT IN (SELECT oid FROM trusted)
        AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = k.oid))
)
SELECT coalesce(json_agg(object), '[]')::text
FROM (SELECT DISTINCT object FROM shadowing ORDER BY object LIMIT {NAMED}) named",
        seen = seen(&scope.schemas, acts_as)
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
