//! What a plan came to, once applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a pass came to. The ledger keeps it, and a second delivery of the request is answered from there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatabaseOutcome {
    /// Installed before, with versions.
    pub before: BTreeMap<String, String>,
    /// Installed afterwards, with versions.
    pub after: BTreeMap<String, String>,
    /// The versions of the declared extensions, by the names that the stack wrote.
    pub declared: BTreeMap<String, String>,
    /// What was done, in order; with `DryRun` the statements that would be.
    pub changes: Vec<String>,
    /// What else there is to know: what stayed although it is no longer declared, and what needs more than this.
    pub notes: Vec<String>,
}
