//! When the ledger that a database holds may be used: where everything in it belongs to the role of the session, or to a
//! superuser, and nothing in it runs what others wrote.
//!
//! The server itself decides, in one query that raises an error: what was sent behind it meets an aborted transaction.
//! Once [`LOCK`] is held, no other session can put a trigger, a rule or another owner there before the transaction ends.
//!
//! Most ledgers are just as the worker made them: [`AS_MADE`] compares them with that form, at a fraction of the cost of
//! [`check`], and accepts less than it. Of any other ledger `check` looks at everything, which takes PostgreSQL some
//! milliseconds, and says what is wrong. Both return a mark. While it is the same, nothing that they looked at has changed:
//! [`STILL_AS_MADE`] and [`UNCHANGED`] compare it in a fraction of that time.

use postgres_protocol::escape::escape_literal;

/// What the error's message holds before the sentence that says what is wrong.
pub(crate) const UNTRUSTED: &str = "extension-worker ledger: ";

/// What the error's message holds where [`check`] has to look again.
pub(crate) const CHANGED: &str = "extension-worker changed";

/// One text for the state of the ledger, or no row where there is no schema.
///
/// A role of lower rank changes nothing there unless a right was granted to it, or an owner was changed: PostgreSQL writes a
/// new version of the row in `pg_namespace`, `pg_class` or `pg_attribute` then. What a role of the owner's rank adds without
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

/// One text for the state of a ledger that is as it was made, or no row where there is none.
///
/// PostgreSQL writes a new version of the row in `pg_namespace` or `pg_class` for another owner, a right that is granted, the
/// first trigger, rule, child or CHECK constraint, and row security, and in `pg_attribute` for a right on a column or a default.
/// An index is counted, as PostgreSQL does not write a new version of the table's row for it.
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

/// `$1` the role that a clone of it works as, or an empty text: its mark, for [`STILL_AS_MADE`], where the ledger is as [`super::migration`] makes it
/// and belongs to the session's role, or to that one. It leaves nothing to be looked at that [`check`] looks at:
///
/// - The schema and the relations have one owner, and grant others no more than to read.
/// - In the schema are the table and the view; an index, a trigger, a policy, a rule, a child or another view on them, or a
///   default, would be one more row of `pg_depend`. Constraints are not counted there, as those for NOT NULL are rows from
///   PostgreSQL 18 on; others have an index, a trigger, or are counted in `relchecks`.
/// - A parent, or a type, function, operator class or collation that is not PostgreSQL's own, would be one more row of
///   `pg_depend` the other way round.
///
/// A ledger that was changed in a way that `check` admits costs both of them.
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

/// `$1` the mark of [`AS_MADE`]: no error where it is the ledger's still.
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

/// `$1` the mark of [`check`]: no error where it is the ledger's still.
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

/// No error where there is no schema.
///
/// # Errors
/// 22P02, with a message that holds [`CHANGED`].
pub(crate) const ABSENT: &str = "SELECT (SELECT ('extension-worker changed' || left(nspname, 0))::int FROM pg_namespace \
     WHERE nspname = 'extension_worker')";

/// One transaction at a time changes a database through its ledger. Only a role with rights on the table can hold this
/// lock; it lets readers pass.
pub(crate) const LOCK: &str = "LOCK TABLE extension_worker.ledger IN SHARE UPDATE EXCLUSIVE MODE";
/// The same for a ledger of version 1 or 2.
pub(crate) const LOCK_OLDER: &str =
    "LOCK TABLE extension_worker.resource IN SHARE UPDATE EXCLUSIVE MODE";

/// The columns of version 3.
const COLUMNS: &str = "kind text,stack_id text,logical_resource_id text,name text,requested_at timestamp with time zone,\
                       owns jsonb,data jsonb";

/// The query: the mark, where there is a ledger that may be used; NULL where there is no schema. `acts_as` is the role that
/// a clone of it works as. Its names are found in `pg_catalog` alone, to which the transaction's `search_path` is set.
///
/// # Errors
/// 22P02, with a message that holds [`UNTRUSTED`] and what is wrong.
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
