//! `plan` and `apply`: one request made on the command line, carried out as the worker carries out a stack's.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use chrono::Utc;
use serde_json::{Value, json};

use crate::message::Properties;
use crate::plan::{PassOutcome, ResourceKey};
use crate::server::Address;
use crate::settings::ByHandSettings;
use crate::trouble::Trouble;
use crate::work::{AttemptEnd, Progress, Work, Worker};

/// Stands where a stack's ARN stands for a stack.
const STACK: &str = "command-line";

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum ByHandError {
    /// The file cannot be read.
    #[error("cannot read {0}")]
    File(String, #[source] io::Error),
    /// The file is not JSON, or not an object.
    #[error("{0} is not a JSON object of properties, as a template has them")]
    NotProperties(String, #[source] Option<serde_json::Error>),
    /// A property is wrong, or what it asks for cannot be had. The Reason.
    #[error("{0}")]
    Reason(String),
    /// The result cannot be written.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
}

/// Carries out what a file declares; with `dry_run` says what that would be. The result goes to standard output.
///
/// # Errors
/// [`ByHandError`].
pub async fn carry_out(
    settings: &ByHandSettings,
    worker: &Worker,
    dry_run: bool,
) -> Result<(), ByHandError> {
    let declared = read(settings)?;
    let mut properties =
        Properties::parse(&declared).map_err(|invalid| ByHandError::Reason(invalid.to_string()))?;
    properties.dry_run |= dry_run;
    let now = Utc::now();
    let resource = ResourceKey {
        stack_id: STACK.to_owned(),
        logical_resource_id: settings.owner.clone(),
    };
    let progress = Progress::default();
    let work = Work {
        resource: &resource,
        physical_resource_id: None,
        properties: &properties,
        old: None,
        declared: &declared,
        request_type: "Update",
        request_id: &now.timestamp_micros().to_string(),
        published_at: now,
        deleted: false,
        until: Instant::now() + settings.timeout_seconds,
        coordinates: None,
        progress: &progress,
    };
    let end = tokio::time::timeout_at(work.until.into(), worker.attempt(&work))
        .await
        .unwrap_or_else(|_| Err(Trouble::out_of_time(progress.waited_for().as_deref())))
        .map_err(|trouble| ByHandError::Reason(trouble.in_full().to_owned()))?;
    let text = match &end {
        AttemptEnd::Done(address, outcomes) if settings.json => as_json(address, outcomes),
        AttemptEnd::Done(address, outcomes) => as_text(address, outcomes, properties.dry_run),
        // Nobody is answered: there are no coordinates.
        AttemptEnd::Answered(_) => String::new(),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(ByHandError::Output)
}

/// The properties, with the secret of the command line.
fn read(settings: &ByHandSettings) -> Result<Value, ByHandError> {
    let file = &settings.properties;
    let unreadable = |error| ByHandError::File(file.clone(), error);
    let text = if file == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(unreadable)?;
        text
    } else {
        std::fs::read_to_string(file).map_err(unreadable)?
    };
    let mut properties: Value = serde_json::from_str(&text)
        .map_err(|error| ByHandError::NotProperties(file.clone(), Some(error)))?;
    let object = properties
        .as_object_mut()
        .ok_or_else(|| ByHandError::NotProperties(file.clone(), None))?;
    let secret = settings
        .secret
        .as_deref()
        .or(settings.url.as_ref().map(|_| "--url"));
    if let Some(secret) = secret {
        object.insert("DBSecret".to_owned(), json!(secret));
    }
    Ok(properties)
}

fn as_json(address: &Address, outcomes: &[(String, PassOutcome)]) -> String {
    let databases: Vec<Value> = outcomes
        .iter()
        .map(|(database, outcome)| {
            json!({
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

fn as_text(address: &Address, outcomes: &[(String, PassOutcome)], dry_run: bool) -> String {
    outcomes
        .iter()
        .map(|(database, outcome)| one_as_text(address, database, outcome, dry_run))
        .collect()
}

fn one_as_text(address: &Address, database: &str, outcome: &PassOutcome, dry_run: bool) -> String {
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
