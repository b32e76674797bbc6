//! What `plan` and `apply` print.

use serde_json::{Value, json};

use crate::plan::DatabaseOutcome;
use crate::target::Address;

pub(super) fn as_json(
    address: &Address,
    outcomes: &[(String, DatabaseOutcome)],
    credentials: &str,
) -> String {
    let databases: Vec<Value> = outcomes
        .iter()
        .map(|(database, outcome)| {
            json!({
                "Credentials": credentials,
                "Server": address.to_string(),
                "Database": database,
                "Before": outcome.before,
                "After": outcome.after,
                "Changes": outcome.changes,
                "Notes": outcome.notes,
            })
        })
        .collect();
    format!("{:#}\n", Value::Array(databases))
}

pub(super) fn as_text(
    address: &Address,
    outcomes: &[(String, DatabaseOutcome)],
    dry_run: bool,
) -> String {
    outcomes
        .iter()
        .map(|(database, outcome)| one_as_text(address, database, outcome, dry_run))
        .collect()
}

fn one_as_text(
    address: &Address,
    database: &str,
    outcome: &DatabaseOutcome,
    dry_run: bool,
) -> String {
    let installed: Vec<String> = outcome
        .before
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let mut text = format!(
        "{address}/{database}\n  installed: {}\n",
        installed.join(", ")
    );
    let (verb, end) = if dry_run {
        ("would run: ", ";")
    } else {
        ("", "")
    };
    for change in &outcome.changes {
        text.push_str(&format!("  {verb}{change}{end}\n"));
    }
    if outcome.changes.is_empty() {
        text.push_str("  nothing to do\n");
    }
    for note in &outcome.notes {
        text.push_str(&format!("  {note}\n"));
    }
    text
}
