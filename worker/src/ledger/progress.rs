//! What a request, or a re-sync, committed in a database before its last transaction: the stages of updates that are not
//! possible in one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ResourceKey;
use super::write::{NOW, Write, write_request};
use crate::extension::{ExtensionName, Version};

/// What was committed so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Installed before the first stage, with versions.
    pub(crate) before: BTreeMap<String, String>,
    /// In the order in which they were committed.
    pub(crate) stages: Vec<Stage>,
}

/// One update that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// The extension.
    pub(crate) name: ExtensionName,
    /// The version before.
    pub(crate) from: Version,
    /// The version after.
    pub(crate) to: Version,
}

/// What one stage writes.
#[derive(Debug)]
pub(crate) struct ProgressEntry<'a> {
    /// The resource; of a re-sync [`ResourceKey::resync`].
    pub(crate) resource: &'a ResourceKey,
    /// The request, or the re-sync.
    pub(crate) request_id: &'a str,
    /// When it was published; a re-sync has no such time.
    pub(crate) published_at: Option<DateTime<Utc>>,
    /// All stages up to this one.
    pub(crate) progress: &'a Progress,
}

impl ProgressEntry<'_> {
    /// The statements. The request is not decided by them.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let published_at = self.published_at.as_ref().map(DateTime::to_rfc3339);
        vec![write_request(
            (
                &self.resource.stack_id,
                &self.resource.logical_resource_id,
                self.request_id,
            ),
            published_at.as_deref().unwrap_or(NOW),
            &json!({"outcome": null, "response": null, "progress": self.progress}),
        )]
    }
}
