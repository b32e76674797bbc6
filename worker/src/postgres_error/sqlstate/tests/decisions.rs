//! Every SQLSTATE of PostgreSQL 13 to 18 with what is done about it, where the error says nothing that a row asks for: a
//! state that has no row, and a row that changes, is a deliberate decision.

use super::*;

const DECISIONS: &str = include_str!("decisions.txt");

const STATEMENTS: [(Statement, &str); 7] = [
    (LogIn, "log-in"),
    (Statement::Own, "own"),
    (CreateSchema, "create schema"),
    (Create, "create"),
    (Update, "update"),
    (SetSchema, "set schema"),
    (Drop, "drop"),
];

fn word(class: Class) -> String {
    match class {
        Class::Permanent => "permanent".to_owned(),
        Class::Transient => "retried".to_owned(),
        Class::TransientAtMost(times) => format!("retried {times} times"),
        Class::Race => "a race".to_owned(),
        Class::Prerequisite(_) => "a prerequisite".to_owned(),
        Class::Credentials => "credentials".to_owned(),
        Class::NoDatabase => "no database".to_owned(),
        Class::ClosedDatabase => "a closed database".to_owned(),
    }
}

/// What most statements do about it, then those that differ.
fn decision(sqlstate: &str) -> String {
    let decisions: Vec<(String, &str)> = STATEMENTS
        .iter()
        .map(|(statement, name)| (word(class(*statement, sqlstate, "")), *name))
        .collect();
    let usual = &decisions
        .iter()
        .max_by_key(|(one, _)| decisions.iter().filter(|(other, _)| one == other).count())
        .unwrap()
        .0;
    let others = decisions.iter().filter(|(other, _)| other != usual);
    let others: String = others
        .map(|(decision, name)| format!("; {name}: {decision}"))
        .collect();
    format!("{usual}{others}")
}

#[test]
fn every_state_of_postgresql_has_a_decision() {
    let written = DECISIONS.lines().filter(|line| !line.starts_with('#'));
    let state = |line: &str| line.split_once(' ').unwrap().0.to_owned();
    let expected: String = written
        .clone()
        .map(state)
        .map(|state| format!("{state} {}\n", decision(&state)))
        .collect();
    let written: String = written.map(|line| format!("{line}\n")).collect();
    assert_same(&expected, &written);
}

/// Says which lines differ, as a file that can be put in the place of the other.
fn assert_same(expected: &str, written: &str) {
    let differ: Vec<&str> = expected
        .lines()
        .zip(written.lines())
        .filter(|(expected, written)| expected != written)
        .map(|(expected, _)| expected)
        .collect();
    assert!(differ.is_empty(), "decisions.txt:\n{}", differ.join("\n"));
}

#[test]
fn a_state_that_no_version_has_is_permanent_but_in_the_classes_that_pass() {
    for (sqlstate, decided) in [
        ("08Z99", "retried"),
        ("53Z99", "retried"),
        ("57PZ9", "retried"),
        ("28Z99", "permanent; log-in: credentials"),
        ("99999", "permanent"),
        ("XX999", "permanent"),
        ("P0999", "permanent"),
    ] {
        assert_eq!(decision(sqlstate), decided, "{sqlstate}");
    }
}
