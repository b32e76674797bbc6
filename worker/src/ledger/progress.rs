//! The stages that a request or a re-sync committed in a database before its last transaction, for updates that are not
//! possible in one transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ResourceKey;
use super::write::{NOW, Write, write_request};
use crate::extension::{ExtensionName, Version};

/// The stages that were committed so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The extensions that were installed before the first stage, with versions.
    pub(crate) before: BTreeMap<String, String>,
    /// The updates, in the order in which they were committed.
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

/// The row that one stage writes.
#[derive(Debug)]
pub(crate) struct ProgressEntry<'a> {
    /// The resource; for a re-sync [`ResourceKey::resync`].
    pub(crate) resource: &'a ResourceKey,
    /// The request, or the re-sync.
    pub(crate) request_id: &'a str,
    /// When it was published; `None` for a re-sync.
    pub(crate) published_at: Option<DateTime<Utc>>,
    /// All stages up to this one.
    pub(crate) progress: &'a Progress,
}

impl ProgressEntry<'_> {
    /// The statements. They record no result of the request.
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
