//! Queries before an upgrade. Each of them returns one JSON document, and resolves names only in `pg_catalog`, which is the
//! transaction's `search_path`.

use postgres_protocol::escape::escape_literal;

use crate::upgrade::MAX_LISTED;

/// Objects with a lower OID belong to PostgreSQL.
/// Source: `FirstNormalObjectId` in `src/include/access/transam.h`.
const FIRST_OF_USERS: u32 = 16384;

/// Functions of arrays whose arguments are anycompatible from PostgreSQL 14 on.
/// Source: the release notes of PostgreSQL 14, and `check_for_incompatible_polymorphics` in `pg_upgrade/check.c`.
const POLYMORPHIC: &str = "'array_append', 'array_cat', 'array_prepend', 'array_remove', 'array_replace', 'array_position', \
                           'array_positions', 'width_bucket'";

/// → [`crate::upgrade::ServerFacts`]. Names of databases are read as bytes, because each is in the encoding of the database
/// in which it was created.
pub(super) fn server_facts() -> String {
    let name = |of: &str| format!("encode(namesend({of}), 'hex')");
    let database = name("datname");
    format!(
        "SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'is_rds', EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser'),
  'in_recovery', pg_is_in_recovery(),
  'preloaded', (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'),
  'prepared', (SELECT coalesce(json_agg(x), '[]') FROM (
      SELECT gid, {prepared_in} AS database FROM pg_prepared_xacts ORDER BY prepared LIMIT {limit}) x),
  'slots', (SELECT coalesce(json_agg(x), '[]') FROM (
      SELECT s.slot_name AS name, {slot_in} AS database, to_jsonb(s) ->> 'wal_status' AS wal_status
      FROM pg_replication_slots s WHERE s.slot_type = 'logical' AND NOT s.temporary ORDER BY 1 LIMIT {limit}) x),
  'closed', (SELECT coalesce(json_agg(x), '[]') FROM (
      SELECT {database} AS name, datconnlimit = -2 AS is_invalid FROM pg_database
      WHERE datconnlimit = -2 OR datallowconn = (datname = 'template0') ORDER BY datname LIMIT {limit}) x),
  'subscriptions', (SELECT coalesce(json_agg(x.name), '[]') FROM (
      SELECT {subscription} AS name FROM pg_subscription ORDER BY subname LIMIT {limit}) x),
  'unreachable', (SELECT coalesce(json_agg(x.name), '[]') FROM (
      SELECT {database} AS name FROM pg_database
      WHERE datallowconn AND datconnlimit <> -2 AND datname NOT IN ('template0', 'rdsadmin')
        AND (NOT has_database_privilege(oid, 'CONNECT') OR datconnlimit = 0
             AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)) ORDER BY datname LIMIT {limit}) x)
)::text",
        prepared_in = name("database"),
        slot_in = name("s.database"),
        subscription = name("subname"),
        limit = MAX_LISTED + 1,
    )
}

/// Types that contain no other type and are not refused, and some of their arrays: most columns have one of these types.
/// Source: `src/include/catalog/pg_type.dat`.
const PLAIN: &str = "16, 17, 18, 19, 20, 21, 23, 25, 26, 27, 28, 29, 114, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, \
                     1700, 2950, 3802, 1000, 1005, 1007, 1009, 1015, 1016, 1115, 1185, 1231, 2951, 3807";

/// → [`crate::upgrade::DatabaseLook`], for a server of version `from`: whether [`database_facts`] would find anything but
/// extensions, in a third of its time. A new session takes longest for what it plans and reads first.
pub(super) fn database_look(from: u16, refused_types: &[&str]) -> String {
    // Findings that only older versions can have are not searched here.
    let mut may_have = vec![if from < 14 { "true" } else { "false" }.to_owned()];
    may_have.push("EXISTS (SELECT FROM pg_inherits)".to_owned());
    may_have.push(format!(
        "EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                 WHERE a.attrelid >= {FIRST_OF_USERS} AND NOT a.attisdropped AND a.atttypid <> ALL (ARRAY[{PLAIN}]::oid[]) \
                   AND (t.typtype NOT IN ('b', 'e') OR t.typelem <> 0 OR t.typname IN ({})))",
        literals(refused_types)
    ));
    may_have.push(format!(
        "EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c' \
                 WHERE p.oid >= {FIRST_OF_USERS} AND NOT EXISTS ( \
                     SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))"
    ));
    if from >= 17 {
        may_have.push("EXISTS (SELECT FROM pg_subscription_rel)".to_owned());
    }
    format!(
        "SELECT json_build_object('may_have_more', {}, 'extensions', (SELECT coalesce(json_agg(json_build_object( \
           'name', e.extname, 'version', e.extversion) ORDER BY e.extname), '[]') FROM pg_extension e))::text",
        may_have.join(" OR ")
    )
}

fn literals(names: &[&str]) -> String {
    let literals: Vec<String> = names.iter().map(|name| escape_literal(name)).collect();
    literals.join(", ")
}

/// → [`crate::upgrade::DatabaseFacts`], for a server of version `from`, with the columns of these types of PostgreSQL.
pub(super) fn database_facts(from: u16, refused_types: &[&str]) -> String {
    let limit = MAX_LISTED + 1;
    let list = |field: &str, query: &str| {
        format!("'{field}', (SELECT coalesce(json_agg(x), '[]') FROM ({query} LIMIT {limit}) x)")
    };
    let mut fields = vec![
        "'extensions', (SELECT coalesce(json_agg(json_build_object('name', e.extname, 'version', e.extversion, \
         'libraries', (SELECT coalesce(json_agg(DISTINCT p.probin), '[]') FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid JOIN pg_language l ON l.oid = p.prolang \
             WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_proc'::regclass \
               AND d.deptype = 'e' AND l.lanname = 'c')) ORDER BY e.extname), '[]') FROM pg_extension e)"
            .to_owned(),
        list("columns", &columns(refused_types)),
        list("functions", &functions()),
    ];
    if from >= 17 {
        // Before this version pg_upgrade does not keep subscriptions.
        fields.push(list(
            "subscribed_tables",
            "SELECT s.subname AS subscription, r.srrelid::regclass::text AS table \
             FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid WHERE r.srsubstate NOT IN ('i', 'r')",
        ));
    }
    if from < 12 {
        // Only these versions have the column.
        let tables = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relhasoids AND c.relnamespace <> 'pg_catalog'::regnamespace";
        fields.push(names("tables_with_oids", tables, limit));
    }
    if from < 14 {
        fields.extend(removed_in_14().map(|(field, query)| names(field, &query, limit)));
    }
    if from < 18 {
        fields.push(format!(
            "'nullable_columns', (SELECT coalesce(json_agg(json_build_array(x.relation, x.name)), '[]') FROM ( \
               SELECT own.attrelid::regclass::text AS relation, quote_ident(own.attname) AS name \
               FROM pg_inherits i \
               JOIN pg_attribute own ON own.attrelid = i.inhrelid AND NOT own.attnotnull \
               JOIN pg_attribute of_parent ON of_parent.attrelid = i.inhparent AND of_parent.attname = own.attname \
                 AND of_parent.attnum > 0 AND of_parent.attnotnull LIMIT {limit}) x)"
        ));
    }
    format!("SELECT json_build_object({})::text", fields.join(", "))
}

/// A list of texts: the query has one column.
fn names(field: &str, query: &str, limit: usize) -> String {
    format!(
        "'{field}', (SELECT coalesce(json_agg(x.name), '[]') FROM ({query} LIMIT {limit}) x (name))"
    )
}

/// Stored columns of a refused type, or of a type that contains one: a domain, an array, a row or a range. Views store
/// nothing. The search goes down from the types of these few columns: the way up from the refused types would read all of
/// `pg_type`, which takes a new session longer than everything else.
fn columns(refused_types: &[&str]) -> String {
    format!(
        "WITH RECURSIVE stored AS MATERIALIZED (
             SELECT c.oid AS relation, c.relkind AS kind, a.attname, a.atttypid, a.atttypmod
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
             WHERE c.oid >= {FIRST_OF_USERS} AND c.relkind IN ('r', 'm', 'i')
               AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
               AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%'),
         contains (whole, part) AS (
             SELECT atttypid, atttypid FROM stored
             UNION SELECT contains.whole, x.part FROM contains JOIN pg_type t ON t.oid = contains.part CROSS JOIN LATERAL (
                 SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END WHERE t.typtype IN ('b', 'd')
                 UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid AND t.typtype = 'r'
                 UNION ALL SELECT a.atttypid FROM pg_attribute a
                           WHERE a.attrelid = t.typrelid AND t.typrelid >= {FIRST_OF_USERS} AND t.typtype = 'c'
                             AND NOT a.attisdropped) x (part))
         SELECT s.relation::regclass::text AS relation, s.kind, quote_ident(s.attname) AS column,
                format_type(s.atttypid, s.atttypmod) AS type,
                CASE t.typtype WHEN 'c' THEN 'a system-defined composite type' ELSE t.typname::text END AS refused
         FROM contains JOIN pg_type t ON t.oid = contains.part JOIN pg_namespace n ON n.oid = t.typnamespace
         JOIN stored s ON s.atttypid = contains.whole
         WHERE CASE t.typtype WHEN 'c' THEN t.oid < {FIRST_OF_USERS} OR n.nspname = 'information_schema'
                    ELSE n.nspname IN ('pg_catalog', 'information_schema') AND t.typname IN ({types}) END
         ORDER BY 1, 3",
        types = literals(refused_types),
    )
}

/// Functions in libraries that belong to no extension.
fn functions() -> String {
    format!(
        "SELECT p.oid::regprocedure::text AS name, p.probin AS library FROM pg_proc p
         WHERE p.oid >= {FIRST_OF_USERS} AND p.probin IS NOT NULL
           AND p.prolang = (SELECT l.oid FROM pg_language l WHERE l.lanname = 'c')
           AND p.oid NOT IN (SELECT d.objid FROM pg_depend d WHERE d.refclassid = 'pg_extension'::regclass
                             AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
         ORDER BY 1"
    )
}

/// Each with a name in the form that DROP OPERATOR, DROP FUNCTION and similar statements take.
fn removed_in_14() -> [(&'static str, String); 3] {
    let polymorphic = format!(
        "SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ({POLYMORPHIC})
           AND p.proargtypes::oid[] && ARRAY['anyarray'::regtype, 'anyelement'::regtype]::oid[]"
    );
    [
        (
            "postfix_operators",
            format!(
                "SELECT format('%I.%s (%s, NONE)', n.nspname, o.oprname, format_type(o.oprleft, NULL))
                 FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
                 WHERE o.oprright = 0 AND o.oid >= {FIRST_OF_USERS}"
            ),
        ),
        (
            "polymorphics",
            format!(
                "SELECT 'AGGREGATE ' || a.aggfnoid::regprocedure FROM pg_aggregate a
                 WHERE a.aggfnoid >= {FIRST_OF_USERS} AND a.aggtranstype IN ('anyarray'::regtype, 'anyelement'::regtype)
                   AND (a.aggtransfn IN ({polymorphic}) OR a.aggfinalfn IN ({polymorphic}))
                 UNION ALL SELECT 'OPERATOR ' || format('%I.%s (%s, %s)', n.nspname, o.oprname,
                   CASE WHEN o.oprleft = 0 THEN 'NONE' ELSE format_type(o.oprleft, NULL) END,
                   CASE WHEN o.oprright = 0 THEN 'NONE' ELSE format_type(o.oprright, NULL) END)
                 FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
                 WHERE o.oid >= {FIRST_OF_USERS} AND o.oprcode IN ({polymorphic})
                   AND o.oprleft IN ('anyarray'::regtype, 'anyelement'::regtype)"
            ),
        ),
        (
            "conversions",
            format!(
                "SELECT format('%I.%I', n.nspname, c.conname) FROM pg_conversion c
                 JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.oid >= {FIRST_OF_USERS}"
            ),
        ),
    ]
}

/// → [`crate::resync_protocol::TargetOffer`].
pub(crate) const OFFER: &str = "SELECT json_build_object(
  'ServerVersion', split_part(current_setting('server_version'), ' ', 1),
  'Preloaded', (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'),
  'Extensions', (
    WITH available AS MATERIALIZED (SELECT name::text, default_version FROM pg_available_extensions()),
    versions AS MATERIALIZED (SELECT name::text, version FROM pg_available_extension_versions()),
    updates AS MATERIALIZED (
      SELECT a.name, p.source, coalesce(max(p.target) FILTER (WHERE p.target = a.default_version), max(p.target)) AS target
      FROM available a CROSS JOIN LATERAL pg_extension_update_paths(a.name) p
      WHERE p.path IS NOT NULL AND EXISTS (SELECT FROM versions v WHERE v.name = a.name AND v.version = p.target)
      GROUP BY a.name, p.source)
    SELECT coalesce(json_object_agg(a.name, json_build_object(
      'Default', a.default_version,
      'Versions', (SELECT coalesce(json_agg(v.version ORDER BY v.version), '[]') FROM versions v WHERE v.name = a.name),
      'Updates', (SELECT coalesce(json_object_agg(u.source, u.target), '{}') FROM updates u WHERE u.name = a.name))), '{}')
    FROM available a)
)::text";

/// → an object of default versions by extension.
pub(super) const DEFAULTS: &str = "SELECT coalesce(json_object_agg(name, default_version) FILTER (WHERE default_version IS NOT NULL), '{}')::text \
                                   FROM pg_available_extensions()";

/// → an object of the versions to which the installed extensions can be updated, by extension.
pub(super) fn updates(extensions: &[&str]) -> String {
    format!(
        "SELECT coalesce(json_object_agg(e.extname, (SELECT coalesce(json_agg(p.target), '[]') FROM pg_extension_update_paths(e.extname) p \
             WHERE p.source = e.extversion AND p.path IS NOT NULL)), '{{}}')::text \
         FROM pg_extension e WHERE e.extname IN ({}) AND e.extname IN (SELECT a.name FROM pg_available_extensions() a)",
        literals(extensions)
    )
}
