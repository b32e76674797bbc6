//! The beginning of a transaction: it takes the session's own role and fixed settings, which override those of the
//! database. All of them are LOCAL, so that nothing stays in a session that a pooler gives to its next client.

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

/// The `search_path` of the worker's own statements: no function or operator of the database can replace one of PostgreSQL.
pub(super) const PIN: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// How long a statement waits for a lock of another session before the attempt starts over.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The `search_path` of an ordinary session, unless another is set.
const ORDINARY_PATH: &str = "\"$user\", public";

/// What is known of a session from its first query, and from its transactions since.
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
    /// Settings of libraries that are not loaded, or were not loaded at the beginning of the session.
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
    /// The role whose rotated clone the session's role is, and which the session takes.
    pub(super) fn acts_as(&self) -> Option<&str> {
        self.acts_as.as_deref()
    }

    /// Whether a ledger of the newest version is expected.
    pub(super) fn has_ledger(&self) -> bool {
        self.has_ledger
    }

    /// Records what was found.
    pub(super) fn note_ledger(&mut self, has_schema: bool, has_ledger: bool) {
        if has_ledger != self.has_ledger {
            self.trust = Trust::AsMade;
        }
        self.has_schema = has_schema;
        self.has_ledger = has_ledger;
        // Prepared statements depend on it.
        self.distrust_prepared();
    }

    /// Records that the ledger differs from what the beginning of the transaction expected: the next one begins with a
    /// larger check.
    pub(super) fn note_changed(&mut self) {
        if self.has_ledger {
            self.trust.note_changed();
        }
    }

    /// Records that the ledger is not as the worker created it.
    pub(super) fn note_altered(&mut self) {
        self.trust = Trust::Altered;
    }

    /// Stores the mark of an accepted ledger, from the check that was made.
    pub(super) fn note_mark(&mut self, mark: &str) {
        self.trust.note_mark(mark);
    }

    /// Whether [`Self::check_once_more`] may fail for a ledger that may be used, but was altered since it was created.
    pub(super) fn expects_as_made(&self) -> bool {
        self.has_ledger && self.trust.expects_as_made()
    }

    /// Allows prepared statements if the backend is the one to which the connection was opened. If it is another, there is
    /// a pooler between.
    pub(super) fn note_connected_to(&mut self, pid: i32) {
        if pid == self.backend_pid {
            self.preparation.allow();
        }
    }

    /// Records that code of other roles may have run in the session: the prepared statements may no longer be the worker's.
    pub(super) fn distrust_prepared(&mut self) {
        self.preparation.distrust();
    }

    /// Records that [`Self::begin`] and [`Self::look`] succeeded, which ran the queries of these names.
    pub(super) fn note_begun(&mut self, names: &[&'static str]) {
        self.preparation.note_begun();
        self.preparation.note(&[BEGIN]);
        self.preparation.note(names);
    }

    /// Records that [`Self::run_and_prepare`] prepared the queries of these names.
    pub(super) fn note_prepared(&mut self, names: &[&'static str]) {
        self.preparation.note(names);
    }

    /// Runs a query, and prepares it if that is allowed.
    pub(super) fn run_and_prepare(&self, query: Query<'_>, arguments: &[&str]) -> String {
        self.preparation.run_and_prepare(query, arguments)
    }

    /// Begins a transaction with this statement timeout.
    pub(super) fn begin(&self, statement_timeout: Duration) -> String {
        // A replica refuses READ WRITE.
        let access = if self.in_recovery { "" } else { ", READ WRITE" };
        let role = self
            .acts_as
            .as_deref()
            .map_or_else(|| "NONE".to_owned(), escape_identifier);
        // A prepared statement is planned for one search_path.
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

    /// Parameters of a new session of the same database whose first statement is this one. Afterwards its transaction is as
    /// one that [`Self::begin`] began, with the ledger locked.
    pub(super) fn first_statement(&self, sql: &str, statement_timeout: Duration) -> FirstStatement {
        let start = Self {
            preparation: Preparation::Impossible,
            ..self.clone()
        };
        let begin = start.begin(statement_timeout);
        // The isolation level cannot be set any more: the session has it from the start-up packet.
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

    /// Takes the lock under which a database is changed, has the server check its ledger, observes the database, and reads
    /// the ledger if one is expected. Each of these returns a row.
    ///
    /// `schemas` are the names of the schemas to look for, as JSON. Also returns the names of the queries.
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

    /// Observes again, after the steps of a plan.
    pub(super) fn look_again(&self, schemas: &str) -> String {
        format!("{PIN}; {}", self.preparation.run(LOOK, &[schemas]))
    }

    /// Has the server check the whole ledger: one row.
    pub(super) fn check(&self) -> String {
        ledger::check(self.acts_as.as_deref())
    }

    /// The same at the end of a transaction, with the shortest query that is sufficient: one row, or none.
    ///
    /// A ledger that was created in this transaction, and one that is expected to be as the worker created it, is compared
    /// with that form: see [`Self::expects_as_made`].
    pub(super) fn check_once_more(&self) -> String {
        let acts_as = self.acts_as.as_deref().unwrap_or_default();
        match self.trust.check_at_end(self.has_ledger, acts_as) {
            Some((query, argument)) => self.preparation.run(query, &[argument]),
            None if !self.has_schema => ledger::ABSENT.to_owned(),
            None => self.check(),
        }
    }

    /// Makes the settings under which a statement of a plan runs: the `search_path` of an ordinary session of the role, for
    /// other code that runs inside the statement, such as event triggers, and the planning of that code.
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

/// Statement timeout and lock timeout, in milliseconds.
fn timeouts(statement_timeout: Duration) -> [String; 2] {
    let lock_timeout = LOCK_TIMEOUT.min(statement_timeout * 9 / 10);
    [statement_timeout, lock_timeout].map(|timeout| timeout.as_millis().max(1).to_string())
}
