//! Publishes results to the results topic, and counts and logs them.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::task::ServerOfResync;
use crate::aws::sns::{MAX_BATCH, MAX_BYTES, Topic, TopicError};
use crate::metrics::{Metrics, ResyncState};
use crate::process::retry::{POLICY, Retry};
use crate::resync_protocol::event::{DatabaseResult, Event, State};

/// How long SNS may not answer before publishing fails.
const RETRY_BUDGET: Duration = Duration::from_secs(60);

/// The topic of results, if there is one; the log and the metrics get all results.
#[derive(Debug)]
pub(super) struct ResultPublisher {
    topic: Option<Topic>,
    metrics: Metrics,
}

impl ResultPublisher {
    pub(super) fn new(topic: Option<Topic>, metrics: Metrics) -> Self {
        Self { topic, metrics }
    }

    /// Counts and logs a result.
    pub(super) fn note(&self, result: &DatabaseResult) {
        let state = match result.state {
            State::InSync => ResyncState::InSync,
            State::Repaired => ResyncState::Repaired,
            State::Drifted => ResyncState::Drifted,
            State::Failed => ResyncState::Failed,
            State::Unmanaged => ResyncState::Unmanaged,
            State::Ready => ResyncState::Ready,
            State::NeedsSteps => ResyncState::NeedsSteps,
            State::Blocked => ResyncState::Blocked,
        };
        self.metrics.resync_databases.inc(state);
        info!(
            server = result.server,
            database = result.database,
            engine = result.server_version,
            engine_before = result.server_version_before,
            state = result.state.as_str(),
            changes = result.changes.join("; "),
            reason = result.reason,
            "re-synced"
        );
    }

    /// Counts and logs a server or a target that was not processed. Returns its only result, and its end.
    pub(super) fn note_one(
        &self,
        server: ServerOfResync<'_>,
        state: State,
        reason: String,
        since: Instant,
    ) -> [Event; 2] {
        let result = DatabaseResult {
            state,
            ..server.failed(None, reason, since)
        };
        self.note(&result);
        [Event::ResyncResult(result), server.end(1)]
    }

    /// Publishes events in as few calls as possible.
    ///
    /// # Errors
    /// [`TopicError`], if SNS does not accept one within a minute.
    pub(super) async fn publish(&self, events: &[Event]) -> Result<(), TopicError> {
        let Some(topic) = &self.topic else {
            return Ok(());
        };
        let texts = events
            .iter()
            .filter_map(|event| serde_json::to_string(event).ok());
        let mut texts: Vec<_> = texts.collect();
        let mut pauses = Retry::new(POLICY, Instant::now() + RETRY_BUDGET);
        while !texts.is_empty() {
            let rest = texts.split_off(fitting(&texts));
            let answers = topic.publish_batch(&texts).await;
            let mut failed = None;
            let mut left = Vec::new();
            for (text, answer) in texts.into_iter().zip(answers) {
                if let Err(error) = answer {
                    failed = Some(error);
                    left.push(text);
                }
            }
            left.extend(rest);
            texts = left;
            if let Some(error) = failed {
                warn!(error = %error, "results are not published yet");
                if !pauses.pause().await {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// How many of the texts fit in one call: at least one, which SNS may refuse.
fn fitting(texts: &[String]) -> usize {
    let mut bytes = 0;
    let fit = texts.iter().take(MAX_BATCH).take_while(|text| {
        bytes += text.len();
        bytes <= MAX_BYTES
    });
    fit.count().max(1).min(texts.len())
}
