//! The result of a plan after its steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The result in one database. The ledger stores it, and a repeated delivery of the request gets its response from there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatabaseOutcome {
    /// Installed before, with versions.
    pub before: BTreeMap<String, String>,
    /// Installed afterwards, with versions.
    pub after: BTreeMap<String, String>,
    /// The versions of the declared extensions, by the names in the stack.
    pub declared: BTreeMap<String, String>,
    /// The changes, in order; with `DryRun` the statements that would be run.
    pub changes: Vec<String>,
    /// Notes: extensions that stay although they are no longer declared, and statements that are needed afterwards.
    pub notes: Vec<String>,
}
