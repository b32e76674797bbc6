//! The types of messages that each topic may bring. Pure.

/// The topics whose messages are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Topics {
    /// Those of stacks' requests; empty: any.
    pub(crate) stacks: Vec<String>,
    /// Those of re-syncs; empty: the same as for stacks.
    pub(crate) resyncs: Vec<String>,
}

/// A message that arrived by a topic for other messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicKindError {
    /// A re-sync.
    #[error(
        "a re-sync arrived by topic {0}, which is not one for re-syncs (WORKER_RESYNC_TOPIC_ARNS)"
    )]
    Resync(String),
    /// A re-sync without its topic's envelope.
    #[error(
        "a re-sync arrived without its topic's envelope: turn raw delivery off (WORKER_RESYNC_TOPIC_ARNS)"
    )]
    RawResync,
    /// A stack's request.
    #[error(
        "a stack's request arrived by topic {0}, which is not one for stacks (WORKER_TOPIC_ARNS)"
    )]
    Request(String),
}

impl Topics {
    /// The topics whose envelopes are accepted; empty: any.
    pub(crate) fn all(&self) -> Vec<String> {
        if self.stacks.is_empty() {
            return Vec::new();
        }
        self.stacks.iter().chain(&self.resyncs).cloned().collect()
    }

    /// Checks that a re-sync may arrive by this topic.
    ///
    /// # Errors
    /// [`TopicKindError`].
    pub(crate) fn check_resync(&self, topic_arn: Option<&str>) -> Result<(), TopicKindError> {
        if self.resyncs.is_empty() {
            return Ok(());
        }
        match topic_arn {
            Some(topic) if self.resyncs.iter().any(|served| served == topic) => Ok(()),
            Some(topic) => Err(TopicKindError::Resync(topic.to_owned())),
            None => Err(TopicKindError::RawResync),
        }
    }

    /// Checks that a stack's request may arrive by this topic; with raw delivery the topic is unknown.
    ///
    /// # Errors
    /// [`TopicKindError`].
    pub(crate) fn check_request(&self, topic_arn: Option<&str>) -> Result<(), TopicKindError> {
        let Some(topic) = topic_arn else {
            return Ok(());
        };
        let is_for_stacks = self.stacks.iter().any(|served| served == topic);
        let is_for_resyncs = self.resyncs.iter().any(|served| served == topic);
        if is_for_stacks || self.stacks.is_empty() && !is_for_resyncs {
            Ok(())
        } else {
            Err(TopicKindError::Request(topic.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(stacks: &[&str], resyncs: &[&str]) -> Topics {
        let owned = |arns: &[&str]| arns.iter().map(|arn| (*arn).to_owned()).collect();
        Topics {
            stacks: owned(stacks),
            resyncs: owned(resyncs),
        }
    }

    #[test]
    fn each_kind_comes_by_its_own_topics() {
        let both = topics(&["s"], &["r"]);
        assert_eq!(both.all(), ["s", "r"]);
        assert_eq!(both.check_request(Some("s")), Ok(()));
        assert_eq!(both.check_resync(Some("r")), Ok(()));
        assert!(both.check_request(Some("r")).is_err());
        assert!(both.check_resync(Some("s")).is_err());
        assert_eq!(both.check_resync(None), Err(TopicKindError::RawResync));
        assert_eq!(both.check_request(None), Ok(()));
    }

    #[test]
    fn without_topics_of_their_own_re_syncs_come_by_any_that_is_served() {
        assert_eq!(topics(&["s"], &[]).check_resync(Some("s")), Ok(()));
        assert_eq!(topics(&[], &[]).check_resync(None), Ok(()));
        let any_stack = topics(&[], &["r"]);
        assert!(any_stack.all().is_empty());
        assert_eq!(any_stack.check_request(Some("s")), Ok(()));
        assert!(any_stack.check_request(Some("r")).is_err());
        assert!(any_stack.check_resync(Some("s")).is_err());
    }
}
