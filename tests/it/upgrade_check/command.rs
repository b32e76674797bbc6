//! `upgrade-check`: the command, with a worker.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::worker;
use crate::support::{Fixture, ResultsSubscriber, World, variable, worker_binary};

/// The command with `--wait`, to its end.
async fn check(world: &World, subscriber: &ResultsSubscriber<'_>, arguments: &[&str]) -> Output {
    let mut command = worker_binary();
    command
        .args(["upgrade-check", "--to", "99", "--wait"])
        .args([
            "--secret",
            &world.secret,
            "--databases",
            &world.database.name,
        ])
        .args(arguments)
        .env("WORKER_TOPIC_ARN", &world.topic_arn)
        .env("WORKER_RESULTS_TOPIC_ARN", &subscriber.topic_arn)
        .stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_command_prints_findings_as_text_json_csv_and_page() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    // A function of a library that every server has.
    let script = format!(
        "CREATE FUNCTION {}_f() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';",
        world.name
    );
    let fixture = Fixture::install(
        &format!("{}_x", world.name),
        "default_version = '1'\n",
        &[("1", &script)],
    );
    let name = &fixture.name;
    world
        .database
        .execute(&format!("CREATE EXTENSION {name}"))
        .await;
    let directory = variable("RUN_DIR");
    let file = |end: &str| format!("{directory}/{}.{end}", world.name);
    let (offer, html) = (file("offer.json"), file("html"));
    let preloaded = world.database.text("SHOW shared_preload_libraries").await;
    let offered = json!({
        "ServerVersion": "99.1", "Preloaded": preloaded,
        "Extensions": {"plpgsql": {"Default": "1.0", "Versions": ["1.0"]}},
    });
    std::fs::write(&offer, offered.to_string()).unwrap();

    let output = check(&world, &subscriber, &["--offer", &offer, "--html", &html]).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let state_of = |result: &str| {
        let start = format!("| {result} ");
        let line = said.lines().find(|line| line.starts_with(&start));
        line.and_then(|line| line.split('|').nth(2)).map(str::trim)
    };
    assert_eq!(state_of(&world.database.name), Some("blocked"), "{said}");
    // Another test's database may block the upgrade of the server that they share.
    let totals = match state_of("(server)") {
        Some("ready") => "\n2 results: 1 ready, 1 blocked.\n",
        Some("blocked") => "\n2 results: 2 blocked.\n",
        other => panic!("{other:?}: {said}"),
    };
    for part in [
        "✕ 1",
        totals,
        "\nBlocks the upgrade:\n",
        &format!("- {name} (NotOffered), in "),
        &format!("    DROP EXTENSION \"{name}\"\n"),
        "\nWhat PostgreSQL 99 offers is read from a file of what a server of PostgreSQL 99.1 offers.\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("NotOffered"));

    let output = check(&world, &subscriber, &["--offer", &offer, "--json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["Mode"], "UpgradeCheck");
    let results = report["Results"].as_array().unwrap();
    let of = |result: &&Value| result["Database"] == world.database.name.as_str();
    let result = results.iter().find(of).unwrap();
    assert_eq!(result["Findings"][0]["Code"], "NotOffered");

    let output = check(&world, &subscriber, &["--offer", &offer, "--csv"]).await;
    let csv = text(&output.stdout);
    let line = csv.lines().find(|line| line.contains("NotOffered"));
    let line = line.unwrap_or_else(|| panic!("{csv}"));
    assert!(line.contains(",Blocked,99,Blocks,NotOffered,"), "{line}");
}
