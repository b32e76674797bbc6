//! Facts that are the same in every session of a server until its restart, cached for each server and role: most of them
//! come from `pg_settings`, which takes PostgreSQL longer to list than anything else at the beginning of a session.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;

use crate::target::{Address, Target};

/// How long they are cached: the settings that a role may read can change on a running server.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Number of servers and roles.
const MAX_KEPT: usize = 64;
/// Maximum size of one entry in bytes, as a server may send anything.
const MAX_BYTES: usize = 4096;
/// Maximum length of an identity in characters.
const MAX_IDENTITY: usize = 100;

/// Facts that are the same in every session of a role on a server until its restart.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerFacts {
    /// `server_version`, without the packager's addition: `15.18`.
    pub(super) version: String,
    /// Time of the restart, in seconds since 1970.
    pub(super) started_at: String,
    /// `shared_preload_libraries`, if the role may read it.
    pub(super) preloaded: Option<String>,
    /// `cron.database_name`, if the server has this setting.
    pub(super) cron_database: Option<String>,
    /// The settings that end a statement, a transaction or a session after some time.
    pub(super) timeouts: Vec<String>,
    /// Whether the server has the setting `client_connection_check_interval`.
    pub(super) checks_connection: bool,
    /// Whether `wal_level` is `logical`, without which nothing is published.
    pub(super) publishes: bool,
    /// The `search_path` of a session for which neither the database nor the role sets one, where this was seen.
    pub(super) path: Option<String>,
}

impl ServerFacts {
    /// Differs between two servers, and between a server before and after a restart.
    pub(super) fn identity(&self) -> String {
        let both = [self.version.as_str(), self.started_at.as_str()].join(" ");
        both.chars().take(MAX_IDENTITY).collect()
    }

    /// Whether these are the facts of the server with this identity.
    pub(super) fn are_of(&self, version: &str, started_at: &str) -> bool {
        self.version == version && self.started_at == started_at
    }

    fn bytes(&self) -> usize {
        let texts = [&self.version, &self.started_at].into_iter();
        let optional = [&self.preloaded, &self.cron_database, &self.path];
        let optional = optional.into_iter().flatten();
        let all = texts.chain(optional).chain(&self.timeouts);
        all.map(String::len).sum()
    }
}

/// The facts of servers, by address and role. After a failover another server may have the same address: see
/// [`ServerFacts::are_of`].
#[derive(Debug, Default)]
pub(super) struct Servers(Mutex<HashMap<(Address, String), (Instant, ServerFacts)>>);

impl Servers {
    /// The cached facts.
    pub(super) fn get(&self, target: &Target) -> Option<ServerFacts> {
        let kept = self.0.lock();
        let (read_at, facts) = kept.get(&key(target))?;
        (read_at.elapsed() < MAX_AGE).then(|| facts.clone())
    }

    /// Caches facts that were read.
    pub(super) fn keep(&self, target: &Target, facts: &ServerFacts) {
        let mut kept = self.0.lock();
        if facts.bytes() > MAX_BYTES {
            kept.remove(&key(target));
            return;
        }
        let mut facts = facts.clone();
        if facts.path.is_none()
            && let Some((_, earlier)) = kept.get(&key(target))
            && earlier.are_of(&facts.version, &facts.started_at)
        {
            // This session's database or role sets a path of its own; the next session is compared with the server's.
            facts.path.clone_from(&earlier.path);
        }
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key(target), (Instant::now(), facts));
    }
}

fn key(target: &Target) -> (Address, String) {
    (target.address.clone(), target.username.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(username: &str) -> Target {
        let host = crate::target::Host::parse("db.example").unwrap();
        Target {
            address: Address { host, port: 5432 },
            database: "app".to_owned(),
            username: username.to_owned(),
        }
    }

    fn facts(preloaded: &str) -> ServerFacts {
        ServerFacts {
            version: "15.18".to_owned(),
            started_at: "1.5".to_owned(),
            preloaded: Some(preloaded.to_owned()),
            cron_database: None,
            timeouts: Vec::new(),
            checks_connection: true,
            publishes: false,
            path: None,
        }
    }

    #[test]
    fn what_one_role_may_read_is_not_taken_for_anothers() {
        let servers = Servers::default();
        servers.keep(&target("one"), &facts("pg_cron"));
        assert_eq!(
            servers.get(&target("one")).unwrap().preloaded.as_deref(),
            Some("pg_cron")
        );
        assert!(servers.get(&target("other")).is_none());
    }

    #[test]
    fn a_database_with_a_path_of_its_own_leaves_the_servers_path_known() {
        let servers = Servers::default();
        let path = Some("public".to_owned());
        let with_path = ServerFacts {
            path: path.clone(),
            ..facts("a")
        };
        servers.keep(&target("one"), &with_path);
        servers.keep(&target("one"), &facts("b"));
        let kept = servers.get(&target("one")).unwrap();
        assert_eq!((kept.path, kept.preloaded.as_deref()), (path, Some("b")));
        let restarted = ServerFacts {
            started_at: "2.5".to_owned(),
            ..facts("b")
        };
        servers.keep(&target("one"), &restarted);
        assert_eq!(servers.get(&target("one")).unwrap().path, None);
    }

    #[test]
    fn what_a_server_sends_without_end_is_not_kept() {
        let servers = Servers::default();
        servers.keep(&target("one"), &facts("a"));
        servers.keep(&target("one"), &facts(&"a".repeat(MAX_BYTES)));
        assert!(servers.get(&target("one")).is_none());
        for number in 0..1000 {
            servers.keep(&target(&number.to_string()), &facts("a"));
        }
        assert!(servers.0.lock().len() <= MAX_KEPT);
    }
}
