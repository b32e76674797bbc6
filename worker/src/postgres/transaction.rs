//! How a transaction begins: as the session's own role and with fixed settings, whatever the owner of the database has set
//! for it. All of it is LOCAL, so that nothing stays behind in a session that a pooler hands to its next client.

use std::collections::BTreeMap;
use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde::Deserialize;

use super::first_statement::{FirstStatement, options};
use super::ledger_trust::Trust;
use super::library_settings;
use super::preparation::{PLANS, Preparation};
use super::prepared::Query;
use super::server_facts::ServerFacts;
use super::session_settings::{of_session, set_all};
use crate::ledger;

/// What the worker's own statements are resolved by: no function or operator of the database's own stands in for one of
/// PostgreSQL's.
pub(super) const PIN: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// How long a statement waits for a lock that another session holds before the attempt starts over.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// What an ordinary session's statements are resolved by where nothing else is set.
const ORDINARY_PATH: &str = "\"$user\", public";

/// What is known of a session from its start, and from its transactions since.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SessionStart {
    pub(super) backend_pid: i32,
    pub(super) in_recovery: bool,
    /// The database has a schema of the ledger's name.
    pub(super) has_schema: bool,
    /// The database has a ledger of the newest version.
    pub(super) has_ledger: bool,
    pub(super) server: ServerFacts,
    /// Settings of the database or the role, with PostgreSQL's own values.
    pub(super) overridden: BTreeMap<String, String>,
    /// Those of libraries that are not loaded, or were not at the start.
    pub(super) of_libraries: Vec<String>,
    pub(super) path: Option<String>,
    /// The role whose rotated clone the session's role is.
    pub(super) acts_as: Option<String>,
    #[serde(skip)]
    pub(super) trust: Trust,
    #[serde(skip)]
    pub(super) preparation: Preparation,
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
    parameters: 4,
    sql: ledger::READ,
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
        if has_ledger != self.has_ledger {
            self.trust = Trust::AsMade;
        }
        self.has_schema = has_schema;
        self.has_ledger = has_ledger;
        // What is prepared depends on it.
        self.distrust_prepared();
    }

    /// Notes that the ledger is not what the beginning of a transaction expected: the next one begins with a larger check.
    pub(super) fn note_changed(&mut self) {
        if self.has_ledger {
            self.trust.note_changed();
        }
    }

    /// Notes that the ledger is not as it was made.
    pub(super) fn note_altered(&mut self) {
        self.trust = Trust::Altered;
    }

    /// Keeps the mark of a ledger that may be used, from the check that was made.
    pub(super) fn note_mark(&mut self, mark: &str) {
        self.trust.note_mark(mark);
    }

    /// Whether [`Self::check_once_more`] may fail for a ledger that may be used, but was altered since it was made.
    pub(super) fn expects_as_made(&self) -> bool {
        self.has_ledger && self.trust.expects_as_made()
    }

    /// Allows prepared statements where the server's process is the one that the connection was made to: a pooler stands
    /// between where it is not.
    pub(super) fn note_connected_to(&mut self, pid: i32) {
        if pid == self.backend_pid {
            self.preparation.allow();
        }
    }

    /// Others' code may have run in the session: prepared statements are not the worker's own any more.
    pub(super) fn distrust_prepared(&mut self) {
        self.preparation.distrust();
    }

    /// Notes that [`Self::begin`] succeeded, and [`Self::look`], which ran the queries with these names.
    pub(super) fn note_begun(&mut self, names: &[&'static str]) {
        self.preparation.note_begun();
        self.preparation.note(&[BEGIN]);
        self.preparation.note(names);
    }

    /// Notes that the queries of these names, of [`Self::run_and_prepare`], succeeded.
    pub(super) fn note_prepared(&mut self, names: &[&'static str]) {
        self.preparation.note(names);
    }

    /// Runs a query, and prepares it where it may be.
    pub(super) fn run_and_prepare(&self, query: Query<'_>, arguments: &[&str]) -> String {
        self.preparation.run_and_prepare(query, arguments)
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
        let settings = set_all(&self.overridden, &self.server);
        let query = Query {
            name: BEGIN,
            parameters: 2,
            sql: &settings,
        };
        let [statement, lock] = timeouts(statement_timeout);
        sql.push_str(self.preparation.begin());
        sql.push_str(&self.preparation.run_from_begin(query, &[&statement, &lock]));
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
        // An isolation level cannot be chosen any more: the session has its default from the start-up packet.
        let settings = begin.split_once("; ").map_or("", |(_, settings)| settings);
        let timeouts = timeouts(statement_timeout);
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let of_session = library_settings::values(&self.of_libraries)
            .chain(of_session(&self.overridden, &self.server, &timeouts))
            .chain([
                named("default_transaction_isolation", "read committed"),
                named("default_transaction_read_only", "off"),
                named("search_path", self.path.as_deref().unwrap_or(ORDINARY_PATH)),
                named("role", self.acts_as.as_deref().unwrap_or("none")),
            ]);
        FirstStatement {
            options: options(of_session),
            message: format!("{sql}; BEGIN; {settings}; {}", ledger::LOCK),
            start,
            timeout: statement_timeout,
        }
    }

    /// Takes the lock under which a database is changed, has the server decide whether its ledger may be used, and looks at
    /// the database; and reads in the ledger, where one is expected. Each of the three answers with a row.
    ///
    /// `schemas` are the names of the schemas to look for, as JSON. Returns the names of the queries too.
    pub(super) fn look(
        &self,
        schemas: &str,
        read: Option<[&str; 4]>,
    ) -> (String, Vec<&'static str>) {
        let mut sql = String::new();
        if self.has_ledger && !self.in_recovery {
            sql.push_str(&format!("{}; ", ledger::LOCK));
        }
        let mut names = vec![LOOK.name];
        let acts_as = self.acts_as.as_deref().unwrap_or_default();
        let first = self.trust.check_at_begin(self.has_ledger, acts_as);
        let check = if let Some((query, argument)) = first {
            names.push(query.name);
            self.preparation.run_from_begin(query, &[argument])
        } else {
            self.check_once_more()
        };
        let look = self.preparation.run_from_begin(LOOK, &[schemas]);
        sql.push_str(&format!("{check}; {look}"));
        if let Some(arguments) = read.filter(|_| self.has_ledger) {
            names.push(READ.name);
            sql.push_str(&format!(
                "; {}",
                self.preparation.run_from_begin(READ, &arguments)
            ));
        }
        (sql, names)
    }

    /// Looks again, behind what a plan did.
    pub(super) fn look_again(&self, schemas: &str) -> String {
        format!("{PIN}; {}", self.preparation.run(LOOK, &[schemas]))
    }

    /// Has the server decide whether the ledger may be used: all of it, one row.
    pub(super) fn check(&self) -> String {
        ledger::check(self.acts_as.as_deref())
    }

    /// The same at the end of a transaction, as short as it may be. One row, or none.
    ///
    /// A ledger that was made in this transaction, and one that is expected to be as it was made, is compared with that form:
    /// see [`Self::expects_as_made`].
    pub(super) fn check_once_more(&self) -> String {
        let acts_as = self.acts_as.as_deref().unwrap_or_default();
        match self.trust.check_at_end(self.has_ledger, acts_as) {
            Some((query, argument)) => self.preparation.run(query, &[argument]),
            None if !self.has_schema => ledger::ABSENT.to_owned(),
            None => self.check(),
        }
    }

    /// Sets what a statement of a plan runs by: the path of an ordinary session of the role, for what else runs inside it,
    /// as event triggers do, and how that is planned.
    pub(super) fn ordinary_path(&self) -> String {
        let path = self.path.as_deref().unwrap_or(ORDINARY_PATH);
        let plans = match self.overridden.get(PLANS) {
            Some(value) => escape_literal(value),
            None => "DEFAULT".to_owned(),
        };
        format!(
            "SET LOCAL {PLANS} = {plans}; SELECT pg_catalog.set_config('search_path', {}, true)",
            escape_literal(path)
        )
    }
}

/// The longest time of a statement, and of a wait for a lock, in milliseconds.
fn timeouts(statement_timeout: Duration) -> [String; 2] {
    let lock_timeout = LOCK_TIMEOUT.min(statement_timeout * 9 / 10);
    [statement_timeout, lock_timeout].map(|timeout| timeout.as_millis().max(1).to_string())
}
