//! Reports for the tests.

use extension_worker::cli::resync::html::page;
use serde_json::{Value, json};

use crate::support::Browser;

/// A report of these results, in a browser.
pub(super) async fn shown(results: Vec<Value>) -> Browser {
    Browser::open(&page(&report(results))).await
}

pub(super) fn report(results: Vec<Value>) -> Value {
    json!({
        "ResyncId": "2026-11-22-weekly", "Mode": "Repair", "Complete": true,
        "StartedAt": "2026-11-22T10:00:00Z", "FinishedAt": "2026-11-22T10:03:12Z",
        "Results": results,
    })
}

pub(super) fn result(state: &str, database: &str, extensions: Vec<Value>) -> Value {
    json!({
        "Type": "ResyncResult", "ResyncId": "2026-11-22-weekly", "Mode": "Repair", "State": state,
        "Target": format!("rds/{database}"), "Server": format!("{database}.fleet.example:5432"),
        "Database": database, "ServerVersion": "15.4", "Extensions": extensions,
        "At": "2026-11-22T10:00:03Z", "Milliseconds": 41,
    })
}

pub(super) fn extension(name: &str, state: &str, installed: &str) -> Value {
    let mut extension = json!({
        "Name": name, "State": state, "Installed": installed, "Default": "3.4.0", "Declared": "default",
        "Schema": "public", "Owners": [format!("stack/{name}")],
    });
    if installed.is_empty() {
        extension.as_object_mut().unwrap().remove("Installed");
    }
    extension
}

/// Six databases, with every state of a database and of an extension, and one that was not reached.
pub(super) fn every_state() -> Vec<Value> {
    let mut drifted = result(
        "Drifted",
        "billing",
        vec![
            extension("postgis", "Drifted", "3.2.0"),
            extension("hstore", "InSync", "1.8"),
        ],
    );
    drifted["Reason"] = "postgis is at 3.2.0 and is declared at 3.4.0".into();
    let mut repaired = result(
        "Repaired",
        "catalog",
        vec![extension("postgis", "Repaired", "3.4.0")],
    );
    repaired["Changes"] = json!(["ALTER EXTENSION postgis UPDATE TO '3.4.0'"]);
    repaired["Extensions"][0]["Change"] = "update 3.3.2 -> 3.4.0".into();
    let mut failed = result("Failed", "ledger", vec![extension("pgaudit", "Failed", "")]);
    failed["Reason"] = "permission denied to create extension \"pgaudit\"".into();
    let mut outdated = extension("postgis", "Outdated", "3.3.2");
    outdated["BlocksMajorUpgrade"] = true.into();
    vec![
        result(
            "InSync",
            "orders",
            vec![outdated, extension("hstore", "Absent", "")],
        ),
        drifted,
        repaired,
        failed,
        result(
            "Unmanaged",
            "search",
            vec![extension("hstore", "Unmanaged", "1.8")],
        ),
        json!({
            "Type": "ResyncResult", "State": "Failed", "Target": "rds/secret-without-access",
            "Reason": "cannot read the secret rds/secret-without-access: access denied",
        }),
    ]
}

/// As many databases as wanted, of fifteen extensions each: one in fifty has drifted, one in a hundred was not reached.
pub(super) fn fleet(databases: usize) -> Vec<Value> {
    (0..databases).map(member).collect()
}

fn member(number: usize) -> Value {
    let database = format!(
        "{}_{number}",
        ["orders", "billing", "catalog", "geo"][number % 4]
    );
    if number % 100 == 99 {
        let server = format!("{database}.fleet.example:5432");
        return json!({
            "Type": "ResyncResult", "State": "Failed", "Target": format!("rds/{database}"), "Server": server,
            "Reason": format!("could not connect to {server}: timed out after 10 s"),
        });
    }
    let drifts = number % 50 == 7;
    let extensions = (0..15).map(|which| {
        let state = match (drifts, which, number % 7) {
            (true, 3, _) => "Drifted",
            (_, 5, 3) => "Outdated",
            _ => "InSync",
        };
        let installed = if state == "InSync" { "3.4.0" } else { "3.3.2" };
        extension(&format!("extension_{which}"), state, installed)
    });
    let state = if drifts { "Drifted" } else { "InSync" };
    let mut result = result(state, &database, extensions.collect());
    if drifts {
        result["Reason"] = "extension_3 is at 3.3.2 and is declared at 3.4.0".into();
    }
    result
}
