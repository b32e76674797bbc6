//! Creates the ledger, and migrates it to the newest version.

/// The version that this worker writes.
const NEWEST: u32 = 3;

/// Without IF NOT EXISTS, so that a schema that appeared since the observation does not pass for the worker's own.
const SCHEMA: &str = "CREATE SCHEMA extension_worker;\n";
/// Version 3 has a view of this name too.
const DROP_VIEW: &str = "DROP VIEW IF EXISTS extension_worker.managed_extensions;\n";

/// The text of the error before the name of a publication that would include the ledger's new table.
pub(crate) const PUBLISHED: &str = "extension-worker publication: ";

/// Raises an error if the new table would become part of a publication: a subscription fails if its database lacks the
/// table.
pub(crate) fn check_publications() -> String {
    format!(
        "SELECT ('{PUBLISHED}' || pubname)::int FROM pg_publication WHERE puballtables \
         AND current_setting('wal_level') = 'logical' LIMIT 1; "
    )
}

/// Counts the default privileges and event triggers of the database. If there are none, a ledger that [`migration`] created
/// in a new schema stays as created until other sessions see it: nothing else grants rights to other roles, and no code of
/// other roles runs inside the worker's definitions.
pub(crate) const ADDITIONS: &str =
    "SELECT (SELECT count(*) FROM pg_default_acl) + (SELECT count(*) FROM pg_event_trigger)";

/// Counts the rights that [`migration`] did not grant: they come from default privileges or an event trigger, or were
/// granted on the schema before.
pub(crate) const HAS_FOREIGN_GRANTS: &str = "\
SELECT count(*) FROM (
  SELECT nspowner, nspacl, 'USAGE' FROM pg_namespace WHERE nspname = 'extension_worker'
  UNION ALL
  SELECT relowner, relacl, CASE relkind WHEN 'v' THEN 'SELECT' END FROM pg_class
  WHERE oid IN ('extension_worker.ledger'::regclass, 'extension_worker.managed_extensions'::regclass)
) AS made (owner, acl, of_public) CROSS JOIN LATERAL aclexplode(acl) a
WHERE a.grantee <> owner AND (a.grantee <> 0 OR a.privilege_type IS DISTINCT FROM of_public)";

/// The rights of PUBLIC.
pub(crate) const RIGHTS_OF_PUBLIC: &str = "\
REVOKE ALL ON SCHEMA extension_worker FROM PUBLIC;
REVOKE ALL ON extension_worker.ledger, extension_worker.managed_extensions FROM PUBLIC;
GRANT USAGE ON SCHEMA extension_worker TO PUBLIC;
GRANT SELECT ON extension_worker.managed_extensions TO PUBLIC; ";

/// The roles to which default privileges granted a right on the relations of [`migration`]: each row is a statement that
/// revokes it.
pub(crate) const FOREIGN_GRANTS: &str = "\
SELECT DISTINCT format('REVOKE ALL ON SCHEMA extension_worker FROM %I', g.rolname)
FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a JOIN pg_roles g ON g.oid = a.grantee
WHERE n.nspname = 'extension_worker' AND a.grantee <> n.nspowner
UNION ALL
SELECT DISTINCT format('REVOKE ALL ON extension_worker.%I FROM %I', c.relname, g.rolname)
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a JOIN pg_roles g ON g.oid = a.grantee
WHERE c.relnamespace = 'extension_worker'::regnamespace AND a.grantee <> c.relowner";

/// The version that this worker writes.
pub(crate) fn newest_version() -> u32 {
    NEWEST
}

/// The tables of versions 1 and 2.
const DROP_OLDER: &str = "DROP TABLE extension_worker.owner, extension_worker.extension, extension_worker.request, \
                          extension_worker.resource;\n";

/// The statements that migrate a version to the newest: `None` if there is no schema, 0 if it is empty.
///
/// `ordinary` is the statement that sets the `search_path` of an ordinary session, under which the definitions run, because
/// event triggers run inside them. `pin` sets the `search_path` of the worker's own statements.
pub(crate) fn migration(from: Option<u32>, ordinary: &str, pin: &str) -> String {
    let form = include_str!("3.sql");
    let copy = format!(
        "{pin}; {} {ordinary}; {DROP_OLDER}",
        include_str!("from_2.sql")
    );
    let sql = match from {
        None => format!("{SCHEMA}{form}"),
        Some(0) => form.to_owned(),
        Some(1) => {
            format!("{}{DROP_VIEW}{form}{copy}", include_str!("from_1.sql"))
        }
        Some(2) => format!("{DROP_VIEW}{form}{copy}"),
        Some(_) => return String::new(),
    };
    format!("{ordinary}; {sql}{pin}; ")
}
