//! Writes the table of SQLSTATEs in `docs/sqlstates.md`.
//!
//! It is only part of the tests: [`crate::reference`] compares and writes it.

use super::Statement;
use super::sqlstate::{Class, Says, TABLE};

/// The table in Markdown, with a row for each row of the code.
pub(crate) fn markdown() -> String {
    let mut table =
        "| SQLSTATE | Statement | What the error says | What the worker does |\n|---|---|---|---|\n"
            .to_owned();
    for (statements, state, says, class) in TABLE {
        let state = match state.len() {
            0 => "any".to_owned(),
            5 => format!("`{state}`"),
            _ => format!("`{state}…`"),
        };
        let statements: Vec<&str> = statements.iter().copied().map(name).collect();
        let statements = match statements.as_slice() {
            [] => "any".to_owned(),
            names => names.join(", "),
        };
        let says = match says {
            Says::Anything => "anything".to_owned(),
            Says::This(text) => format!("contains `{text}`"),
            Says::First(text) => format!("begins with `{text}`"),
            Says::Constraint(text) => format!("names a constraint `{text}…`"),
        };
        table.push_str(&format!(
            "| {state} | {statements} | {says} | {} |\n",
            action(*class)
        ));
    }
    table
}

fn name(statement: Statement) -> &'static str {
    match statement {
        Statement::LogIn => "log-in",
        Statement::Own => "the worker's own queries",
        Statement::CreateSchema => "`CREATE SCHEMA`",
        Statement::Create => "`CREATE EXTENSION`",
        Statement::Update => "`ALTER EXTENSION … UPDATE`",
        Statement::SetSchema => "`ALTER EXTENSION … SET SCHEMA`",
        Statement::Drop => "`DROP EXTENSION`",
    }
}

fn action(class: Class) -> String {
    match class {
        Class::Permanent => "fail".to_owned(),
        Class::Transient => "retry".to_owned(),
        Class::TransientAtMost(1) => "retry, once at most".to_owned(),
        Class::TransientAtMost(times) => format!("retry, at most {times} times"),
        Class::Race => "look again".to_owned(),
        Class::Prerequisite(advice) => format!("fail, with advice: {advice}"),
        Class::Credentials => "read the secret again".to_owned(),
        Class::NoDatabase => "no such database".to_owned(),
        Class::ClosedDatabase => "database closed".to_owned(),
    }
}
