//! How the ledger is made, and brought to its newest form.

/// The version that this worker writes.
const NEWEST: u32 = 3;

/// Without IF NOT EXISTS: a schema that appeared since the look is not taken for the worker's own.
const SCHEMA: &str = "CREATE SCHEMA extension_worker;\n";
/// Version 3 has a view of this name too.
const DROP_VIEW: &str = "DROP VIEW IF EXISTS extension_worker.managed_extensions;\n";

/// What the error's message holds before the name of a publication that would take up the ledger's new table.
pub(crate) const PUBLISHED: &str = "extension-worker publication: ";

/// Raises an error where the new table would become a part of what is published: a subscriber without it stops.
pub(crate) fn check_publications() -> String {
    format!(
        "SELECT ('{PUBLISHED}' || pubname)::int FROM pg_publication WHERE puballtables \
         AND current_setting('wal_level') = 'logical' LIMIT 1; "
    )
}

/// How many default privileges and event triggers the database has. Without any, a ledger that [`migration`] made where there
/// was no schema is as it was made until other sessions see it: nothing else gives a right to others there, and no code of
/// others runs inside the worker's definitions.
pub(crate) const ADDITIONS: &str =
    "SELECT (SELECT count(*) FROM pg_default_acl) + (SELECT count(*) FROM pg_event_trigger)";

/// How many rights [`migration`] left that it did not give: default privileges gave them, an event trigger, or the schema had
/// them.
pub(crate) const HAS_FOREIGN_GRANTS: &str = "\
SELECT count(*) FROM (
  SELECT nspowner, nspacl, 'USAGE' FROM pg_namespace WHERE nspname = 'extension_worker'
  UNION ALL
  SELECT relowner, relacl, CASE relkind WHEN 'v' THEN 'SELECT' END FROM pg_class
  WHERE oid IN ('extension_worker.ledger'::regclass, 'extension_worker.managed_extensions'::regclass)
) AS made (owner, acl, of_public) CROSS JOIN LATERAL aclexplode(acl) a
WHERE a.grantee <> owner AND (a.grantee <> 0 OR a.privilege_type IS DISTINCT FROM of_public)";

/// The rights of everybody.
pub(crate) const RIGHTS_OF_PUBLIC: &str = "\
REVOKE ALL ON SCHEMA extension_worker FROM PUBLIC;
REVOKE ALL ON extension_worker.ledger, extension_worker.managed_extensions FROM PUBLIC;
GRANT USAGE ON SCHEMA extension_worker TO PUBLIC;
GRANT SELECT ON extension_worker.managed_extensions TO PUBLIC; ";

/// The roles that default privileges gave a right on what [`migration`] made: each row is a statement that takes it away.
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

/// The statements that lead from a version to the newest: `None` where there is no schema, 0 where it is empty.
///
/// `ordinary` is the statement that sets the path of an ordinary session, under which definitions are made: event triggers
/// run inside them. `pin` sets the path of the worker's own statements.
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
