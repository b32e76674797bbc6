//! Queries that a session runs for each request. PostgreSQL takes several times as long to parse and plan one of them as
//! to run it, so that a session prepares them once.
//!
//! They are prepared and executed with SQL's PREPARE and EXECUTE, not with the protocol's messages: in one simple query
//! PostgreSQL runs nothing behind a statement that failed.

use std::collections::BTreeSet;

use postgres_protocol::escape::escape_literal;

/// Names of the worker's prepared statements begin so.
pub(super) const PREFIX: &str = "extension_worker";

/// What makes a session forget every prepared statement, those of the worker's names that others made too.
const FORGET: &str = "DEALLOCATE ALL; ";

/// The name of the query that begins a transaction.
pub(super) const BEGIN: &str = "begin";

/// A query with parameters of type text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    /// The end of its name.
    pub(super) name: &'static str,
    /// The number of its parameters: `$1` and so on, at most nine.
    pub(super) parameters: usize,
    /// One statement, without a semicolon.
    pub(super) sql: &'a str,
}

impl Query<'_> {
    /// The statement that prepares it.
    fn prepare(&self) -> String {
        let types = match self.parameters {
            0 => String::new(),
            count => format!(" ({})", vec!["text"; count].join(", ")),
        };
        format!("PREPARE {PREFIX}_{}{types} AS {}", self.name, self.sql)
    }

    /// The statement that runs it, prepared.
    fn execute(&self, arguments: &[&str]) -> String {
        let values: Vec<String> = arguments.iter().copied().map(escape_literal).collect();
        let list = match values.as_slice() {
            [] => String::new(),
            values => format!("({})", values.join(", ")),
        };
        format!("EXECUTE {PREFIX}_{}{list}", self.name)
    }

    /// The statement that runs it in a session in which it is not prepared.
    fn plain(&self, arguments: &[&str]) -> String {
        let mut parts = self.sql.split('$');
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let number = part.chars().next().and_then(|digit| digit.to_digit(10));
            let argument = number
                .and_then(|number| usize::try_from(number).ok()?.checked_sub(1))
                .and_then(|index| arguments.get(index));
            match argument {
                Some(argument) => {
                    sql.push_str(&escape_literal(argument));
                    sql.push_str("::text");
                    sql.extend(part.chars().skip(1));
                }
                None => {
                    sql.push('$');
                    sql.push_str(part);
                }
            }
        }
        sql
    }
}

/// Whether a session has the worker's prepared statements.
#[derive(Debug, Clone, Default)]
pub(super) enum Preparation {
    /// It cannot keep any: a pooler may give each transaction another session.
    #[default]
    Impossible,
    /// The next transaction prepares none: it is the session's first and may be its last, or what ran in the session since may
    /// have put others in their place.
    Later,
    /// Those with these names are prepared.
    Begun(BTreeSet<&'static str>),
}

impl Preparation {
    /// Others' code may have run in the session: prepared statements are not the worker's own any more.
    pub(super) fn distrust(&mut self) {
        if let Self::Begun(_) = self {
            *self = Self::Later;
        }
    }

    /// Notes that a transaction began, and that the queries with these names ran in it.
    pub(super) fn note(&mut self, names: &[&'static str]) {
        match self {
            Self::Impossible => {}
            Self::Later => *self = Self::Begun(BTreeSet::new()),
            Self::Begun(prepared) => {
                prepared.insert(BEGIN);
                prepared.extend(names);
            }
        }
    }

    /// What runs before the first query is prepared.
    pub(super) fn forget(&self) -> &'static str {
        if self.names().is_some_and(BTreeSet::is_empty) {
            FORGET
        } else {
            ""
        }
    }

    /// Runs a query, prepared where it is.
    pub(super) fn run(&self, query: Query<'_>, arguments: &[&str]) -> String {
        if self.names().is_some_and(|names| names.contains(query.name)) {
            query.execute(arguments)
        } else {
            query.plain(arguments)
        }
    }

    /// The same at the beginning of a transaction, where others' code has not run yet.
    pub(super) fn run_and_prepare(&self, query: Query<'_>, arguments: &[&str]) -> String {
        if self
            .names()
            .is_some_and(|names| !names.contains(query.name))
        {
            format!("{}; {}", query.prepare(), query.execute(arguments))
        } else {
            self.run(query, arguments)
        }
    }

    /// The names of the prepared queries; none where none may be prepared.
    fn names(&self) -> Option<&BTreeSet<&'static str>> {
        match self {
            Self::Begun(names) => Some(names),
            Self::Impossible | Self::Later => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Query<'static> = Query {
        name: "test",
        parameters: 2,
        sql: "SELECT $2 || $1, '^[a-z]+$' WHERE $1 <> 'x'",
    };

    #[test]
    fn a_query_is_prepared_once_and_executed_by_name() {
        assert_eq!(
            QUERY.prepare(),
            "PREPARE extension_worker_test (text, text) AS SELECT $2 || $1, '^[a-z]+$' WHERE $1 <> 'x'"
        );
        assert_eq!(
            QUERY.execute(&["a", "it's"]),
            "EXECUTE extension_worker_test('a', 'it''s')"
        );
    }

    #[test]
    fn a_query_that_is_not_prepared_holds_its_arguments_as_literals() {
        assert_eq!(
            QUERY.plain(&["$2", "it's"]),
            "SELECT 'it''s'::text || '$2'::text, '^[a-z]+$' WHERE '$2'::text <> 'x'"
        );
    }
}
