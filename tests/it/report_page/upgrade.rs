//! The page of a check before an upgrade.

use extension_worker::cli::resync::html::page;
use serde_json::{Value, json};

use super::fleet::report;
use crate::support::Browser;

fn finding(severity: &str, code: &str, object: &str, reason: &str, remedy: &str) -> Value {
    json!({"Severity": severity, "Code": code, "Object": object, "Reason": reason, "Remedy": remedy})
}

fn result(database: Option<&str>, state: &str, extensions: Value, findings: Vec<Value>) -> Value {
    let mut result = json!({
        "Type": "ResyncResult", "ResyncId": "to-18", "Mode": "UpgradeCheck", "Key": "prod/orders", "State": state,
        "Target": "prod/orders", "Server": "orders.fleet.example:5432", "ServerVersion": "15.18",
        "Extensions": extensions, "Findings": findings,
        "Basis": {"To": 18, "IsRead": true, "Source": "the server staging.example:5432, which has PostgreSQL 18.6"},
        "At": "2026-11-22T10:00:03Z", "Milliseconds": 41,
    });
    if let Some(database) = database {
        result["Database"] = database.into();
    }
    result
}

fn extension(name: &str, state: &str, installed: &str, default: &str) -> Value {
    json!({"Name": name, "State": state, "Installed": installed, "Default": default})
}

/// A server with a transaction left over, and three of its databases.
fn a_server() -> Vec<Value> {
    let statistics = finding(
        "StepAfter",
        "Statistics",
        "pg_statistic",
        "pg_upgrade keeps the statistics of tables from version 18 on, but not extended statistics: ANALYZE collects these again.",
        "ANALYZE",
    );
    let prepared = finding(
        "Blocks",
        "PreparedTransaction",
        "left over",
        "the transaction is prepared in database orders, and neither committed nor rolled back.",
        "COMMIT PREPARED 'left over'; -- or ROLLBACK PREPARED 'left over'",
    );
    let cron = finding(
        "Blocks",
        "NotOffered",
        "pg_cron",
        "version 18 of PostgreSQL does not offer it (the server staging.example:5432): the upgrade fails where its library is missing.",
        "DROP EXTENSION \"pg_cron\"",
    );
    let postgis = finding(
        "StepBefore",
        "PostgisTooOld",
        "postgis",
        "version 3.3.2 is older than 3.4.0, which version 15 of PostgreSQL offers: PostGIS and its extensions are updated before the upgrade.",
        "ALTER EXTENSION \"postgis\" UPDATE",
    );
    let citext = finding(
        "StepAfter",
        "UpdateAfter",
        "citext",
        "the upgrade leaves the extension at 1.6: the target updates it to 1.8.",
        "ALTER EXTENSION \"citext\" UPDATE",
    );
    vec![
        result(None, "Blocked", json!([]), vec![prepared, statistics]),
        result(
            Some("orders"),
            "Blocked",
            json!([
                extension("pg_cron", "Blocked", "1.4-1", "1.6"),
                extension("citext", "Outdated", "1.6", "1.8"),
                extension("plpgsql", "Ready", "1.0", "1.0")
            ]),
            vec![cron, citext.clone()],
        ),
        result(
            Some("places"),
            "NeedsSteps",
            json!([
                extension("postgis", "NeedsSteps", "3.3.2", "3.5.0"),
                extension("citext", "Outdated", "1.6", "1.8")
            ]),
            vec![postgis, citext],
        ),
        result(
            Some("tiny"),
            "Ready",
            json!([extension("plpgsql", "Ready", "1.0", "1.0")]),
            vec![],
        ),
    ]
}

#[tokio::test]
async fn a_check_shows_what_blocks_first_and_what_mends_it() {
    let mut report = report(a_server());
    report["Mode"] = "UpgradeCheck".into();
    let browser = Browser::open(&page(&report)).await;
    assert_eq!(
        browser.text("h1").await,
        "Upgrade to PostgreSQL 18 2026-11-22-weekly"
    );
    let summary = browser.text("#summary").await;
    assert!(
        summary
            .starts_with("3 databases · 1 server · 4 extensions · check only: nothing was changed"),
        "{summary}"
    );
    assert_eq!(
        browser.text("#basis").await,
        "What PostgreSQL 18 offers is read from the server staging.example:5432, which has PostgreSQL 18.6."
    );
    assert_eq!(
        browser.texts("#database-states button").await,
        ["✕blocked 2", "!needs steps 1", "✓ready 1"]
    );
    assert_eq!(
        browser.texts("#extension-states button").await,
        [
            "✕blocked 1",
            "!needs steps 1",
            "↑update after 2",
            "✓ready 2"
        ]
    );
    let reasons = browser.texts("#reasons button").await;
    let heads: Vec<String> = reasons
        .iter()
        .map(|line| line.split(':').next().unwrap().replace('\n', " "))
        .collect();
    assert_eq!(
        heads,
        [
            "1✕ blocks the upgrade",
            "1✕ blocks the upgrade",
            "1! step before",
            "2↑ step after",
            "1↑ step after"
        ]
    );
    let rows = browser
        .eval("[...document.querySelectorAll('#matrix tbody tr')].map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent))")
        .await;
    let expected = json!([
        ["orders", "✕blocked", "1 block, 1 after"],
        ["prod/orders", "✕blocked", "1 block, 1 after"],
        ["places", "!needs steps", "1 before, 1 after"],
        ["tiny", "✓ready", "–"],
    ]);
    let rows: Vec<Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row[0] != "")
        .cloned()
        .collect();
    assert_eq!(json!(rows), expected);
    browser.picture("upgrade-check").await;

    let first = browser.find("#matrix tbody th button").await;
    first.click().await.unwrap();
    let found = browser.texts("#details .finding").await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("blocks the upgrade: pg_cron NotOffered"),
        "{}",
        found[0]
    );
    assert!(
        found[0].ends_with("DROP EXTENSION \"pg_cron\""),
        "{}",
        found[0]
    );
    browser.picture("upgrade-check-details").await;
}
