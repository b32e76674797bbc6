//! `resync`: asks the workers for a re-sync of a fleet's databases, and collects their results.
//!
//! The order matters: a subscription that is made after the message was published misses the first results. Whatever
//! happens from then on, the temporary queue and its subscription are removed before anything is printed.

mod csv;
mod findings;
pub mod html;
mod progress;
mod reasons;
mod report;
mod request;
mod subscription;
mod table;
#[cfg(test)]
mod tests;
mod tracker;
mod wait;

use std::fs::OpenOptions;
use std::io::{self, Write as _};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use self::html::page;
use self::progress::print_line;
use self::report::Report;
pub(crate) use self::report::Verdict;
pub(crate) use self::request::CommandError;
pub use self::request::CommandSettings;
use self::request::Files;
use self::subscription::Subscription;
pub(crate) use self::subscription::SubscriptionError;
use super::input;
use crate::aws::sns::{Topic, TopicError};
use crate::aws::sqs::QueueError;
use crate::config::FollowSettings;
use crate::process::error_chain::with_causes;
use crate::resync_protocol::event::{Mode, RESYNC_ID};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum ResyncCommandError {
    /// The arguments are wrong.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The file of targets cannot be read.
    #[error("--targets: cannot read {0}")]
    File(String, #[source] io::Error),
    /// The file of an offer cannot be read.
    #[error("--offer: cannot read {0}")]
    OfferFile(String, #[source] io::Error),
    /// The page cannot be written.
    #[error("--html: cannot write {0}")]
    Html(String, #[source] io::Error),
    /// Results cannot be received.
    #[error("cannot listen for results")]
    Subscription(#[source] SubscriptionError),
    /// It was interrupted.
    #[error("interrupted before the re-sync was published: nothing was changed")]
    Stopped,
    /// It is not sure whether the workers will do anything.
    #[error("could not publish the re-sync {0} to {1}")]
    Publish(String, String, #[source] TopicError),
    /// Results cannot be received. The workers go on.
    #[error("could not receive the results of the re-sync {0}, which continues")]
    Receive(String, #[source] QueueError),
    /// The report makes no JSON.
    #[error("cannot write the report as JSON")]
    Json(#[source] serde_json::Error),
    /// The result cannot be written.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
}

/// The command, before its message is published.
#[derive(Debug)]
pub struct ResyncCommand<'a> {
    settings: &'a FollowSettings,
    mode: Mode,
    started_at: DateTime<Utc>,
    id: String,
    message: String,
}

impl<'a> ResyncCommand<'a> {
    /// Reads the files that the command line names, and makes the message.
    ///
    /// # Errors
    /// [`ResyncCommandError`].
    pub fn read(command: CommandSettings<'a>) -> Result<Self, ResyncCommandError> {
        let started_at = Utc::now();
        let (settings, targets, offer) = match command {
            CommandSettings::Resync(settings) => (&settings.follow, &settings.targets, None),
            CommandSettings::UpgradeCheck(settings) => (
                &settings.follow,
                &settings.targets,
                settings.offer.as_deref(),
            ),
        };
        let given = settings.id.clone();
        let id = given.unwrap_or_else(|| request::id_at(started_at, fastrand::u16(..)));
        let targets = targets.targets.as_deref().map(|file| {
            input::read(file).map_err(|error| ResyncCommandError::File(file.to_owned(), error))
        });
        let offer = offer.map(|file| {
            input::read(file).map_err(|error| ResyncCommandError::OfferFile(file.to_owned(), error))
        });
        let (targets, offer) = (targets.transpose()?, offer.transpose()?);
        let files = Files {
            targets: targets.as_deref(),
            offer: offer.as_deref(),
        };
        let message = request::message(command, files, &id)?;
        Ok(Self {
            settings,
            mode: command.mode(),
            started_at,
            id,
            message,
        })
    }
}

/// Asks for a re-sync, and with `--wait` follows it to its end. The result goes to standard output, all else to standard
/// error.
///
/// # Errors
/// [`ResyncCommandError`].
pub async fn resync(
    command: ResyncCommand<'_>,
    config: &aws_config::SdkConfig,
    stop: &CancellationToken,
) -> Result<Verdict, ResyncCommandError> {
    let ResyncCommand {
        settings,
        mode,
        started_at,
        id,
        message,
    } = command;
    let topic = Topic::new(config, settings.topic.clone());
    let results = settings.results_topic.as_ref().filter(|_| settings.wait);
    let Some(results) = results else {
        publish(&topic, &id, &message).await?;
        write(&format!("{id}\n"))?;
        return Ok(Verdict::Fine);
    };
    if let Some(path) = &settings.html {
        // It is found out before the wait.
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|error| ResyncCommandError::Html(path.clone(), error))?;
    }
    let results = Topic::new(config, results.clone());
    let filter = (RESYNC_ID, id.as_str());
    let subscription = Subscription::make(config, results, filter, fastrand::u16(..))
        .await
        .map_err(ResyncCommandError::Subscription)?;
    let tracked = async {
        if stop.is_cancelled() {
            return Err(ResyncCommandError::Stopped);
        }
        publish(&topic, &id, &message).await?;
        print_line(&format!("re-sync {id}"));
        wait::follow(&subscription, &id, settings.timeout_seconds, stop).await
    };
    let tracked = tracked.await;
    if let Err(error) = subscription.remove().await {
        print_line(&format!("warning: {}", with_causes(&error)));
    }
    let tracker = tracked?;
    let complete = tracker.is_complete();
    let missing = tracker.missing();
    let report = Report {
        resync_id: id,
        mode,
        started_at,
        finished_at: Utc::now(),
        complete,
        results: tracker.into_results(),
    };
    print_report(settings, &report)?;
    if !complete {
        let why = if stop.is_cancelled() {
            "interrupted"
        } else {
            "time is up (--timeout-seconds)"
        };
        print_line(&format!(
            "incomplete: {why}; the workers go on. Missing:\n  {}",
            missing.join("\n  ")
        ));
    }
    Ok(report.verdict())
}

async fn publish(topic: &Topic, id: &str, message: &str) -> Result<(), ResyncCommandError> {
    let published = topic.publish(message).await;
    published
        .map_err(|error| ResyncCommandError::Publish(id.to_owned(), topic.arn().to_owned(), error))
}

fn print_report(settings: &FollowSettings, report: &Report) -> Result<(), ResyncCommandError> {
    let whole = serde_json::to_value(report).map_err(ResyncCommandError::Json)?;
    if settings.json {
        write(&format!("{whole:#}\n"))?;
    } else if settings.csv {
        write(&match report.mode {
            Mode::UpgradeCheck => findings::csv(&report.results),
            Mode::Report | Mode::Repair => csv::csv(&report.results),
        })?;
    } else {
        write(&table::text(report))?;
    }
    if let Some(path) = &settings.html {
        let written = std::fs::write(path, page(&whole));
        written.map_err(|error| ResyncCommandError::Html(path.clone(), error))?;
    }
    Ok(())
}

fn write(text: &str) -> Result<(), ResyncCommandError> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(ResyncCommandError::Output)
}
