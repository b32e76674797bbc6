//! Whether a ledger may be used: everything in it belongs to the session's role or a superuser, and nothing in it runs code
//! of other roles.
//!
//! The server itself decides, in a query that raises an error: statements that were sent after it then fail, as the
//! transaction is aborted. Once [`LOCK`] is held, no other session can add a trigger or a rule, or change the owner, before
//! the transaction ends.
//!
//! Most ledgers are exactly as the worker created them: [`AS_MADE`] compares them with this form, at a fraction of the cost
//! of [`check`], and accepts only a part of what `check` accepts. `check` inspects everything in a ledger, which takes
//! PostgreSQL some milliseconds, and reports what is wrong. Both return a mark. While the mark is the same, nothing that
//! they inspected has changed: [`STILL_AS_MADE`] and [`UNCHANGED`] compare it in a fraction of that time.

use postgres_protocol::escape::escape_literal;

/// The text of the error before the sentence that says what is wrong.
pub(crate) const UNTRUSTED: &str = "extension-worker ledger: ";

/// The text of the error if [`check`] has to run again.
pub(crate) const CHANGED: &str = "extension-worker changed";

/// One text for the state of the ledger, or no row if there is no schema.
///
/// A less privileged role can change the ledger only after a right was granted to it, or the owner was changed: PostgreSQL
/// then writes a new version of the row in `pg_namespace`, `pg_class` or `pg_attribute`. Objects that a role with the
/// owner's rights adds without such a change are listed by their OID.
/// one is listed by its OID.
macro_rules! mark {
    () => {
        "SELECT concat_ws(' ', n.oid, n.xmin, \
           (SELECT string_agg(concat_ws(' ', c.oid, c.xmin, \
              (SELECT string_agg(concat_ws(' ', a.attnum, a.xmin), ' ' ORDER BY a.attnum) FROM pg_attribute a \
               WHERE a.attrelid = c.oid AND a.attnum > 0), \
              (SELECT string_agg(t.oid::text, ' ' ORDER BY t.oid) FROM pg_trigger t WHERE t.tgrelid = c.oid), \
              (SELECT string_agg(p.oid::text, ' ' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = c.oid), \
              (SELECT string_agg(i.indexrelid::text, ' ' ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid)), \
            ' ' ORDER BY c.oid) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname IN ('ledger', 'ledger_pkey'))) \
         FROM pg_namespace n WHERE n.nspname = 'extension_worker'"
    };
}

/// One text for the state of a ledger that is as the worker created it, or no row if there is none.
///
/// PostgreSQL writes a new version of the row in `pg_namespace` or `pg_class` for a change of the owner, for a granted
/// right, for the first trigger, rule, child or CHECK constraint, and for row security; and of the row in `pg_attribute`
/// for a right on a column, or a default. Indexes are counted, because PostgreSQL does not write a new version of the
/// table's row for them.
macro_rules! form_mark {
    () => {
        "SELECT concat_ws(' ', n.oid, n.xmin, c.oid, c.xmin, \
           (SELECT string_agg(a.xmin::text, ' ' ORDER BY a.attnum) FROM pg_attribute a \
            WHERE a.attrelid = c.oid AND a.attnum > 0), \
           (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid)) \
         FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'ledger' \
         WHERE n.nspname = 'extension_worker'"
    };
}

/// `$1` the role whose rotated clone the session's role is, or an empty text → the mark for [`STILL_AS_MADE`], if the
/// ledger is as [`super::migration`] creates it, and belongs to the session's role or to `$1`. It covers everything that
/// [`check`] inspects:
///
/// - The schema and the relations have the same owner, and grant other roles only the right to read.
/// - The schema contains the table and the view. An index, a trigger, a policy, a rule, a child, another view on them, or a
///   default would be another row of `pg_depend`. Constraints are not counted there, because those for NOT NULL are rows from
///   PostgreSQL 18 on; other constraints have an index or a trigger, or are counted in `relchecks`.
/// - A parent, or a type, function, operator class or collation that does not belong to PostgreSQL, would be another row of
///   `pg_depend` in the opposite direction.
///
/// For a ledger that was changed in a way that `check` accepts, both queries run.
///
/// # Errors
/// 22P02, with a message that holds [`CHANGED`].
pub(crate) const AS_MADE: &str = concat!(
    "SELECT CASE WHEN found.form IS DISTINCT FROM \
     't 0 2; \
      ledger r p t f f f f f 0 0 1 1 3 kind 25 -1 f,stack_id 25 -1 f,logical_resource_id 25 -1 f,name 25 -1 f,\
      requested_at 1184 -1 f,owns 3802 -1 f,data 3802 -1 f; \
      ledger_pkey i p t f f f f f 0 0 0 1 0 kind 25 -1 f,stack_id 25 -1 f,logical_resource_id 25 -1 f,name 25 -1 f; \
      managed_extensions v p t t f f f f 0 0 0 1 2 name 25 -1 f,installed_version 25 -1 f,default_version 25 -1 f,\
      schema 19 -1 f,origin 25 -1 f,role 25 -1 f,stack_id 25 -1 f,logical_resource_id 25 -1 f' \
       THEN ('extension-worker changed' || left(coalesce(found.form, ''), 0))::int::text ELSE (",
    form_mark!(),
    ") END FROM (SELECT (SELECT concat_ws(' ', \
         pg_get_userbyid(n.nspowner) = session_user OR pg_get_userbyid(n.nspowner) = $1::name, \
         (SELECT count(*) FROM aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner), \
         (SELECT count(*) FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid) || ';', \
         (SELECT string_agg(concat_ws(' ', c.relname, c.relkind, c.relpersistence, c.relowner = n.nspowner, \
             c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relispartition, c.relhassubclass, c.relchecks, \
             (SELECT count(*) FROM aclexplode(c.relacl) a \
              WHERE a.privilege_type <> 'SELECT' AND a.grantee <> c.relowner), \
             (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid), \
             (SELECT count(*) FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid), \
             (SELECT count(DISTINCT d.objid) FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass \
              AND d.refobjid = c.oid AND d.classid <> 'pg_constraint'::regclass), \
             (SELECT string_agg(concat_ws(' ', a.attname, a.atttypid, a.atttypmod, a.atthasdef, a.attacl), ',' \
                                ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)), \
           '; ' ORDER BY c.relname) FROM pg_class c \
          WHERE c.relnamespace = n.oid AND c.relname IN ('ledger', 'ledger_pkey', 'managed_extensions'))) \
       FROM pg_namespace n WHERE n.nspname = 'extension_worker') OFFSET 0) AS found (form)"
);

/// `$1` the mark of [`AS_MADE`]: raises no error if the ledger still has it.
///
/// # Errors
/// 22P02, with a message that holds [`CHANGED`].
pub(crate) const STILL_AS_MADE: &str = concat!(
    "SELECT CASE WHEN found.mark IS DISTINCT FROM $1 \
       THEN ('extension-worker changed' || left(coalesce(found.mark, ''), 0))::int END \
     FROM (SELECT (",
    form_mark!(),
    ") OFFSET 0) AS found (mark)"
);

/// `$1` the mark of [`check`]: raises no error if the ledger still has it.
///
/// # Errors
/// 22P02, with a message that holds [`CHANGED`].
pub(crate) const UNCHANGED: &str = concat!(
    "SELECT CASE WHEN found.mark IS DISTINCT FROM $1 \
       THEN ('extension-worker changed' || left(coalesce(found.mark, ''), 0))::int END \
     FROM (SELECT (",
    mark!(),
    ") OFFSET 0) AS found (mark)"
);

/// Raises no error if there is no schema.
///
/// # Errors
/// 22P02, with a message that holds [`CHANGED`].
pub(crate) const ABSENT: &str = "SELECT (SELECT ('extension-worker changed' || left(nspname, 0))::int FROM pg_namespace \
     WHERE nspname = 'extension_worker')";

/// Only one transaction at a time changes a database through its ledger. This lock requires rights on the table, and does
/// not block readers.
pub(crate) const LOCK: &str = "LOCK TABLE extension_worker.ledger IN SHARE UPDATE EXCLUSIVE MODE";
/// The same for a ledger of version 1 or 2.
pub(crate) const LOCK_OLDER: &str =
    "LOCK TABLE extension_worker.resource IN SHARE UPDATE EXCLUSIVE MODE";

/// The columns of version 3.
const COLUMNS: &str = "kind text,stack_id text,logical_resource_id text,name text,requested_at timestamp with time zone,\
                       owns jsonb,data jsonb";

/// The query → the mark of a ledger that may be used; NULL if there is no schema. `acts_as` is the role whose rotated clone
/// the session's role is. The query resolves names only in `pg_catalog`, which is the transaction's `search_path`.
///
/// # Errors
/// 22P02, with a message that contains [`UNTRUSTED`] and what is wrong.
pub(crate) fn check(acts_as: Option<&str>) -> String {
    let first = acts_as.map_or_else(|| "NULL".to_owned(), escape_literal);
    format!(
        "SELECT CASE WHEN fault.problem IS NULL THEN ({mark}) ELSE ('{UNTRUSTED}' || fault.problem)::int::text END
FROM (SELECT) AS one LEFT JOIN (
WITH trusted AS (
  SELECT oid FROM pg_roles WHERE rolsuper OR rolname = session_user OR rolname = {first}
), schema AS (
  SELECT n.oid, n.nspowner, n.nspacl, coalesce(
    substring(obj_description(n.oid, 'pg_namespace') FROM 'version ([0-9]{{1,6}})')::int,
    CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'ledger') THEN 3 ELSE 1 END
  ) AS version
  FROM pg_namespace n WHERE n.nspname = 'extension_worker'
)
SELECT format('the schema belongs to role \"%s\"', pg_get_userbyid(nspowner)) FROM schema
WHERE nspowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT format('%s may create objects in the schema', {grantee}) FROM schema, aclexplode(nspacl) a
WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT format('%s \"%s\" %s', CASE c.relkind WHEN 'v' THEN 'view' WHEN 'i' THEN 'index' ELSE 'relation' END, c.relname, fault)
FROM schema s JOIN pg_class c ON c.relnamespace = s.oid CROSS JOIN LATERAL (SELECT CASE
  WHEN c.relowner NOT IN (SELECT oid FROM trusted)
    THEN format('belongs to role \"%s\"', pg_get_userbyid(c.relowner))
  WHEN format('%s %s', c.relkind, c.relname) <> ALL (CASE WHEN s.version >= 3
      THEN ARRAY['r ledger', 'i ledger_pkey', 'v managed_extensions']
      ELSE ARRAY['r resource', 'i resource_pkey', 'r request', 'i request_pkey', 'r extension', 'i extension_pkey',
                 'r owner', 'i owner_pkey', 'v managed_extensions'] END)
    THEN 'is no part of the ledger'
  WHEN c.relpersistence <> 'p' THEN 'does not outlive a crash'
  WHEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND (c.relkind <> 'v' OR r.rulename <> '_RETURN'))
    THEN 'has a rule'
  WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) THEN 'has a trigger'
  WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
    THEN 'has a row security policy'
  WHEN c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
    THEN 'has a parent or a child'
  WHEN c.relkind = 'r' AND s.version = 3 AND '{COLUMNS}' IS DISTINCT FROM
      (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ',' ORDER BY a.attnum)
       FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)
    THEN 'has other columns'
  WHEN c.relkind <> 'v' AND EXISTS (
      SELECT FROM pg_depend d
      WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass,
                             'pg_opfamily'::regclass, 'pg_am'::regclass, 'pg_collation'::regclass)
        AND (d.classid = 'pg_class'::regclass AND d.objid = c.oid
          OR d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT oid FROM pg_attrdef WHERE adrelid = c.oid)
          OR d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = c.oid)))
    THEN 'uses a function or a type that is not PostgreSQL''s own'
  WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL)
    THEN 'grants rights on a column'
  ELSE (SELECT format('grants %s to %s', a.privilege_type, {grantee}) FROM aclexplode(c.relacl) a
        WHERE a.privilege_type <> 'SELECT' AND a.grantee NOT IN (SELECT oid FROM trusted) LIMIT 1)
  END) AS found (fault)
-- A composite type runs nothing. Any role that may create trusted extensions can have one made in any schema.
WHERE s.version <= 3 AND c.relkind NOT IN ('t', 'c') AND fault IS NOT NULL
LIMIT 1) AS fault (problem) ON true",
        mark = mark!(),
        grantee =
            "CASE a.grantee WHEN 0 THEN 'every role' ELSE format('role \"%s\"', pg_get_userbyid(a.grantee)) END",
    )
}
