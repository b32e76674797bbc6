//! How a transaction begins: as the session's own role and with fixed settings, whatever the owner of the database has set
//! for it. All of it is LOCAL, so that nothing stays behind in a session that a pooler hands to its next client.

use std::collections::BTreeSet;
use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde::Deserialize;

use super::first_statement::{FirstStatement, options};
use super::library_settings;
use super::prepared::{FORGET, Query};
use super::session_start::ServerFacts;
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

/// What is known of a session from its start, and from its transactions since.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SessionStart {
    backend_pid: i32,
    in_recovery: bool,
    /// The database has a schema of the ledger's name.
    has_schema: bool,
    /// The database has a ledger of the newest version.
    has_ledger: bool,
    pub(super) server: ServerFacts,
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
    /// The mark of the ledger that [`ledger::check`] found trustworthy.
    #[serde(skip)]
    mark: Option<String>,
    #[serde(skip)]
    preparation: Preparation,
}

/// Whether a session has the worker's prepared statements.
#[derive(Debug, Clone, Default)]
enum Preparation {
    /// It cannot keep any: a pooler may give each transaction another session.
    #[default]
    Impossible,
    /// The next transaction prepares none: it is the session's first and may be its last, or what ran in the session since may
    /// have put others in their place.
    Later,
    /// Those with these names are prepared.
    Begun(BTreeSet<&'static str>),
}

/// The name of the query that begins a transaction.
const BEGIN: &str = "begin";

const LOOK: Query<'static> = Query {
    name: "look",
    parameters: 1,
    sql: super::observe::LOOK,
};
const READ: Query<'static> = Query {
    name: "read",
    parameters: 3,
    sql: ledger::READ,
};
const UNCHANGED: Query<'static> = Query {
    name: "unchanged",
    parameters: 1,
    sql: ledger::UNCHANGED,
};

impl SessionStart {
    /// The role whose rotated clone the session's role is, and as which it works.
    pub(super) fn acts_as(&self) -> Option<&str> {
        self.acts_as.as_deref()
    }

    /// Whether a ledger of the newest version is expected.
    pub(super) fn has_ledger(&self) -> bool {
        self.has_ledger
    }

    /// Notes what was found.
    pub(super) fn note_ledger(&mut self, has_schema: bool, has_ledger: bool) {
        self.has_schema = has_schema;
        self.has_ledger = has_ledger;
        self.mark = None;
        // What is prepared depends on it.
        self.distrust_prepared();
    }

    /// Keeps the mark of a ledger that may be used.
    pub(super) fn note_mark(&mut self, mark: &str) {
        self.mark = Some(mark.to_owned());
    }

    /// Allows prepared statements where the server's process is the one that the connection was made to: a pooler stands
    /// between where it is not.
    pub(super) fn note_connected_to(&mut self, pid: i32) {
        if pid == self.backend_pid {
            self.preparation = Preparation::Later;
        }
    }

    /// Others' code may have run in the session: prepared statements are not the worker's own any more.
    pub(super) fn distrust_prepared(&mut self) {
        if let Preparation::Begun(_) = self.preparation {
            self.preparation = Preparation::Later;
        }
    }

    /// Notes that [`Self::begin`] succeeded, and [`Self::look`], which ran the queries with these names.
    pub(super) fn note_prepared(&mut self, names: &[&'static str]) {
        match &mut self.preparation {
            Preparation::Impossible => {}
            Preparation::Later => self.preparation = Preparation::Begun(BTreeSet::new()),
            Preparation::Begun(prepared) => {
                prepared.insert(BEGIN);
                prepared.extend(names);
            }
        }
    }

    /// Begins a transaction whose statements run for no longer than `statement_timeout`.
    pub(super) fn begin(&self, statement_timeout: Duration) -> String {
        // A replica refuses READ WRITE.
        let access = if self.in_recovery { "" } else { ", READ WRITE" };
        let role = self
            .acts_as
            .as_deref()
            .map_or_else(|| "NONE".to_owned(), escape_identifier);
        // A prepared statement is planned for a search_path.
        let mut sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED{access}, NOT DEFERRABLE; SET LOCAL SESSION AUTHORIZATION DEFAULT; \
             SET LOCAL ROLE {role}; {PIN}; "
        );
        let settings = self.settings();
        let query = Query {
            name: BEGIN,
            parameters: 2,
            sql: &settings,
        };
        let lock_timeout = LOCK_TIMEOUT.min(statement_timeout * 9 / 10);
        let [statement, lock] =
            [statement_timeout, lock_timeout].map(|timeout| timeout.as_millis().max(1).to_string());
        if self.prepared().is_some_and(BTreeSet::is_empty) {
            sql.push_str(FORGET);
        }
        sql.push_str(&self.run_and_prepare(query, &[&statement, &lock]));
        if let Some(libraries) = library_settings::set_back(&self.of_libraries) {
            sql.push_str(&format!("; {libraries}"));
        }
        sql
    }

    /// What a new session of the same database is given whose first statement is this one. Its transaction goes on behind it,
    /// as one that [`Self::begin`] began, with the ledger locked.
    pub(super) fn first_statement(&self, sql: &str, statement_timeout: Duration) -> FirstStatement {
        let start = Self {
            preparation: Preparation::Impossible,
            ..self.clone()
        };
        let begin = start.begin(statement_timeout);
        // An isolation level cannot be chosen any more, and need not: the server's default is set for the session.
        let settings = begin.split_once("; ").map_or("", |(_, settings)| settings);
        let lock = ledger::LOCK;
        let statement = statement_timeout.as_millis().max(1).to_string();
        let lock_timeout = LOCK_TIMEOUT.min(statement_timeout * 9 / 10);
        let lock_timeout = lock_timeout.as_millis().max(1).to_string();
        let timeouts = self.timeouts.iter().map(|name| {
            let value = match timeout(name) {
                "$1" => statement.clone(),
                "$2" => lock_timeout.clone(),
                value => value.trim_matches('\'').to_owned(),
            };
            (name.clone(), value)
        });
        let role = self.acts_as.clone().unwrap_or_else(|| "none".to_owned());
        let path = self
            .path
            .clone()
            .unwrap_or_else(|| ORDINARY_PATH.to_owned());
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let overridden = self
            .overridden
            .iter()
            .filter(|(name, _)| !self.is_fixed(name));
        let fixed = FIXED.iter().filter(|(name, _)| *name != "search_path");
        let settings_of_session = library_settings::values(&self.of_libraries)
            .chain(overridden.map(|(name, value)| named(name, value)))
            .chain(fixed.map(|(name, value)| named(name, value)))
            .chain(timeouts)
            .chain([
                named("default_transaction_isolation", "read committed"),
                named("default_transaction_read_only", "off"),
                named("search_path", &path),
                named("role", &role),
            ]);
        FirstStatement {
            options: options(settings_of_session),
            message: format!("{sql}; BEGIN; {settings}; {lock}"),
            start,
            timeout: statement_timeout,
        }
    }

    /// `$1` the longest time of a statement in milliseconds, `$2` that of a wait for a lock.
    fn settings(&self) -> String {
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

    /// Takes the lock under which a database is changed, has the server decide whether its ledger may be used, and looks at
    /// the database; and reads in the ledger, where one is expected. Each of the three answers with a row.
    ///
    /// `schemas` are the names of the schemas to look for, as JSON. Returns the names of the queries too.
    pub(super) fn look(
        &self,
        schemas: &str,
        read: Option<[&str; 3]>,
    ) -> (String, Vec<&'static str>) {
        let mut sql = String::new();
        if self.has_ledger && !self.in_recovery {
            sql.push_str(&format!("{}; ", ledger::LOCK));
        }
        let mut names = vec![LOOK.name];
        let check = if let Some(mark) = &self.mark {
            names.push(UNCHANGED.name);
            self.run_and_prepare(UNCHANGED, &[mark])
        } else {
            self.check_once_more()
        };
        let look = self.run_and_prepare(LOOK, &[schemas]);
        sql.push_str(&format!("{check}; {look}"));
        if let Some(arguments) = read.filter(|_| self.has_ledger) {
            names.push(READ.name);
            sql.push_str(&format!("; {}", self.run_and_prepare(READ, &arguments)));
        }
        (sql, names)
    }

    /// Looks again, behind what a plan did.
    pub(super) fn look_again(&self, schemas: &str) -> String {
        format!("{PIN}; {}", self.run(LOOK, &[schemas]))
    }

    /// Has the server decide whether the ledger may be used: all of it, one row.
    pub(super) fn check(&self) -> String {
        ledger::check(self.acts_as.as_deref())
    }

    /// The same, where it was decided before: whether that still holds. One row, or none.
    pub(super) fn check_once_more(&self) -> String {
        match &self.mark {
            Some(mark) => self.run(UNCHANGED, &[mark]),
            None if !self.has_schema => ledger::ABSENT.to_owned(),
            None => self.check(),
        }
    }

    /// Runs a query, prepared where it is.
    fn run(&self, query: Query<'_>, arguments: &[&str]) -> String {
        if self
            .prepared()
            .is_some_and(|names| names.contains(query.name))
        {
            query.execute(arguments)
        } else {
            query.plain(arguments)
        }
    }

    /// The same at the beginning of a transaction, where others' code has not run yet.
    fn run_and_prepare(&self, query: Query<'_>, arguments: &[&str]) -> String {
        if self
            .prepared()
            .is_some_and(|names| !names.contains(query.name))
        {
            format!("{}; {}", query.prepare(), query.execute(arguments))
        } else {
            self.run(query, arguments)
        }
    }

    /// The names of the prepared queries; none where none may be prepared.
    fn prepared(&self) -> Option<&BTreeSet<&'static str>> {
        match &self.preparation {
            Preparation::Begun(names) => Some(names),
            Preparation::Impossible | Preparation::Later => None,
        }
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
