//! What a request, or a re-sync, committed in a database before its last transaction: the stages of updates that are not
//! possible in one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres_protocol::escape::escape_literal;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ResourceKey;
use super::encoding::keep_all;
use super::sql::write_request;
use crate::extension::{ExtensionName, Version};

/// What was committed so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Installed before the first stage, with versions.
    pub before: BTreeMap<String, String>,
    /// In the order in which they were committed.
    pub stages: Vec<Stage>,
}

/// One update that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The extension.
    pub name: ExtensionName,
    /// The version before.
    pub from: Version,
    /// The version after.
    pub to: Version,
}

/// What one stage writes.
#[derive(Debug)]
pub struct ProgressEntry<'a> {
    /// The resource; of a re-sync [`ResourceKey::resync`].
    pub resource: &'a ResourceKey,
    /// The request, or the re-sync.
    pub request_id: &'a str,
    /// When it was published; a re-sync has no such time.
    pub published_at: Option<DateTime<Utc>>,
    /// All stages up to this one.
    pub progress: &'a Progress,
}

impl ProgressEntry<'_> {
    /// The statements, each with its semicolon. The request is not decided by them.
    pub(crate) fn sql(&self) -> String {
        let requested_at = self.published_at.map_or_else(
            || "now()".to_owned(),
            |published_at| escape_literal(&published_at.to_rfc3339()),
        );
        write_request(
            (
                &self.resource.stack_id,
                &self.resource.logical_resource_id,
                self.request_id,
            ),
            &requested_at,
            &keep_all(&json!({"outcome": null, "response": null, "progress": self.progress})),
        )
    }
}
