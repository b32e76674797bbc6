//! `plan` and `apply`: one request made on the command line, carried out as the worker carries out a stack's.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};
use tracing::warn;

use crate::fault::Class;
use crate::message::{Properties, read_with_numbers_as_text};
use crate::patience::{Attempts, Next, RACE_PAUSE, full_jitter};
use crate::plan::{PassOutcome, ResourceKey};
use crate::retry::{POLICY, Retry};
use crate::server::Address;
use crate::settings::ByHandSettings;
use crate::trouble::Trouble;
use crate::work::{AttemptEnd, Progress, Work, Worker};

/// Stands where a stack's ARN stands for a stack.
const STACK: &str = "command-line";

/// How long a secret's password that is refused may still turn out right, as in a worker by default.
const ROTATION_TIME: Duration = Duration::from_secs(90);

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
    let end = run_with_retries(worker, &work, settings.url.is_some())
        .await
        .map_err(|trouble| ByHandError::Reason(trouble.reason))?;
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

/// Attempts until one succeeds, fails for good, or time is up: what may pass is waited for as in a worker. A password of
/// the command line's own stays as it is, and one of a secret may be in the middle of its rotation.
async fn run_with_retries(
    worker: &Worker,
    work: &Work<'_>,
    has_own_password: bool,
) -> Result<AttemptEnd, Trouble> {
    let started = Instant::now();
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, work.until);
    loop {
        let attempt = tokio::time::timeout_at(work.until.into(), worker.attempt(work)).await;
        let Ok(attempt) = attempt else {
            return Err(attempts.into_trouble(work.progress.waited_for()));
        };
        let trouble = match attempt {
            Ok(end) => return Ok(end),
            Err(trouble) => trouble,
        };
        let is_refused = trouble.class == Class::Credentials
            && (has_own_password || started.elapsed() >= ROTATION_TIME);
        let reason = trouble.reason.clone();
        let may_help = attempts.note(trouble, None) == Next::Again && !is_refused;
        let is_overtaken = may_help && attempts.is_in_a_race();
        if is_overtaken {
            tokio::time::sleep(full_jitter(RACE_PAUSE)).await;
        }
        if !may_help || !is_overtaken && !pauses.pause().await {
            return Err(attempts.into_trouble(None));
        }
        warn!(reason, "the attempt failed, and is made again");
    }
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
    let mut properties = read_with_numbers_as_text(&text)
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
