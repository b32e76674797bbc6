//! Queries that a session runs for each request. PostgreSQL takes several times as long to parse and plan one of them as to
//! execute it; therefore a session prepares them.
//!
//! They are prepared and executed with SQL's PREPARE and EXECUTE, not with messages of the protocol: in a simple query
//! PostgreSQL runs no statement after one that failed.

use postgres_protocol::escape::escape_literal;

/// Prefix of the names of the worker's prepared statements.
pub(super) const PREFIX: &str = "extension_worker";

/// A query with parameters of type text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    /// The name after the prefix.
    pub(super) name: &'static str,
    /// The number of its parameters, at most nine: `$1` and so on.
    pub(super) parameters: usize,
    /// One statement, without a semicolon.
    pub(super) sql: &'a str,
}

impl Query<'_> {
    /// The statement that prepares the query.
    pub(super) fn prepare(&self) -> String {
        let types = match self.parameters {
            0 => String::new(),
            count => format!(" ({})", vec!["text"; count].join(", ")),
        };
        format!("PREPARE {PREFIX}_{}{types} AS {}", self.name, self.sql)
    }

    /// The statement that executes the prepared query.
    pub(super) fn execute(&self, arguments: &[&str]) -> String {
        let values: Vec<String> = arguments.iter().copied().map(escape_literal).collect();
        let list = match values.as_slice() {
            [] => String::new(),
            values => format!("({})", values.join(", ")),
        };
        format!("EXECUTE {PREFIX}_{}{list}", self.name)
    }

    /// The query as a single statement, for a session in which it is not prepared.
    pub(super) fn plain(&self, arguments: &[&str]) -> String {
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
