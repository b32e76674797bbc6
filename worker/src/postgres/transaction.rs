//! How a transaction begins: as the session's own role and with fixed settings, whatever the owner of the database has set
//! for it. All of it is LOCAL, so that nothing stays behind in a session that a pooler hands to its next client.

use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde::Deserialize;

use super::library_settings;
use crate::ledger;

/// What the worker's own statements are resolved by: no function or operator of the database's own stands in for one of
/// PostgreSQL's.
pub(super) const PIN: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// How long a statement waits for a lock that another session holds before the attempt starts over.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// What an ordinary session's statements are resolved by where nothing else is set.
const ORDINARY_PATH: &str = "\"$user\", public";

/// The role first: an owner of the database may have set another for its sessions, under which a schema of that owner's
/// would pass for the worker's own, and out of which code of that owner's could step with SET ROLE NONE.
///
/// The rest is what an owner of a database may set that changes what a statement of the worker's does or sends. A worker
/// that is cut off, or stopped, keeps the lock for no longer than another waits for it: the server, too, looks whether its
/// peer is there, and a transaction in which nothing happens ends.
const FIXED: &[(&str, &str)] = &[
    ("search_path", "pg_catalog, pg_temp"),
    ("client_min_messages", "warning"),
    ("standard_conforming_strings", "on"),
    ("default_tablespace", "''"),
    ("default_table_access_method", "heap"),
    ("default_text_search_config", "'pg_catalog.simple'"),
    ("datestyle", "'ISO, MDY'"),
    ("timezone", "'UTC'"),
    ("lc_monetary", "'C'"),
    ("lc_numeric", "'C'"),
    ("lc_time", "'C'"),
    // No statement here is worth compiling.
    ("jit", "off"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// What makes the answer to [`session_start`] the server's own, in a message of its own: the time that a statement may take is
/// that which held at the beginning of its message.
pub(super) const SESSION_BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 10000; \
    SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE NONE; SET LOCAL search_path = pg_catalog, pg_temp";

/// What a new session is asked once: nothing of it is trusted to be so in another session of the same pooler, but what
/// belongs to the server.
///
/// What a database, or the role itself, sets beside [`FIXED`] is
/// listed with PostgreSQL's own value for it, so that it can be set back: what the server's configuration file says beneath
/// cannot be read. What only a superuser can set stays; of libraries that are not loaded see [`library_settings`]. The path of
/// an ordinary session is what the role sets, or the server; what the database sets counts where its owner is the session's
/// role, or a superuser.
pub(super) fn session_start() -> String {
    format!("SAVEPOINT begun; RELEASE SAVEPOINT begun;
WITH s AS MATERIALIZED (SELECT name, context, unit, source, boot_val, reset_val FROM pg_settings)
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'has_ledger', to_regclass('extension_worker.ledger') IS NOT NULL,
  'timeouts', (SELECT json_agg(s.name) FROM s
               WHERE s.context = 'user' AND s.unit IN ('ms', 's') AND s.name LIKE '%\\_timeout'),
  'overridden', (SELECT coalesce(json_object_agg(s.name, s.boot_val), '{{}}') FROM s
                 WHERE s.source IN ('database', 'user', 'database user') AND s.context = 'user' AND s.boot_val IS NOT NULL),
  'of_libraries', {of_libraries},
  'checks_connection', EXISTS (SELECT FROM s WHERE s.name = 'client_connection_check_interval'),
  'path', (SELECT s.reset_val FROM s WHERE s.name = 'search_path' AND (
             EXISTS (SELECT FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
                     WHERE d.datname = current_database() AND (r.rolsuper OR r.rolname = session_user))
             OR NOT EXISTS (SELECT FROM pg_db_role_setting g JOIN pg_database d ON d.oid = g.setdatabase
                            CROSS JOIN LATERAL unnest(g.setconfig) c
                            WHERE d.datname = current_database() AND c ILIKE 'search_path=%'))),
  'acts_as', (SELECT first.rolname FROM pg_roles me JOIN pg_roles first ON me.rolname = first.rolname || '_clone'
              WHERE me.rolname = session_user AND first.rolcanlogin AND NOT me.rolsuper
                AND pg_has_role(me.oid, first.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                                   THEN 'SET' ELSE 'MEMBER' END)
                -- The clone has no right that the first has not: code of the first's gains nothing by leaving its role.
                AND me.rolcreaterole <= first.rolcreaterole AND me.rolcreatedb <= first.rolcreatedb
                AND me.rolreplication <= first.rolreplication AND me.rolbypassrls <= first.rolbypassrls
                AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.member = me.oid AND m.roleid <> first.oid
                                AND NOT pg_has_role(first.oid, m.roleid, 'MEMBER')))
)::text;
ROLLBACK",
        of_libraries = library_settings::NAMES
    )
}

/// What is known of a session from its start.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SessionStart {
    in_recovery: bool,
    /// The database has a ledger of the newest version.
    pub(super) has_ledger: bool,
    /// Every setting of the server that ends a statement, a transaction or a session after some time.
    timeouts: Vec<String>,
    /// Settings of the database or the role, with PostgreSQL's own values.
    overridden: std::collections::BTreeMap<String, String>,
    /// Those of libraries that are not loaded, or were not at the start.
    of_libraries: Vec<String>,
    checks_connection: bool,
    path: Option<String>,
    /// The role whose rotated clone the session's role is.
    acts_as: Option<String>,
}

impl SessionStart {
    /// The role whose rotated clone the session's role is, and as which it works.
    pub(super) fn acts_as(&self) -> Option<&str> {
        self.acts_as.as_deref()
    }

    /// Begins a transaction whose statements run for no longer than `statement_timeout`.
    pub(super) fn begin(&self, statement_timeout: Duration) -> String {
        // A replica refuses READ WRITE.
        let access = if self.in_recovery { "" } else { ", READ WRITE" };
        let mut sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED{access}, NOT DEFERRABLE; SET LOCAL SESSION AUTHORIZATION DEFAULT; \
             SET LOCAL ROLE {}; ",
            self.acts_as
                .as_deref()
                .map_or_else(|| "NONE".to_owned(), escape_identifier)
        );
        let overridden: Vec<String> = self
            .overridden
            .iter()
            .filter(|(name, _)| !self.is_fixed(name))
            .map(|(name, value)| {
                format!(
                    "pg_catalog.set_config({}, {}, true)",
                    escape_literal(name),
                    escape_literal(value)
                )
            })
            .collect();
        if !overridden.is_empty() {
            sql.push_str(&format!("SELECT {}; ", overridden.join(", ")));
        }
        for (name, value) in FIXED {
            sql.push_str(&format!("SET LOCAL {name} = {value}; "));
        }
        sql.extend(library_settings::set_back(&self.of_libraries));
        for name in &self.timeouts {
            sql.push_str(&format!(
                "SET LOCAL {} = {}; ",
                escape_identifier(name),
                timeout(name, statement_timeout).as_millis()
            ));
        }
        if self.checks_connection {
            // A backend whose worker was killed holds its locks until it notices.
            sql.push_str("SET LOCAL client_connection_check_interval = 2000; ");
        }
        sql
    }

    /// Takes the lock under which a database is changed, and has the server decide whether its ledger may be used.
    pub(super) fn lock_and_check(&self) -> String {
        if self.has_ledger && !self.in_recovery {
            format!("{}; {}", ledger::LOCK, self.check())
        } else {
            self.check()
        }
    }

    /// Has the server decide whether the ledger may be used.
    pub(super) fn check(&self) -> String {
        ledger::check(self.acts_as.as_deref())
    }

    /// Sets what a statement of a plan runs by: the path of an ordinary session of the role, for what else runs inside it,
    /// as event triggers do.
    pub(super) fn ordinary_path(&self) -> String {
        let path = self.path.as_deref().unwrap_or(ORDINARY_PATH);
        format!(
            "SELECT pg_catalog.set_config('search_path', {}, true)",
            escape_literal(path)
        )
    }

    fn is_fixed(&self, name: &str) -> bool {
        FIXED
            .iter()
            .any(|(fixed, _)| fixed.eq_ignore_ascii_case(name))
            || self.timeouts.iter().any(|timeout| timeout == name)
            || matches!(
                name.to_ascii_lowercase().as_str(),
                "role"
                    | "session_authorization"
                    | "client_connection_check_interval"
                    | "client_encoding"
            )
    }
}

/// Zero: none. Shorter for a lock than for the statement, so that a wait for a lock ends as one.
fn timeout(name: &str, statement_timeout: Duration) -> Duration {
    match name {
        "statement_timeout" => statement_timeout.max(Duration::from_millis(1)),
        "lock_timeout" => LOCK_TIMEOUT
            .min(statement_timeout * 9 / 10)
            .max(Duration::from_millis(1)),
        "idle_in_transaction_session_timeout" | "tcp_user_timeout" => Duration::from_secs(20),
        _ => Duration::ZERO,
    }
}
