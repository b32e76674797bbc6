//! `plan` and `apply`: one request made on the command line, carried out as the worker carries out a stack's.

mod output;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Map, Value, json};
use tracing::warn;

use self::output::{as_json, as_text};
use super::input;
use crate::config::{Credentials, DatabaseUrl, LocalSettings};
use crate::execution::error::AttemptError;
use crate::execution::retry_loop::{Attempts, RetryLimits, Retryable, run_with_retries};
use crate::execution::{AttemptOutcome, DeliveryState, ExecutionRequest, Executor};
use crate::ledger::{ResourceKey, ResourceRequest};
use crate::request::{Properties, read_with_numbers_as_text};
use crate::response::reason;

/// In the place of a stack's ARN.
const STACK: &str = "command-line";

/// How long a secret's password that is refused may still turn out right, as in a worker by default.
const ROTATION_TIME: Duration = Duration::from_secs(90);

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The file cannot be read.
    #[error("cannot read {0}")]
    File(String, #[source] io::Error),
    /// The file is not JSON, or not an object.
    #[error("{0} is not a JSON object of properties, as a template has them")]
    NotProperties(String, #[source] Option<serde_json::Error>),
    /// The URL is wrong. Not quoted.
    #[error("{0}")]
    Url(String),
    /// A property is wrong. The Reason.
    #[error("{0}")]
    Reason(String),
    /// What is declared cannot be had.
    #[error("{reason}\ncredentials: {credentials}")]
    Failed {
        /// The Reason.
        reason: String,
        /// Whose were used.
        credentials: String,
    },
    /// The result cannot be written.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
}

impl LocalError {
    /// With what the process ends: a setting that is wrong is wrong usage.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_) => 2,
            Self::File(..)
            | Self::NotProperties(..)
            | Self::Reason(_)
            | Self::Failed { .. }
            | Self::Output(_) => 1,
        }
    }
}

/// What a file declares, and whose credentials are used.
#[derive(Debug)]
pub struct LocalCommand {
    declared: Value,
    properties: Properties,
    url: Option<Box<DatabaseUrl>>,
    /// Where the credentials come from, for the output.
    credentials: String,
}

impl LocalCommand {
    /// Reads the file.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn read(settings: &LocalSettings) -> Result<Self, LocalError> {
        let mut fields = object(&settings.properties)?;
        let is_given =
            |value: &Value| !value.is_null() && value.as_str().is_none_or(|text| !text.is_empty());
        let file_has_secret = fields.get("DBSecret").is_some_and(is_given);
        let credentials = settings
            .credentials(file_has_secret)
            .map_err(LocalError::Url)?;
        let (url, credentials) = match credentials {
            Credentials::Secret(secret) => {
                fields.insert("DBSecret".to_owned(), json!(secret));
                (None, format!("secret \"{secret}\" (--secret)"))
            }
            Credentials::Url(url) => {
                fields.insert("DBSecret".to_owned(), json!("--url"));
                if settings.flags.url {
                    override_target(&mut fields, &url);
                    (Some(url), "--url".to_owned())
                } else {
                    (Some(url), "DATABASE_URL".to_owned())
                }
            }
            Credentials::File => (None, String::new()),
        };
        let declared = Value::Object(fields);
        let properties = Properties::parse(&declared)
            .map_err(|invalid| LocalError::Reason(reason::of_properties_error(&invalid)))?;
        let credentials = match credentials.is_empty() {
            true => format!("secret \"{}\" (DBSecret of the file)", properties.db_secret),
            false => credentials,
        };
        Ok(Self {
            declared,
            properties,
            url,
            credentials,
        })
    }

    /// The URL, where its credentials are used.
    pub fn url(&self) -> Option<&DatabaseUrl> {
        self.url.as_deref()
    }
}

/// A flag goes before the file: of what the URL says, the file says nothing else.
fn override_target(fields: &mut Map<String, Value>, url: &DatabaseUrl) {
    for (field, is_said) in [
        ("DBHost", url.secret.host.is_some()),
        (
            "DBPort",
            url.secret.host.is_some() || url.secret.port.is_some(),
        ),
        ("DBName", url.secret.dbname.is_some()),
    ] {
        if is_said {
            fields.remove(field);
        }
    }
}

/// Carries out what a file declares; with `dry_run` says what that would be. The result goes to standard output.
///
/// # Errors
/// [`LocalError`].
pub async fn run(
    settings: &LocalSettings,
    command: &LocalCommand,
    executor: &Executor,
    dry_run: bool,
) -> Result<(), LocalError> {
    let mut properties = command.properties.clone();
    properties.dry_run |= dry_run;
    let now = Utc::now();
    let resource = ResourceKey {
        stack_id: STACK.to_owned(),
        logical_resource_id: settings.owner.clone(),
    };
    let state = DeliveryState::default();
    let recorded = ResourceRequest {
        resource: &resource,
        declared: &command.declared,
        request_type: "Update",
        request_id: &now.timestamp_micros().to_string(),
        published_at: now,
    };
    let request = ExecutionRequest {
        request: &recorded,
        physical_resource_id: None,
        properties: &properties,
        old: None,
        deleted: false,
        until: Instant::now() + settings.timeout_seconds,
        header: None,
        state: &state,
    };
    let work = LocalRequest {
        executor,
        execution: &request,
    };
    let started = Instant::now();
    let limits = RetryLimits {
        attempt_until: Some(request.until),
        // A password of the command line's own stays as it is, and one of a secret may be in the middle of its rotation.
        refused_until: Some(match settings.url {
            Some(_) => started,
            None => started + ROTATION_TIME,
        }),
        ..RetryLimits::until(request.until)
    };
    let mut attempts = Attempts::default();
    let end = match run_with_retries(&work, limits, &mut attempts).await {
        Ok(end) => end,
        Err(_) => {
            return Err(LocalError::Failed {
                reason: attempts.into_error(state.waiting_for()).full_reason(),
                credentials: command.credentials.clone(),
            });
        }
    };
    let text = match &end {
        AttemptOutcome::Done(address, outcomes) if settings.json => {
            as_json(address, outcomes, &command.credentials)
        }
        AttemptOutcome::Done(address, outcomes) => format!(
            "credentials: {}\n{}",
            command.credentials,
            as_text(address, outcomes, properties.dry_run)
        ),
        // There is no header: no response is made.
        AttemptOutcome::Answered(_) => String::new(),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(LocalError::Output)
}

/// The request of the command line.
struct LocalRequest<'a> {
    executor: &'a Executor,
    execution: &'a ExecutionRequest<'a>,
}

impl Retryable for LocalRequest<'_> {
    type Outcome = AttemptOutcome;

    async fn attempt(&self) -> Result<AttemptOutcome, AttemptError> {
        self.executor.attempt(self.execution).await
    }

    fn note_retry(&self, last: &AttemptError) {
        warn!(
            reason = last.reason(),
            "the attempt failed, and is made again"
        );
    }
}

/// The properties as the file has them.
fn object(file: &str) -> Result<Map<String, Value>, LocalError> {
    let text = input::read(file).map_err(|error| LocalError::File(file.to_owned(), error))?;
    let properties = read_with_numbers_as_text(&text)
        .map_err(|error| LocalError::NotProperties(file.to_owned(), Some(error)))?;
    match properties {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(LocalError::NotProperties(file.to_owned(), None))
        }
    }
}
