//! The settings of every transaction of the worker's, whatever the owner of the database has set for its sessions.

use std::collections::BTreeMap;

use postgres_protocol::escape::escape_literal;
use serde::Deserialize;

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
    ("default_tablespace", ""),
    ("default_table_access_method", "heap"),
    ("default_text_search_config", "pg_catalog.simple"),
    ("datestyle", "ISO, MDY"),
    ("timezone", "UTC"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    // No statement here is worth compiling.
    ("jit", "off"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// What the start of a session found of its settings.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SettingsFound {
    /// Every setting of the server that ends a statement, a transaction or a session after some time.
    timeouts: Vec<String>,
    /// Settings of the database or the role, with PostgreSQL's own values.
    overridden: BTreeMap<String, String>,
    /// The server has `client_connection_check_interval`.
    checks_connection: bool,
}

impl SettingsFound {
    /// The query that sets all of them, LOCAL to the transaction: `$1` the longest time of a statement in milliseconds, `$2`
    /// that of a wait for a lock.
    pub(super) fn set_all(&self) -> String {
        let overridden = self
            .overridden
            .iter()
            .filter(|(name, _)| !self.is_fixed(name))
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let set = |name: &str, value: &str| {
            format!(
                "pg_catalog.set_config({}, {value}, true)",
                escape_literal(name)
            )
        };
        let mut settings: Vec<String> = overridden
            .chain(FIXED.iter().copied())
            .map(|(name, value)| set(name, &escape_literal(value)))
            .collect();
        settings.extend(self.timeouts.iter().map(|name| set(name, timeout(name))));
        if self.checks_connection {
            // A backend whose worker was killed holds its locks until it notices.
            settings.push(set("client_connection_check_interval", "'2000'"));
        }
        format!("SELECT {}", settings.join(", "))
    }

    /// The same for a session from its start, but for the path, which is the caller's to choose.
    pub(super) fn of_session<'a>(
        &'a self,
        [statement, lock]: &'a [String; 2],
    ) -> impl Iterator<Item = (String, String)> + 'a {
        let overridden = self
            .overridden
            .iter()
            .filter(|(name, _)| !self.is_fixed(name))
            .map(|(name, value)| (name.clone(), value.clone()));
        let fixed = FIXED
            .iter()
            .filter(|(name, _)| *name != "search_path")
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let timeouts = self.timeouts.iter().map(move |name| {
            let value = match timeout(name) {
                "$1" => statement.as_str(),
                "$2" => lock.as_str(),
                value => value.trim_matches('\''),
            };
            (name.clone(), value.to_owned())
        });
        overridden.chain(fixed).chain(timeouts)
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

/// The value of a timeout, in milliseconds. Zero: none. Shorter for a lock than for the statement, so that a wait for a lock
/// ends as one.
fn timeout(name: &str) -> &'static str {
    match name {
        "statement_timeout" => "$1",
        "lock_timeout" => "$2",
        "idle_in_transaction_session_timeout" | "tcp_user_timeout" => "'20000'",
        _ => "'0'",
    }
}
