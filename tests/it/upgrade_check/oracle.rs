//! PostgreSQL's own check, `pg_upgrade --check`, between servers of Debian's packages: no blocker that it finds is missed, and
//! what a finding says mends it does. Whatever pg_upgrade refuses first is looked up among the findings, mended by their
//! statements alone, and pg_upgrade is run again, until it finds the clusters compatible.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::worker;
use crate::support::{Mode, PrivateServer, ResultsSubscriber, World};

/// What pg_upgrade says of a check that failed, and the codes of the findings that are the same.
const CHECKS: [(&str, &str); 12] = [
    (
        "database connection settings",
        "ClosedDatabase InvalidDatabase",
    ),
    ("invalid database", "InvalidDatabase"),
    ("prepared transactions", "PreparedTransaction"),
    ("system-defined composite types", "ColumnType"),
    ("reg* data types", "ColumnType"),
    ("data type usage", "ColumnType"),
    ("aclitem", "ColumnType"),
    ("encoding conversions", "EncodingConversion"),
    ("postfix operators", "PostfixOperator"),
    ("incompatible polymorphic functions", "PolymorphicFunction"),
    ("not-null constraint inconsistencies", "NotNullInheritance"),
    ("presence of required libraries", "NotOffered Library"),
];

/// What any version has, and pg_upgrade refuses.
const OBJECTS: &str = "
    CREATE DOMAIN d AS regproc;
    CREATE TYPE c AS (inner_d d, n int);
    CREATE TYPE r AS RANGE (subtype = regnamespace);
    CREATE TABLE reg (plain regprocedure, of_domain d, of_composite c, of_array regoper[], fine regclass, fine_2 regtype, fine_3 regrole);
    CREATE TABLE ranges (of_range r, \"Odd name\" regconfig);
    CREATE TABLE system_rows (n int, row_of pg_class);
    CREATE MATERIALIZED VIEW m AS SELECT 'now'::regproc AS f;
    CREATE TABLE indexed (n int, t text);
    CREATE FUNCTION to_dictionary(text) RETURNS regdictionary LANGUAGE sql IMMUTABLE AS 'SELECT $1::regdictionary';
    CREATE INDEX i ON indexed (to_dictionary(t));
    CREATE VIEW v AS SELECT 'now'::regproc AS not_stored;
";
const BEFORE_16: &str = "CREATE TABLE acl (a aclitem, many aclitem[]);";
const BEFORE_14: &str = "
    CREATE FUNCTION f(bigint) RETURNS numeric LANGUAGE sql AS 'SELECT $1::numeric';
    CREATE OPERATOR !! (LEFTARG = bigint, PROCEDURE = f);
    CREATE AGGREGATE agg (anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{}');
    CREATE OPERATOR |+| (LEFTARG = anyarray, RIGHTARG = anyelement, PROCEDURE = array_append);
    CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
";
const BEFORE_18: &str = "
    CREATE TABLE parent (c int, \"C 2\" int);
    CREATE TABLE child () INHERITS (parent);
    ALTER TABLE ONLY parent ALTER COLUMN c SET NOT NULL, ALTER COLUMN \"C 2\" SET NOT NULL;
";

/// The programs of a version, from Debian's packages.
fn programs(version: u32) -> PathBuf {
    let mut find = Command::new("python3");
    find.args(["../localstack/debian_server.py", &version.to_string()]);
    let found = find.output().unwrap();
    let stderr = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(found.status.success(), "{stderr}");
    PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
}

/// What pg_upgrade says of the checks that failed; nothing where the clusters are compatible.
fn failed_checks(old: &PrivateServer, new: &PrivateServer) -> Vec<String> {
    let mut check = new.program("pg_upgrade");
    check
        .arg("--check")
        .arg("--old-bindir")
        .arg(old.programs())
        .arg("--new-bindir")
        .arg(new.programs())
        .arg("--old-datadir")
        .arg(old.data())
        .arg("--new-datadir")
        .arg(new.data())
        .args(["--username=postgres", "--socketdir"])
        // The path of a socket is no longer than some hundred characters.
        .arg(std::env::temp_dir())
        .args(["--old-port", &old.port.to_string()])
        .args(["--new-port", &new.port.to_string()]);
    let checked = check.output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    if checked.status.success() {
        assert!(said.contains("*Clusters are compatible*"), "{said}");
        return Vec::new();
    }
    // Each check has a line, and "ok" at its end.
    let errors = String::from_utf8_lossy(&checked.stderr).into_owned();
    let is_failed = |line: &&str| !line.trim_end().ends_with("ok") && !line.is_empty();
    let failed: Vec<String> = said
        .lines()
        .chain(errors.lines())
        .filter(is_failed)
        .map(str::to_owned)
        .collect();
    assert!(!failed.is_empty(), "{said}");
    failed
}

/// The results of a check, by database.
async fn checked(
    subscriber: &ResultsSubscriber<'_>,
    secret: &str,
    to: u32,
    like: &str,
) -> Vec<Value> {
    let targets = json!([{"Secret": secret}]);
    let more = json!({"Upgrade": {"To": to.to_string(), "Like": {"Secret": like}}});
    let said = subscriber.run("UpgradeCheck", targets, more).await;
    said.results.into_values().collect()
}

/// Carries the statements of these findings out; returns the codes of those that were there.
async fn mend(old: &PrivateServer, results: &[Value], codes: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for result in results {
        let database = result["Database"].as_str().unwrap_or("postgres");
        let findings = result["Findings"].as_array().into_iter().flatten();
        for finding in findings {
            let code = finding["Code"].as_str().unwrap();
            if codes.contains(code) {
                assert_eq!(finding["Severity"], "Blocks", "{finding}");
                let client = old.connect_to(database).await.unwrap();
                let remedy = finding["Remedy"].as_str().unwrap();
                let mended = client.batch_execute(remedy).await;
                assert!(mended.is_ok(), "{finding}: {mended:?}");
                found.insert(code.to_owned());
            }
        }
    }
    found
}

async fn no_blocker_is_missed(from: u32, to: u32, expected: &str) {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    // pg_upgrade knows no other way to a server that runs.
    let sockets = std::env::temp_dir();
    let sockets = format!("unix_socket_directories={}", sockets.display());
    let settings = ["max_prepared_transactions=5", &sockets];
    let old = PrivateServer::start_of(&world, &programs(from), Mode::Primary, &settings).await;
    let mut new = PrivateServer::start_of(&world, &programs(to), Mode::Primary, &settings).await;
    let secret_of = async |server: &PrivateServer| {
        let changes = json!({"port": server.port, "dbname": "postgres"});
        world.secret_with(&changes).await
    };
    let (secret, like) = (secret_of(&old).await, secret_of(&new).await);
    old.execute("CREATE DATABASE \"Orders 1\"").await;
    for database in ["Orders 1", "template1"] {
        let client = old.connect_to(database).await.unwrap();
        client.batch_execute(OBJECTS).await.unwrap();
    }
    let orders = old.connect_to("Orders 1").await.unwrap();
    for (version, objects) in [(14, BEFORE_14), (16, BEFORE_16), (18, BEFORE_18)] {
        if from < version && version <= to {
            orders.batch_execute(objects).await.unwrap();
        }
    }
    // Version 17 removed it, with its library.
    if from < 17 && 17 <= to {
        orders
            .batch_execute("CREATE EXTENSION adminpack")
            .await
            .unwrap();
    }
    drop(orders);
    old.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        .await;
    old.execute("CREATE DATABASE invalid").await;
    old.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'invalid'")
        .await;
    old.execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'left'")
        .await;

    let mut results = checked(&subscriber, &secret, to, &like).await;
    new.stop_in_order();
    let mut mended = BTreeSet::new();
    loop {
        let failed = failed_checks(&old, &new);
        if failed.is_empty() {
            break;
        }
        let codes: BTreeSet<&str> = failed
            .iter()
            .flat_map(|line| CHECKS.iter().filter(|(check, _)| line.contains(check)))
            .flat_map(|(_, codes)| codes.split(' '))
            .collect();
        let found = mend(&old, &results, &codes).await;
        assert!(
            !found.is_empty(),
            "missed: {failed:?} {codes:?} {results:#?}"
        );
        mended.extend(found);
        results = checked(&subscriber, &secret, to, &like).await;
    }
    let mended: Vec<&str> = mended.iter().map(String::as_str).collect();
    assert_eq!(mended.join(" "), expected);
    let blocking = results.iter().filter(|result| result["State"] == "Blocked");
    assert_eq!(blocking.count(), 0, "{results:#?}");
}

#[tokio::test]
async fn no_blocker_of_pg_upgrade_is_missed_from_13_to_18() {
    let expected = "ClosedDatabase ColumnType EncodingConversion InvalidDatabase NotNullInheritance NotOffered \
                    PolymorphicFunction PostfixOperator PreparedTransaction";
    no_blocker_is_missed(13, 18, expected).await;
}

#[tokio::test]
async fn no_blocker_of_pg_upgrade_is_missed_from_15_to_17() {
    let expected = "ClosedDatabase ColumnType InvalidDatabase NotOffered PreparedTransaction";
    no_blocker_is_missed(15, 17, expected).await;
}

#[tokio::test]
async fn no_blocker_of_pg_upgrade_is_missed_from_17_to_18() {
    let expected =
        "ClosedDatabase ColumnType InvalidDatabase NotNullInheritance PreparedTransaction";
    no_blocker_is_missed(17, 18, expected).await;
}
