//! The check before an upgrade: what it finds, what it says mends it, and that it changes nothing.

mod command;
mod oracle;

use serde_json::{Value, json};

use crate::support::{Fixture, Mode, PrivateServer, ResultsSubscriber, Worker, World};

/// The finding about an object.
fn finding<'a>(result: &'a Value, object: &str) -> &'a Value {
    let findings = result["Findings"].as_array();
    let found = findings.and_then(|findings| findings.iter().find(|one| one["Object"] == object));
    found.unwrap_or_else(|| panic!("{object}: {result}"))
}

/// The codes of the findings that come before the upgrade, in their order.
fn codes(result: &Value) -> Vec<&str> {
    let findings = result["Findings"].as_array().into_iter().flatten();
    findings
        .filter(|one| one["Severity"] == "Blocks" || one["Severity"] == "StepBefore")
        .map(|one| one["Code"].as_str().unwrap())
        .collect()
}

fn remedy<'a>(result: &'a Value, object: &str) -> &'a str {
    finding(result, object)["Remedy"].as_str().unwrap()
}

/// The database that what mends a finding is to be done in, where it is another one than the finding's, and the statement: psql
/// connects to it first.
fn statement(remedy: &str) -> (Option<&str>, &str) {
    match remedy.strip_prefix("\\connect \"") {
        Some(rest) => {
            let (database, statement) = rest.split_once("\" \\\\ ").unwrap();
            (Some(database), statement)
        }
        None => (None, remedy),
    }
}

fn worker(world: &World, subscriber: &ResultsSubscriber<'_>) -> Worker {
    let topic = subscriber.topic_arn.as_str();
    Worker::start(world, &[("WORKER_RESULTS_TOPIC_ARN", topic)])
}

/// What a server of a version offers that is later than any that the tests run on.
fn offer(extensions: &Value) -> Value {
    json!({"Upgrade": {"To": "99", "Offer": {
        "ServerVersion": "99.1", "Preloaded": "", "Extensions": extensions,
    }}})
}

async fn server(world: &World) -> (PrivateServer, String) {
    let settings = ["max_prepared_transactions=5", "wal_level=logical"];
    let server = PrivateServer::start_with(world, Mode::Primary, &settings).await;
    let changes = json!({"port": server.port, "dbname": "postgres"});
    let secret = world.secret_with(&changes).await;
    (server, secret)
}

#[tokio::test]
async fn an_extension_without_a_path_is_mended_by_what_the_finding_says() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let scripts = [("1", "SELECT 1;"), ("1--2", "SELECT 2;")];
    let install = |end: &str, scripts: &[(&str, &str)]| {
        let name = format!("{}_{end}", world.name);
        Fixture::install(&name, "default_version = '1'\n", scripts)
    };
    let (leads, stranded, gone, after) = (
        install("leads", &scripts),
        install("stranded", &scripts[..1]),
        install("gone", &scripts[..1]),
        install("after", &scripts[..1]),
    );
    let names = [&leads.name, &stranded.name, &gone.name, &after.name];
    for name in names {
        world
            .database
            .execute(&format!("CREATE EXTENSION {name}"))
            .await;
    }
    let offered = offer(&json!({
        "plpgsql": {"Default": "1.0", "Versions": ["1.0"]},
        leads.name.as_str(): {"Default": "3", "Versions": ["3"], "Updates": {"2": "3"}},
        stranded.name.as_str(): {"Default": "3", "Versions": ["3"], "Updates": {"2": "3"}},
        after.name.as_str(): {"Default": "3", "Versions": ["3"], "Updates": {"1": "3"}},
    }));
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    let before = world.database.extensions().await;
    let said = subscriber
        .run("UpgradeCheck", targets.clone(), offered.clone())
        .await;
    let checked = said.result_of(&world.database.name);
    assert_eq!(checked["State"], "NeedsSteps", "{checked}");
    assert_eq!(checked["Mode"], "UpgradeCheck");
    assert_eq!(
        checked["Basis"],
        json!({"To": 99, "IsRead": true, "Source": "a file of what a server of PostgreSQL 99.1 offers"})
    );
    let of = |object: &str| {
        let found = finding(checked, object);
        (found["Severity"].clone(), found["Code"].clone())
    };
    assert_eq!(
        of(&leads.name),
        (json!("StepBefore"), json!("UpdateBefore"))
    );
    // It has no library that could fail.
    assert_eq!(
        of(&stranded.name),
        (json!("StepAfter"), json!("NoUpdatePath"))
    );
    assert_eq!(of(&gone.name), (json!("StepBefore"), json!("NotOffered")));
    assert_eq!(of(&after.name), (json!("StepAfter"), json!("UpdateAfter")));
    assert_eq!(world.database.extensions().await, before);
    assert_eq!(world.database.ddl(), [""; 0], "nothing is changed");

    for name in [&leads.name, &stranded.name, &gone.name] {
        world.database.execute(remedy(checked, name)).await;
    }
    let said = subscriber.run("UpgradeCheck", targets, offered).await;
    let ready = said.result_of(&world.database.name);
    assert_eq!(ready["State"], "Ready", "{ready}");
    assert_eq!(codes(ready), [""; 0]);
}

#[tokio::test]
async fn what_is_declared_to_be_recreated_needs_no_step_before() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let name = format!("{}_stranded", world.name);
    let script = format!(
        "CREATE FUNCTION {name}_f() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';"
    );
    let _fixture = Fixture::install(&name, "default_version = '1'\n", &[("1", &script)]);
    let offered = offer(&json!({
        "plpgsql": {"Default": "1.0", "Versions": ["1.0"]},
        name.as_str(): {"Default": "3", "Versions": ["3"]},
    }));
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    let properties = |on_no_update_path: &str| {
        let extension =
            json!({"Name": name, "Version": "default", "OnNoUpdatePath": on_no_update_path});
        json!({"DBSecret": world.secret, "Extensions": [extension]})
    };
    for (declared, severity, code, state) in [
        ("Recreate", "StepAfter", "RecreateAfter", "Ready"),
        // Another resource of the database does not admit it.
        ("Fail", "StepBefore", "NoUpdatePath", "NeedsSteps"),
    ] {
        let answer = world.create(properties(declared)).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        let said = subscriber
            .run("UpgradeCheck", targets.clone(), offered.clone())
            .await;
        let checked = said.result_of(&world.database.name);
        let found = finding(checked, &name);
        assert_eq!(found["Severity"], severity, "{found}");
        assert_eq!(found["Code"], code, "{found}");
        assert_eq!(checked["State"], state, "{checked}");
    }
}

#[tokio::test]
async fn what_the_server_as_a_whole_meets_is_a_result_of_its_own() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let (server, secret) = server(&world).await;
    // A slot waits for the transactions that are open.
    server
        .execute("SELECT pg_create_logical_replication_slot('slot', 'pgoutput')")
        .await;
    server
        .execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'left ''over'")
        .await;
    server.execute("CREATE DATABASE \"Ünused\"").await;
    server
        .execute("ALTER DATABASE \"Ünused\" WITH ALLOW_CONNECTIONS false")
        .await;
    server.execute("CREATE DATABASE invalid").await;
    server
        .execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'invalid'")
        .await;
    let targets = json!([{"Secret": secret}]);
    let all = offer(&json!({"plpgsql": {"Default": "1.0", "Versions": ["1.0"]}}));
    let said = subscriber
        .run("UpgradeCheck", targets.clone(), all.clone())
        .await;
    let states: Vec<_> = said
        .states()
        .into_iter()
        .map(|(_, of, state)| (of, state))
        .collect();
    assert_eq!(
        states,
        [
            ("", "Blocked"),
            ("postgres", "Ready"),
            ("template1", "Ready")
        ],
        "{said:?}"
    );
    let checked = said.result_of("");
    let mut found = codes(checked);
    found.sort_unstable();
    let slot = if server.text("SHOW server_version_num").await.as_str() < "170000" {
        "a slot is dropped"
    } else {
        "a slot is taken along"
    };
    assert_eq!(
        found,
        [
            "ClosedDatabase",
            "InvalidDatabase",
            "LogicalSlot",
            "PreparedTransaction"
        ],
        "{slot}: {checked}"
    );
    // A statement of each mends it.
    for object in ["left 'over", "slot", "invalid", "Ünused"] {
        let (database, statement) = statement(remedy(checked, object));
        let client = server.connect_to(database.unwrap_or("postgres")).await;
        client.unwrap().batch_execute(statement).await.unwrap();
    }
    let said = subscriber.run("UpgradeCheck", targets, all).await;
    assert_eq!(
        said.result_of("")["State"],
        "Ready",
        "{:?}",
        said.result_of("")
    );
    assert_eq!(said.result_of("Ünused")["State"], "Ready");
}

#[tokio::test]
async fn the_offer_is_read_from_a_server_that_has_the_version() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let version = world.database.text("SHOW server_version_num").await;
    let own: u32 = version.parse::<u32>().unwrap() / 10_000;
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    // A server that has the version already has nothing to be upgraded for.
    let like =
        |to: u32| json!({"Upgrade": {"To": to.to_string(), "Like": {"Secret": world.secret}}});
    let said = subscriber
        .run("UpgradeCheck", targets.clone(), like(own))
        .await;
    assert_eq!(said.result_of("")["State"], "Ready", "{said:?}");
    assert_eq!(said.result_of("")["Findings"][0]["Code"], "NoUpgrade");
    let basis = &said.result_of(&world.database.name)["Basis"];
    assert_eq!(basis["IsRead"], true);
    let source = basis["Source"].as_str().unwrap();
    assert!(source.starts_with("the server 127.0.0.1:"), "{source}");

    let said = subscriber
        .run("UpgradeCheck", targets.clone(), like(own + 1))
        .await;
    let failed = said.result_of("");
    assert_eq!(failed["State"], "Failed", "{failed}");
    let reason = failed["Reason"].as_str().unwrap();
    assert!(reason.contains(&format!("and not {}", own + 1)), "{reason}");

    // Without one, what is known beforehand has to do.
    let known = json!({"Upgrade": {"To": "99"}});
    world.database.execute("CREATE EXTENSION hstore").await;
    let fixture = Fixture::install(
        &format!("{}_x", world.name),
        "default_version = '1'\n",
        &[("1", "SELECT 1;")],
    );
    world
        .database
        .execute(&format!("CREATE EXTENSION {}", fixture.name))
        .await;
    let said = subscriber.run("UpgradeCheck", targets, known).await;
    let checked = said.result_of(&world.database.name);
    assert_eq!(checked["State"], "Ready", "{checked}");
    assert_eq!(checked["Basis"]["IsRead"], false);
    assert_eq!(finding(checked, &fixture.name)["Code"], "NotKnown");
}

#[tokio::test]
async fn a_message_says_where_the_upgrade_goes_and_nothing_that_does_not_go_with_it() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let worker = worker(&world, &subscriber);
    let targets = json!([{"Secret": world.secret}]);
    for (mode, more, fault) in [
        ("UpgradeCheck", json!({}), "Upgrade: "),
        (
            "UpgradeCheck",
            json!({"Upgrade": {"To": "latest"}}),
            "Upgrade.To: ",
        ),
        ("Report", json!({"Upgrade": {"To": "18"}}), "Upgrade: "),
        (
            "UpgradeCheck",
            json!({"Upgrade": {"To": "18"}, "Extensions": ["hstore"]}),
            "Extensions: ",
        ),
        (
            "UpgradeCheck",
            json!({"Upgrade": {"To": "18", "Offer": {"ServerVersion": "17.5", "Extensions": {}}}}),
            "Upgrade.Offer.ServerVersion: ",
        ),
    ] {
        let mut message =
            json!({"Type": "Resync", "ResyncId": "r", "Mode": mode, "Targets": targets});
        for (name, value) in more.as_object().unwrap() {
            message[name] = value.clone();
        }
        world.publish_text(&message.to_string()).await;
        worker.logged(fault).await;
    }
}
