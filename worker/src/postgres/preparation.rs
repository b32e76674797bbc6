//! Which of the worker's queries a session has prepared. Prepared statements are used only until code of other roles has
//! run in the session, because that code may prepare other statements under the same names.

use std::collections::BTreeSet;

use super::prepared::Query;

/// The setting that controls how prepared statements are planned.
pub(super) const PLANS: &str = "plan_cache_mode";

/// Without this setting PostgreSQL plans a prepared statement again for its first five executions.
const PLAN_ONCE: &str = "SET LOCAL plan_cache_mode = force_generic_plan; ";
/// The same, and deallocates all prepared statements of the session, including those that others prepared under the
/// worker's names.
const FORGET_AND_PLAN_ONCE: &str =
    "DEALLOCATE ALL; SET LOCAL plan_cache_mode = force_generic_plan; ";

/// The prepared statements of a session.
#[derive(Debug, Clone, Default)]
pub(super) enum Preparation {
    /// The session cannot have any: a pooler may give each transaction another session.
    #[default]
    Impossible,
    /// This transaction is the session's first, and may be its last: PostgreSQL takes longer to prepare and execute a query
    /// than to run it once.
    First,
    /// The next transaction begins with none: code that ran in the session since may have replaced them.
    Next,
    /// The statements of these names are prepared.
    Begun(BTreeSet<&'static str>),
}

impl Preparation {
    /// Allows prepared statements in a new session.
    pub(super) fn allow(&mut self) {
        *self = Self::First;
    }

    /// Records that code of other roles may have run in the session.
    pub(super) fn distrust(&mut self) {
        if let Self::Begun(_) = self {
            *self = Self::Next;
        }
    }

    /// The statements with which a transaction begins.
    pub(super) fn begin(&self) -> &'static str {
        match self {
            Self::Impossible | Self::First => "",
            Self::Next => FORGET_AND_PLAN_ONCE,
            Self::Begun(_) => PLAN_ONCE,
        }
    }

    /// Records that a transaction began.
    pub(super) fn note_begun(&mut self) {
        match self {
            Self::First => *self = Self::Next,
            Self::Next => *self = Self::Begun(BTreeSet::new()),
            Self::Impossible | Self::Begun(_) => {}
        }
    }

    /// Records that the queries of these names were prepared.
    pub(super) fn note(&mut self, names: &[&'static str]) {
        if let Self::Begun(prepared) = self {
            prepared.extend(names);
        }
    }

    /// The query, as EXECUTE if it is prepared.
    pub(super) fn run(&self, query: Query<'_>, arguments: &[&str]) -> String {
        match self {
            Self::Begun(names) if names.contains(query.name) => query.execute(arguments),
            Self::Begun(_) | Self::First | Self::Next | Self::Impossible => query.plain(arguments),
        }
    }

    /// The same, and prepares the query if no code of other roles has run in the transaction.
    pub(super) fn run_and_prepare(&self, query: Query<'_>, arguments: &[&str]) -> String {
        match self {
            Self::Begun(_) => self.run_from_begin(query, arguments),
            Self::First | Self::Next | Self::Impossible => query.plain(arguments),
        }
    }

    /// The same, in one message with [`Self::begin`], before which no such code counts.
    pub(super) fn run_from_begin(&self, query: Query<'_>, arguments: &[&str]) -> String {
        let is_prepared = match self {
            Self::Impossible | Self::First => return query.plain(arguments),
            Self::Next => false,
            Self::Begun(names) => names.contains(query.name),
        };
        if is_prepared {
            query.execute(arguments)
        } else {
            format!("{}; {}", query.prepare(), query.execute(arguments))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Query<'static> = Query {
        name: "test",
        parameters: 0,
        sql: "SELECT 1",
    };
    const PREPARED: &str = "EXECUTE extension_worker_test";
    const ANEW: &str = "PREPARE extension_worker_test AS SELECT 1; EXECUTE extension_worker_test";

    #[test]
    fn nothing_is_prepared_through_a_pooler() {
        let mut preparation = Preparation::default();
        preparation.note_begun();
        preparation.note(&["test"]);
        assert_eq!(preparation.begin(), "");
        assert_eq!(preparation.run_from_begin(QUERY, &[]), "SELECT 1");
        assert_eq!(preparation.run(QUERY, &[]), "SELECT 1");
    }

    #[test]
    fn from_the_second_transaction_on_what_is_prepared_is_used_until_others_code_has_run() {
        let mut preparation = Preparation::default();
        preparation.allow();
        assert_eq!(preparation.begin(), "");
        assert_eq!(preparation.run_from_begin(QUERY, &[]), "SELECT 1");
        preparation.note_begun();
        preparation.note(&["test"]);
        assert_eq!(preparation.run_and_prepare(QUERY, &[]), "SELECT 1");
        assert_eq!(preparation.begin(), FORGET_AND_PLAN_ONCE);
        assert_eq!(preparation.run_from_begin(QUERY, &[]), ANEW);
        preparation.note_begun();
        assert_eq!(preparation.run(QUERY, &[]), "SELECT 1");
        assert_eq!(preparation.run_and_prepare(QUERY, &[]), ANEW);
        preparation.note(&["test"]);
        assert_eq!(preparation.begin(), PLAN_ONCE);
        assert_eq!(preparation.run(QUERY, &[]), PREPARED);
        assert_eq!(preparation.run_and_prepare(QUERY, &[]), PREPARED);
        preparation.distrust();
        assert_eq!(preparation.run(QUERY, &[]), "SELECT 1");
        assert_eq!(preparation.run_and_prepare(QUERY, &[]), "SELECT 1");
        assert_eq!(preparation.begin(), FORGET_AND_PLAN_ONCE);
        assert_eq!(preparation.run_from_begin(QUERY, &[]), ANEW);
    }
}
