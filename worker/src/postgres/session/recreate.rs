//! Drops an extension without an update path and creates it again, if nothing would be lost.

use std::time::Duration;

use futures_util::future::try_join;
use postgres_protocol::escape::escape_literal;

use super::{Session, document, last_row};
use crate::extension::Members;
use crate::plan::Step;
use crate::postgres::connection::promptly;
use crate::postgres::transaction::PIN;
use crate::postgres_error::DatabaseError;

/// Maximum number of lost things that are named, for the length of a Reason.
pub(super) const NAMED: usize = 5;

impl Session {
    /// Drops and creates the extension, and compares its objects before and after.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`DatabaseError::NotRecreated`] if something would be lost. After any error roll back the
    /// transaction, or to the savepoint before.
    pub(super) async fn recreate(
        &mut self,
        step: &Step,
        statement_timeout: Duration,
    ) -> Result<(), DatabaseError> {
        if let Some(rows) = self.rows(step, true).await? {
            return Err(DatabaseError::NotRecreated(rows));
        }
        let before = self.members(step.extension()).await?;
        let timeout = self.step_settings(statement_timeout)?;
        let client = self.client()?;
        let sql = step.sql();
        try_join(client.batch_execute(&timeout), client.batch_execute(&sql)).await?;
        // The comment of the control file belongs to the new version; a comment of the user is kept.
        if let Some(text) = before.remarks.get(&comment_on(step.extension())) {
            let name = postgres_protocol::escape::escape_identifier(step.extension());
            let sql = format!("COMMENT ON EXTENSION {name} IS {}", escape_literal(text));
            promptly(self.client()?.batch_execute(&sql)).await?;
        }
        let after = self.members(step.extension()).await?;
        let lost = before.lost(&after);
        if lost.is_empty() {
            return Ok(());
        }
        let more = match lost.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named: Vec<&str> = lost.iter().take(NAMED).map(String::as_str).collect();
        Err(DatabaseError::NotRecreated(format!(
            "{}{more}",
            named.join(", ")
        )))
    }

    pub(super) async fn members(&self, extension: &str) -> Result<Members, DatabaseError> {
        let sql = format!("{PIN}; {}", query(extension));
        let messages = promptly(self.client()?.simple_query(&sql)).await?;
        document(last_row(&messages)?.unwrap_or_default())
    }
}

fn comment_on(extension: &str) -> String {
    let quoted = postgres_protocol::escape::escape_identifier(extension);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    // As quote_ident quotes it.
    let name = if extension.chars().all(is_plain) {
        extension
    } else {
        &quoted
    };
    format!("comment on extension {name}")
}

/// The query → one JSON document, [`Members`]. It resolves names only in `pg_catalog`, which is the transaction's
/// `search_path`.
///
/// Rights are compared with those that the script granted, in `pg_init_privs`, if there is a row; otherwise with
/// PostgreSQL's defaults.
fn query(extension: &str) -> String {
    format!(
        "WITH extension AS (SELECT oid, extowner, extnamespace FROM pg_extension WHERE extname = {name}
), member AS (
  SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass
    AND refobjid = (SELECT oid FROM extension) AND deptype = 'e'
  UNION ALL SELECT 'pg_extension'::regclass, oid FROM extension
), owned (classid, objid, owner, kind, acl) AS (
  SELECT 'pg_extension'::regclass, oid, extowner, NULL::\"char\", NULL::aclitem[] FROM extension
  UNION ALL SELECT 'pg_class'::regclass, oid, relowner, CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relacl FROM pg_class
  UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, 'f', proacl FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, typowner, 'T', typacl FROM pg_type
  UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner, 'n', nspacl FROM pg_namespace
  UNION ALL SELECT 'pg_language'::regclass, oid, lanowner, 'l', lanacl FROM pg_language
  UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwowner, 'F', fdwacl FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner, 'S', srvacl FROM pg_foreign_server
  UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner, NULL, NULL FROM pg_operator
  UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner, NULL, NULL FROM pg_opclass
  UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner, NULL, NULL FROM pg_opfamily
  UNION ALL SELECT 'pg_collation'::regclass, oid, collowner, NULL, NULL FROM pg_collation
  UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner, NULL, NULL FROM pg_conversion
  UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner, NULL, NULL FROM pg_ts_dict
  UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner, NULL, NULL FROM pg_ts_config
  UNION ALL SELECT 'pg_event_trigger'::regclass, oid, evtowner, NULL, NULL FROM pg_event_trigger
), object AS (
  SELECT o.*, 0 AS objsubid FROM owned o JOIN member USING (classid, objid)
  UNION ALL
  SELECT m.classid, m.objid, c.relowner, 'c', a.attacl, a.attnum FROM member m
  JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND a.attacl IS NOT NULL
), described AS (
  SELECT i.type || ' ' || i.identity AS name, pg_get_userbyid(o.owner) AS owner,
    coalesce(o.acl, acldefault(o.kind, o.owner)) AS now, coalesce(p.initprivs, acldefault(o.kind, o.owner)) AS then
  FROM object o CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, o.objsubid) i
  LEFT JOIN pg_init_privs p ON p.classoid = o.classid AND p.objoid = o.objid AND p.objsubid = o.objsubid
), attached AS (
  SELECT DISTINCT i.type || ' ' || i.identity AS name
  FROM pg_depend d JOIN member m ON m.classid = d.refclassid AND m.objid = d.refobjid
  CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
  WHERE NOT EXISTS (SELECT FROM member o WHERE o.classid = d.classid AND o.objid = d.objid) AND (d.deptype = 'x'
    OR d.deptype IN ('a', 'i') AND (d.classid IN ('pg_policy'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass,
         'pg_statistic_ext'::regclass, 'pg_publication_rel'::regclass)
      OR d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relkind IN ('i', 'I'))
      OR d.classid = 'pg_trigger'::regclass AND EXISTS (SELECT FROM pg_trigger t WHERE t.oid = d.objid AND NOT t.tgisinternal)
      OR d.classid = 'pg_rewrite'::regclass
        AND EXISTS (SELECT FROM pg_rewrite r WHERE r.oid = d.objid AND r.rulename <> '_RETURN')))
), remark (name, text) AS (
  SELECT 'comment on ' || i.type || ' ' || i.identity, d.description
  FROM member m JOIN pg_description d ON d.classoid = m.classid AND d.objoid = m.objid
  CROSS JOIN LATERAL pg_identify_object(m.classid, m.objid, d.objsubid) i
  UNION ALL
  SELECT format('security label of %s on ', l.provider) || i.type || ' ' || i.identity, l.label
  FROM member m JOIN pg_seclabel l ON l.classoid = m.classid AND l.objoid = m.objid
  CROSS JOIN LATERAL pg_identify_object(m.classid, m.objid, l.objsubid) i
)
SELECT json_build_object(
  'schema', (SELECT nspname FROM pg_namespace WHERE oid = (SELECT extnamespace FROM extension)),
  'objects', (SELECT coalesce(json_object_agg(name, json_build_object('owner', owner, 'rights',
      (SELECT coalesce(json_agg(given), '[]') FROM (
         (SELECT '+' || unnest(now)::text EXCEPT SELECT '+' || unnest(\"then\")::text) UNION ALL
         (SELECT '-' || unnest(\"then\")::text EXCEPT SELECT '-' || unnest(now)::text)) AS differences (given)))), '{{}}')
    FROM described),
  'remarks', (SELECT coalesce(json_object_agg(name, text), '{{}}') FROM remark),
  'attached', (SELECT coalesce(json_agg(name), '[]') FROM attached),
  'server_owner', pg_get_userbyid(10)
)::text",
        name = escape_literal(extension).trim_start(),
    )
}
