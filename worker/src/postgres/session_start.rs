//! The query of a new session: the server's facts, and the settings of the database and the role.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ledger_trust::Trust;
use super::library_settings;
use super::preparation::Preparation;
use super::server_facts::ServerFacts;
use super::transaction::SessionStart;

/// Puts the query into a message of its own: the statement timeout of a message is the one that was set when the message
/// began.
pub(super) const SESSION_BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 10000; \
    SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE NONE";

/// Stores the source of the session's `search_path` for [`session_start`]: after `SET LOCAL` it is lost.
pub(super) const PATH_SOURCE: &str = "SELECT pg_catalog.set_config('extension_worker.path_source', s.source, true) FROM pg_catalog.pg_settings s \
     WHERE s.name OPERATOR(pg_catalog.=) 'search_path'";

/// The query that a new session runs once. Except for the server's facts, its result is not used for another session of the
/// same pooler.
///
/// Settings of the database or the role that a transaction does not set itself are listed with PostgreSQL's own value, so
/// that they can be reset; the value of the server's configuration file below them cannot be read. A setting that only a
/// superuser can make stays; for libraries that are not loaded see [`library_settings`]. The `search_path` of an ordinary
/// session is that of the role or the server; that of the database counts only if its owner is the session's role or a
/// superuser.
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
    'cron_database', (SELECT s.setting FROM s WHERE s.name = 'cron.database_name'),
    'timeouts', (SELECT json_agg(s.name) FROM s
                 WHERE s.context = 'user' AND s.unit IN ('ms', 's') AND s.name LIKE '%\\_timeout'),
    'checks_connection', EXISTS (SELECT FROM s WHERE s.name = 'client_connection_check_interval'),
    'publishes', current_setting('wal_level') = 'logical',
    'path', (SELECT s.reset_val FROM s WHERE s.name = 'search_path'
             AND current_setting('extension_worker.path_source') NOT IN ('database', 'user', 'database user'))),
  'overridden', (SELECT coalesce(json_object_agg(s.name, s.boot_val), '{{}}') FROM s
                 WHERE s.source IN ('database', 'user', 'database user') AND s.context = 'user' AND s.boot_val IS NOT NULL),
  'of_libraries', {of_libraries},
  'path', (SELECT s.reset_val FROM s WHERE s.name = 'search_path' AND (
             EXISTS (SELECT FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
                     WHERE d.datname = current_database() AND (r.rolsuper OR r.rolname = session_user))
             OR current_setting('extension_worker.path_source') <> 'database')),
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

/// The query for most sessions of a server whose facts are cached, which takes a quarter of the time of [`session_start`].
///
/// Settings of the database or the role are recognized by the settings that the session has, not by `pg_db_role_setting`,
/// from which they may have been removed since; settings of libraries that are not loaded are only in the latter. The query
/// calls the function that the view `pg_settings` reads, which takes PostgreSQL a tenth less time than the view. The source of
/// the `search_path` is lost after `SET LOCAL`: the session is an ordinary one only if its path is the server's.
pub(super) const SHORT_START: &str = "SAVEPOINT begun; RELEASE SAVEPOINT begun;
SELECT json_build_object(
  'backend_pid', pg_backend_pid(),
  'in_recovery', pg_is_in_recovery(),
  'has_schema', to_regnamespace('extension_worker') IS NOT NULL,
  'has_ledger', to_regclass('extension_worker.ledger') IS NOT NULL,
  'version', split_part(current_setting('server_version'), ' ', 1),
  'started_at', extract(epoch FROM pg_postmaster_start_time())::text,
  'is_ordinary', bool_and(s.context <> 'user' OR s.source NOT IN ('database', 'user', 'database user'))
     AND session_user::text NOT LIKE '%\\_clone' AND NOT EXISTS (
     SELECT FROM pg_db_role_setting
     WHERE setconfig::text LIKE '%.%' AND (setrole = 0 OR pg_get_userbyid(setrole) = session_user)),
  'path', max(s.reset_val) FILTER (WHERE s.name = 'search_path'))::text
FROM pg_show_all_settings() AS s;
ROLLBACK";

impl SessionStart {
    /// For a session that runs no such query.
    pub(super) fn unknown() -> Self {
        Self {
            backend_pid: 0,
            in_recovery: false,
            has_schema: false,
            has_ledger: false,
            server: ServerFacts {
                version: String::new(),
                started_at: String::new(),
                preloaded: None,
                cron_database: None,
                timeouts: Vec::new(),
                checks_connection: false,
                publishes: true,
                path: None,
            },
            overridden: BTreeMap::new(),
            of_libraries: Vec::new(),
            path: None,
            acts_as: None,
            trust: Trust::default(),
            preparation: Preparation::Impossible,
        }
    }
}

/// The result of [`SHORT_START`].
#[derive(Debug, Deserialize)]
pub(super) struct ShortStart {
    backend_pid: i32,
    in_recovery: bool,
    has_schema: bool,
    has_ledger: bool,
    version: String,
    started_at: String,
    /// Neither the database nor the role has settings for its sessions, and the role is no rotated clone.
    is_ordinary: bool,
    path: Option<String>,
}

impl ShortStart {
    /// What [`session_start`] would return; `None` if that query has to run, because this is another server or not an
    /// ordinary session.
    pub(super) fn with(self, server: ServerFacts) -> Option<SessionStart> {
        let is_known = server.are_of(&self.version, &self.started_at)
            && self.is_ordinary
            && self.path.is_some()
            && self.path == server.path;
        is_known.then(|| SessionStart {
            backend_pid: self.backend_pid,
            in_recovery: self.in_recovery,
            has_schema: self.has_schema,
            has_ledger: self.has_ledger,
            server,
            overridden: BTreeMap::new(),
            of_libraries: Vec::new(),
            path: self.path,
            acts_as: None,
            trust: Trust::default(),
            preparation: Preparation::default(),
        })
    }
}
