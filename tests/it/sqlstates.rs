//! Each row of the SQLSTATE table that a server can be made to report, through the real driver.

use extension_worker::postgres_error::{Class, DatabaseError, Statement, classify};

use crate::support::{Fixture, World, connect, variable};

/// What is done about each state of PostgreSQL 13 to 18.
const DECISIONS: &str =
    include_str!("../../worker/src/postgres_error/sqlstate/tests/decisions.txt");

#[test]
fn every_state_that_this_server_knows_has_a_decision() {
    let list = std::path::Path::new(&variable("PG_EXTENSION_DIR")).join("../errcodes.txt");
    let list = std::fs::read_to_string(list).unwrap();
    let states = list
        .lines()
        .filter_map(|line| line.split_once("    "))
        .map(|(state, _)| state);
    let states: Vec<&str> = states
        .filter(|state| state.len() == 5 && !state.starts_with('#'))
        .collect();
    assert!(states.len() > 200, "{states:?}");
    let decided = |state: &&str| DECISIONS.lines().any(|line| line.starts_with(*state));
    let undecided: Vec<&str> = states.into_iter().filter(|state| !decided(state)).collect();
    assert!(undecided.is_empty(), "{undecided:?}");
}

#[tokio::test]
async fn refusals_of_postgresql_are_distinguished() {
    let world = World::new().await;
    let client = connect(&world.database.name).await;
    client
        .batch_execute("CREATE EXTENSION hstore; CREATE TABLE shop (item hstore)")
        .await
        .unwrap();
    let needy = Fixture::install(
        &format!("{}_needy", world.name),
        "default_version = '1'\nrequires = 'cube'\n",
        &[("1", "SELECT 1;")],
    );
    let raised = |sqlstate: &str, message: &str| {
        format!("DO $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{sqlstate}'; END $$")
    };
    for (sql, sqlstate, class) in [
        // As they come.
        ("CREATE EXTENSION hstore".to_owned(), "42710", Class::Race),
        (
            "CREATE TYPE hstore AS ENUM ()".to_owned(),
            "42710",
            Class::Permanent,
        ),
        ("DROP EXTENSION cube".to_owned(), "42704", Class::Race),
        (
            "ALTER EXTENSION cube UPDATE".to_owned(),
            "42704",
            Class::Race,
        ),
        (
            format!("CREATE EXTENSION {}", needy.name),
            "42704",
            Class::Permanent,
        ),
        (
            "SET cron.no_such_setting.x = 1; SHOW cron.nothing".to_owned(),
            "42704",
            Class::Prerequisite(""),
        ),
        (
            "CREATE EXTENSION no_such".to_owned(),
            "0A000",
            Class::Permanent,
        ),
        (
            "CREATE EXTENSION cube VERSION '9'".to_owned(),
            "22023",
            Class::Permanent,
        ),
        (
            "ALTER EXTENSION hstore UPDATE TO '9'".to_owned(),
            "22023",
            Class::Permanent,
        ),
        (
            "CREATE EXTENSION cube SCHEMA nowhere".to_owned(),
            "3F000",
            Class::Permanent,
        ),
        (
            "DROP EXTENSION hstore".to_owned(),
            "2BP01",
            Class::Permanent,
        ),
        ("CREATE SCHEMA public".to_owned(), "42P06", Class::Permanent),
        (
            "SET statement_timeout = 1; SELECT pg_sleep(1)".to_owned(),
            "57014",
            Class::Transient,
        ),
        (
            "SET ROLE pg_monitor; CREATE EXTENSION pageinspect".to_owned(),
            "42501",
            Class::Permanent,
        ),
        (
            "SET transaction_read_only = on; CREATE EXTENSION cube".to_owned(),
            "25006",
            Class::TransientAtMost(3),
        ),
        // As they would.
        (raised("23505", "duplicate key"), "23505", Class::Permanent),
        (
            raised("XX000", "tuple concurrently updated"),
            "XX000",
            Class::Race,
        ),
        (
            raised("XX000", "x can only be loaded via shared_preload_libraries"),
            "XX000",
            Class::Prerequisite(""),
        ),
        (
            raised("XX000", "cache lookup failed"),
            "XX000",
            Class::TransientAtMost(3),
        ),
        (
            raised("55000", "x must be loaded via shared_preload_libraries"),
            "55000",
            Class::Prerequisite(""),
        ),
        (
            raised("55000", "database is not currently accepting connections"),
            "55000",
            // Of a log-in alone it is one of the database.
            Class::Permanent,
        ),
        (
            raised(
                "0A000",
                "x cannot be updated after the old version has already been loaded",
            ),
            "0A000",
            Class::TransientAtMost(1),
        ),
        (raised("40001", "serialization"), "40001", Class::Transient),
        (raised("40P01", "deadlock"), "40P01", Class::Transient),
        (
            raised("25P03", "idle in transaction"),
            "25P03",
            Class::Transient,
        ),
        (raised("55P03", "lock timeout"), "55P03", Class::Transient),
        (
            raised("53300", "too many connections"),
            "53300",
            Class::Transient,
        ),
        (raised("53200", "out of memory"), "53200", Class::Transient),
        (
            raised("53100", "disk full"),
            "53100",
            Class::Prerequisite(""),
        ),
        (
            raised("57P01", "terminating connection"),
            "57P01",
            Class::Transient,
        ),
        (raised("57P03", "starting up"), "57P03", Class::Transient),
        (
            raised("08006", "connection failure"),
            "08006",
            Class::Transient,
        ),
        (
            raised("58P01", "could not access file"),
            "58P01",
            Class::Permanent,
        ),
        (
            raised("P0001", "can only create extension in database postgres"),
            "P0001",
            Class::Permanent,
        ),
        (raised("99999", "anything else"), "99999", Class::Permanent),
    ] {
        let refused = client.batch_execute(&sql).await.unwrap_err();
        let fault = DatabaseError::from(refused);
        assert_eq!(
            fault.sql().map(|error| error.sqlstate.as_str()),
            Some(sqlstate),
            "{sql}: {fault}"
        );
        let same = match (classify(&fault, Statement::Create), class) {
            // The remedy's words are the table's own affair.
            (Class::Prerequisite(remedy), Class::Prerequisite(_)) => !remedy.is_empty(),
            (found, expected) => found == expected,
        };
        assert!(
            same,
            "{sql}: {fault} is {:?}",
            classify(&fault, Statement::Create)
        );
        client.batch_execute("RESET ALL; RESET ROLE").await.unwrap();
    }
}

#[tokio::test]
async fn two_sessions_that_create_the_same_extension_meet_in_a_race() {
    let world = World::new().await;
    let name = &world.database.name;
    let (first, second) = (connect(name).await, connect(name).await);
    first
        .batch_execute("BEGIN; CREATE EXTENSION hstore")
        .await
        .unwrap();
    let waits = second.batch_execute("CREATE EXTENSION hstore");
    let commits = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        first.batch_execute("COMMIT").await.unwrap();
    };
    let (refused, ()) = futures_util::future::join(waits, commits).await;
    let fault = DatabaseError::from(refused.unwrap_err());
    assert_eq!(classify(&fault, Statement::Create), Class::Race, "{fault}");
}
