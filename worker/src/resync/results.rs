//! Tells the results topic what became of databases.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::events::{DatabaseResult, Event, State};
use crate::metrics::{Metrics, ResyncState};
use crate::retry::{POLICY, Retry};
use crate::topic::{MAX_BATCH, MAX_BYTES, Topic, TopicError};

/// How long SNS may not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The results topic, if there is one; the log and the metrics know in any case.
#[derive(Debug)]
pub(super) struct Results {
    topic: Option<Topic>,
    metrics: Metrics,
}

impl Results {
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
        };
        self.metrics.resync_databases.inc(state);
        info!(
            server = result.server,
            database = result.database,
            state = result.state.as_str(),
            changes = result.changes.join("; "),
            reason = result.reason,
            "re-synced"
        );
    }

    /// Publishes events, in as few calls as they fit in.
    ///
    /// # Errors
    /// [`TopicError`], where SNS does not take one for a minute.
    pub(super) async fn publish(&self, events: &[Event]) -> Result<(), TopicError> {
        let Some(topic) = &self.topic else {
            return Ok(());
        };
        let mut entries: Vec<_> = events
            .iter()
            .filter_map(|event| Some((serde_json::to_string(event).ok()?, event.attributes())))
            .collect();
        let mut pauses = Retry::new(POLICY, Instant::now() + PATIENCE);
        while !entries.is_empty() {
            let rest = entries.split_off(fitting(&entries));
            let answers = topic.publish_batch(entries.clone()).await;
            let mut failed = None;
            let mut left = Vec::new();
            for (entry, answer) in entries.into_iter().zip(answers) {
                if let Err(error) = answer {
                    failed = Some(error);
                    left.push(entry);
                }
            }
            left.extend(rest);
            entries = left;
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

/// How many of the entries one call takes: one at least, which SNS may refuse.
fn fitting(entries: &[(String, Vec<(&'static str, String)>)]) -> usize {
    let mut bytes = 0;
    let sizes = entries.iter().map(|(text, attributes)| {
        let attributes = attributes
            .iter()
            .map(|(name, value)| name.len() + value.len() + "String".len());
        text.len() + attributes.sum::<usize>()
    });
    let fit = sizes.take(MAX_BATCH).take_while(|size| {
        bytes += size;
        bytes <= MAX_BYTES
    });
    fit.count().max(1).min(entries.len())
}
