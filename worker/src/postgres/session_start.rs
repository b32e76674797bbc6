//! What a new session is asked, once: the server's facts, and what the database and the role set for it.

use serde::Deserialize;

use super::library_settings;

/// What makes the answer to [`session_start`] the server's own, in a message of its own: the time that a statement may take is
/// that which held at the beginning of its message.
pub(super) const SESSION_BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 10000; \
    SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE NONE; SET LOCAL search_path = pg_catalog, pg_temp";

/// What a new session is asked once: nothing of it is trusted to be so in another session of the same pooler, but what
/// belongs to the server.
///
/// What a database, or the role itself, sets beside what a transaction sets itself is
/// listed with PostgreSQL's own value for it, so that it can be set back: what the server's configuration file says beneath
/// cannot be read. What only a superuser can set stays; of libraries that are not loaded see [`library_settings`]. The path of
/// an ordinary session is what the role sets, or the server; what the database sets counts where its owner is the session's
/// role, or a superuser.
pub(super) fn session_start() -> String {
    format!("SAVEPOINT begun; RELEASE SAVEPOINT begun;
WITH s AS MATERIALIZED (SELECT name, setting, context, unit, source, boot_val, reset_val FROM pg_settings)
SELECT json_build_object(
  'backend_pid', pg_backend_pid(),
  'in_recovery', pg_is_in_recovery(),
  'has_schema', to_regnamespace('extension_worker') IS NOT NULL,
  'has_ledger', to_regclass('extension_worker.ledger') IS NOT NULL,
  'server', json_build_object(
    'version', split_part(current_setting('server_version'), ' ', 1),
    'started_at', extract(epoch FROM pg_postmaster_start_time())::text,
    'preloaded', (SELECT s.setting FROM s WHERE s.name = 'shared_preload_libraries'),
    'cron_database', (SELECT s.setting FROM s WHERE s.name = 'cron.database_name')),
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

/// What is the same in every session of a server until it is restarted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerFacts {
    /// `server_version`, without the packager's addition: `15.18`.
    pub(super) version: String,
    /// Seconds since 1970.
    pub(super) started_at: String,
    /// `shared_preload_libraries`, where the role may read it.
    pub(super) preloaded: Option<String>,
    /// `cron.database_name`, where the server has that setting.
    pub(super) cron_database: Option<String>,
}

/// The longest identity, in characters: what a server sends may be of any length.
const MAX_IDENTITY: usize = 100;

impl ServerFacts {
    /// Differs between two servers, and between a server before and after a restart.
    pub(super) fn identity(&self) -> String {
        let both = [self.version.as_str(), self.started_at.as_str()].join(" ");
        both.chars().take(MAX_IDENTITY).collect()
    }
}
