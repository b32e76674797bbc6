//! Rows of users in an extension's own tables: the jobs of pg_cron, the configuration of pg_partman. `pg_depend` does not
//! record them, and DROP EXTENSION deletes them.

use tokio_postgres::SimpleQueryMessage;

use super::{Session, last_row};
use crate::plan::Step;
use crate::postgres::connection::promptly;
use crate::postgres::transaction::PIN;
use crate::postgres_error::DatabaseError;

impl Session {
    /// The configuration tables of the extension that contain rows of users, by the conditions with which `pg_dump` saves
    /// them; `None` if there are none. With `of_every_table`, also its other tables that contain rows, and its sequences
    /// that were used. A table that cannot be read counts, as it may contain rows.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(super) async fn rows(
        &self,
        step: &Step,
        of_every_table: bool,
    ) -> Result<Option<String>, DatabaseError> {
        let sql = format!(
            "{PIN}; {}",
            tables(
                &postgres_protocol::escape::escape_literal(step.extension()),
                of_every_table
            )
        );
        let messages = promptly(self.client()?.simple_query(&sql)).await?;
        let mut used = Vec::new();
        let mut queries = Vec::new();
        for message in &messages {
            if let SimpleQueryMessage::Row(row) = message {
                match (row.try_get(0)?, row.try_get(1)?) {
                    (Some(_), Some(query)) => queries.push(query.to_owned()),
                    (Some(table), None) => used.push(format!("table {table} cannot be looked at")),
                    (None, _) => {}
                }
            }
        }
        if !queries.is_empty() {
            let query = format!(
                "SAVEPOINT before_rows; SELECT string_agg(used, ', ') FROM ({}) AS tables (used)",
                queries.join(" UNION ALL ")
            );
            match promptly(self.client()?.simple_query(&query)).await {
                Ok(messages) => used.extend(last_row(&messages)?.map(str::to_owned)),
                Err(error) if error.sql().is_some() => {
                    let back = "ROLLBACK TO SAVEPOINT before_rows";
                    promptly(self.client()?.batch_execute(back)).await?;
                    used.push(format!("its configuration tables cannot be read ({error})"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((!used.is_empty()).then(|| used.join(", ")))
    }
}

/// The name and a query for each table; no query if code of the table's owner could run: a row security policy, a cast from
/// a column's type in the condition, or a foreign table that is a child.
fn tables(extension: &str, every: bool) -> String {
    let others = if every {
        "UNION ALL SELECT d.objid, '' FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
         WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
           AND d.objid <> ALL (coalesce(e.extconfig, '{}')) AND e.extname = "
    } else {
        "UNION ALL SELECT NULL::oid, NULL::text WHERE 'none' = "
    };
    let sequences = if every { "'S'" } else { "NULL" };
    format!(
        "SELECT c.oid::regclass::text, CASE
           WHEN c.relkind = 'S' THEN format('SELECT %L WHERE pg_sequence_last_value(%s) IS NOT NULL',
             'sequence ' || c.oid::regclass || ' was used', c.oid)
           WHEN r.rolsuper OR r.rolname = session_user OR NOT c.relrowsecurity AND NOT c.relhassubclass AND c.relkind <> 'p'
             AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.atttypid >= 16384 AND t.condition <> '') THEN
             format('SELECT %L WHERE EXISTS (SELECT FROM %s %s)', 'table ' || c.oid::regclass || ' holds rows', c.oid::regclass,
                    t.condition) END
         FROM (SELECT e.extconfig[i], e.extcondition[i] FROM pg_extension e
               CROSS JOIN LATERAL generate_subscripts(e.extconfig, 1) i WHERE e.extname = {extension}
               {others}{extension}) AS t (oid, condition)
         JOIN pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p', {sequences}) JOIN pg_roles r ON r.oid = c.relowner"
    )
}
