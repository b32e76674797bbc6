//! `plan` and `apply`.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{World, variable, worker_binary};

/// Runs the command with the properties on standard input.
fn run(arguments: &[&str], properties: &Value) -> Output {
    let mut child = worker_binary()
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(properties.to_string().as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_plan_says_what_apply_then_does() {
    let world = World::new().await;
    let properties =
        json!({"Extensions": ["earthdistance", {"Name": "pg_trgm", "Version": "1.5"}]});
    let planned = run(&["plan", "--secret", &world.secret], &properties);
    assert!(planned.status.success(), "{}", text(&planned.stderr));
    let message = text(&planned.stdout);
    assert!(message.contains("installed: plpgsql 1.0"), "{message}");
    assert!(
        message
            .contains("would run: CREATE EXTENSION \"pg_trgm\" SCHEMA \"public\" VERSION '1.5';"),
        "{message}"
    );
    assert!(world.database.extensions().await.is_empty());

    let version = world.database.default_version("earthdistance").await;
    let applied = run(&["apply", "--secret", &world.secret, "--json"], &properties);
    let message: Value = serde_json::from_slice(&applied.stdout).unwrap();
    assert_eq!(
        message[0]["Changes"],
        json!([
            format!("created earthdistance {version}"),
            "created pg_trgm 1.5"
        ])
    );
    assert!(
        world
            .database
            .extensions()
            .await
            .keys()
            .eq(["cube", "earthdistance", "pg_trgm"])
    );
    let again = run(&["plan", "--secret", &world.secret], &properties);
    assert!(text(&again.stdout).contains("nothing to do"));
}

#[tokio::test]
async fn a_url_does_as_well_as_a_secret() {
    let world = World::new().await;
    let url = format!(
        "postgres://{}:{}@{}:{}/{}",
        variable("PGUSER"),
        variable("PGPASSWORD"),
        variable("PGHOST"),
        variable("PGPORT"),
        world.database.name
    );
    let applied = run(
        &["apply", "--url", &url],
        &json!({"PluginsMap": {"HStore": ""}}),
    );
    assert!(
        text(&applied.stdout).contains("created hstore 1.8"),
        "{}",
        text(&applied.stderr)
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_in_plain_words() {
    let world = World::new().await;
    let message = |properties: &Value| {
        let failed = run(&["plan", "--secret", &world.secret], properties);
        assert_eq!(failed.status.code(), Some(1));
        text(&failed.stderr)
    };
    assert!(message(&json!([])).starts_with("error: - is not a JSON object of properties"));
    assert_eq!(
        message(&json!({"Extension": []}))
            .lines()
            .next()
            .unwrap_or_default()
            .split(". Known")
            .next(),
        Some("error: Extension: unknown property")
    );
    assert!(
        message(&json!({"Extensions": ["hstor"]})).contains("Did you mean \"hstore\"? [0A000]")
    );
}
