//! The settings of every transaction of the worker. They override what the owner of the database has set for its sessions.

use std::collections::BTreeMap;

use postgres_protocol::escape::escape_literal;

use super::preparation::PLANS;
use super::server_facts::ServerFacts;

/// The role comes first: an owner of the database may have set another role for its sessions. A schema of that role would
/// then pass for the worker's own, and code in it could regain the session's role with SET ROLE NONE.
///
/// The other settings are those with which an owner of a database could change the result or the output of the worker's
/// statements. The timeouts limit how long the lock of a worker that ended, or lost its connection, is held: the server
/// checks whether its client is still connected, and ends a transaction in which no statement runs.
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
    // No statement here is worth JIT compilation.
    ("jit", "off"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// The query that makes these settings LOCAL to the transaction: `$1` the statement timeout in milliseconds, `$2` the lock
/// timeout. `overridden` are settings of the database or the role, with PostgreSQL's own values.
pub(super) fn set_all(overridden: &BTreeMap<String, String>, server: &ServerFacts) -> String {
    let set = |name: &str, value: &str| {
        format!(
            "pg_catalog.set_config({}, {value}, true)",
            escape_literal(name)
        )
    };
    let mut settings: Vec<String> = overridden
        .iter()
        .filter(|(name, _)| !is_fixed(name, server))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(FIXED.iter().copied())
        .map(|(name, value)| set(name, &escape_literal(value)))
        .collect();
    settings.extend(server.timeouts.iter().map(|name| set(name, timeout(name))));
    if server.checks_connection {
        // A backend whose worker was killed holds its locks until it notices.
        settings.push(set("client_connection_check_interval", "'2000'"));
    }
    format!("SELECT {}", settings.join(", "))
}

/// The same settings for a whole session, except `search_path`, which the caller chooses: with the statement timeout and
/// the lock timeout.
pub(super) fn of_session<'a>(
    overridden: &'a BTreeMap<String, String>,
    server: &'a ServerFacts,
    [statement, lock]: &'a [String; 2],
) -> impl Iterator<Item = (String, String)> + 'a {
    let overridden = overridden
        .iter()
        .filter(|(name, _)| !is_fixed(name, server) || name.eq_ignore_ascii_case(PLANS))
        .map(|(name, value)| (name.clone(), value.clone()));
    let fixed = FIXED
        .iter()
        .filter(|(name, _)| *name != "search_path")
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let timeouts = server.timeouts.iter().map(move |name| {
        let value = match timeout(name) {
            "$1" => statement.as_str(),
            "$2" => lock.as_str(),
            value => value.trim_matches('\''),
        };
        (name.clone(), value.to_owned())
    });
    overridden.chain(fixed).chain(timeouts)
}

fn is_fixed(name: &str, server: &ServerFacts) -> bool {
    FIXED
        .iter()
        .any(|(fixed, _)| fixed.eq_ignore_ascii_case(name))
        || server.timeouts.iter().any(|timeout| timeout == name)
        || matches!(
            name.to_ascii_lowercase().as_str(),
            PLANS
                | "role"
                | "session_authorization"
                | "client_connection_check_interval"
                | "client_encoding"
        )
}

/// A timeout in milliseconds. Zero: none. The lock timeout is shorter than the statement timeout, so that a wait for a lock
/// ends with the error of a lock timeout.
fn timeout(name: &str) -> &'static str {
    match name {
        "statement_timeout" => "$1",
        "lock_timeout" => "$2",
        "idle_in_transaction_session_timeout" | "tcp_user_timeout" => "'20000'",
        _ => "'0'",
    }
}
