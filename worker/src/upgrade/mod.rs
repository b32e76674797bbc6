//! The check before an upgrade to another major version: from the facts of a server and its databases, and the offer of the
//! target, to findings. Pure.
//!
//! The checks of a database's objects are those of pg_upgrade for the old cluster, in `src/bin/pg_upgrade/check.c` of
//! PostgreSQL 13 to 18. The further checks of RDS are in "How to perform a major version upgrade for RDS for PostgreSQL" of
//! the RDS User Guide.

mod extensions;
mod facts;
mod known;
mod objects;
mod server;
mod stranded;
#[cfg(test)]
mod tests;

pub(crate) use extensions::{wants_declarations, wants_updates};
pub(crate) use facts::{DatabaseFacts, DatabaseLook, ExtensionFacts, OldUpdates, ServerFacts};
pub(crate) use objects::refused_types;

use std::collections::BTreeMap;

use crate::request::text::printable;
use crate::resync_protocol::event::State;
use crate::resync_protocol::{Basis, Finding, Severity, TargetOffer};

/// Maximum number of listed findings of one code; one more finding says that there are others.
pub(crate) const MAX_LISTED: usize = 20;

/// Maximum length of a name, reason or statement, as an event has to fit in a message.
const MAX_CHARACTERS: usize = 600;

/// An upgrade, with the offer of its target.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade {
    /// The major version of the server.
    pub(crate) from: u16,
    /// The major version after the upgrade.
    pub(crate) to: u16,
    /// Whether the server is one of RDS, which checks more than pg_upgrade.
    pub(crate) is_rds: bool,
    /// The offer of the target, if it was read.
    pub(crate) offer: Option<TargetOffer>,
    /// Where the offer was read.
    pub(crate) source: String,
    /// The default versions of the server's own extensions, if they could be read.
    pub(crate) defaults: Option<BTreeMap<String, String>>,
}

impl Upgrade {
    /// The source of the findings about extensions.
    pub(crate) fn basis(&self) -> Basis {
        Basis {
            to: self.to,
            is_read: self.offer.is_some(),
            source: printable(&self.source, MAX_CHARACTERS),
        }
    }

    /// Whether the upgrade leads to a newer version, so that there is something to check.
    pub(crate) fn is_one(&self) -> bool {
        self.from < self.to
    }

    /// Whether the upgrade passes a version that removed or changed something.
    fn crosses(&self, version: u16) -> bool {
        self.from < version && version <= self.to
    }
}

/// The source, if it is the worker's own table.
pub(crate) fn known_source() -> String {
    known::source()
}

/// Findings about the server as a whole.
pub(crate) fn check_server(facts: &ServerFacts, upgrade: &Upgrade) -> Vec<Finding> {
    if !upgrade.is_one() {
        let reason = format!("the server has PostgreSQL {} already.", upgrade.from);
        return vec![finding(
            Severity::Note,
            "NoUpgrade",
            &upgrade.to.to_string(),
            reason,
            None,
        )];
    }
    in_order(server::findings(facts, upgrade))
}

/// The facts of a database, if the short query has read all of them.
pub(crate) fn facts_of_look(look: DatabaseLook, upgrade: &Upgrade) -> Option<DatabaseFacts> {
    // The findings about these extensions depend on their libraries.
    let is_left_behind = |extension: &ExtensionFacts| {
        extensions::is_not_offered(extension, upgrade)
            || extensions::is_stranded(extension, upgrade)
    };
    if look.may_have_more || look.extensions.iter().any(is_left_behind) {
        return None;
    }
    Some(DatabaseFacts {
        extensions: look.extensions,
        ..DatabaseFacts::default()
    })
}

/// Findings about one database. `updates` are the versions to which the old server can update the extensions that
/// [`wants_updates`] names.
pub(crate) fn check_database(
    facts: &DatabaseFacts,
    upgrade: &Upgrade,
    updates: &OldUpdates,
) -> Vec<Finding> {
    if !upgrade.is_one() {
        return Vec::new();
    }
    let mut findings = extensions::findings(facts, upgrade, updates);
    findings.extend(objects::findings(facts, upgrade));
    in_order(findings)
}

/// The state of a database or server with these findings.
pub(crate) fn state(findings: &[Finding]) -> State {
    match findings.iter().map(|finding| finding.severity).min() {
        Some(Severity::Blocks) => State::Blocked,
        Some(Severity::StepBefore) => State::NeedsSteps,
        Some(Severity::StepAfter | Severity::Note) | None => State::Ready,
    }
}

fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn finding(
    severity: Severity,
    code: &str,
    object: &str,
    reason: String,
    remedy: Option<String>,
) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        object: printable(object, MAX_CHARACTERS),
        reason: printable(&reason, MAX_CHARACTERS),
        // A statement that is cut, or whose names cannot be printed, is left out.
        remedy: remedy.filter(|remedy| printable(remedy, MAX_CHARACTERS) == *remedy),
    }
}

/// A finding for each object, up to [`MAX_LISTED`].
fn listed<T>(found: &[T], of: impl Fn(&T) -> Finding) -> Vec<Finding> {
    let mut findings: Vec<Finding> = found.iter().take(MAX_LISTED).map(of).collect();
    if found.len() > MAX_LISTED
        && let Some(last) = findings.last()
    {
        let more = Finding {
            object: "…".to_owned(),
            reason: format!("There are more than {MAX_LISTED} of this kind."),
            remedy: None,
            ..last.clone()
        };
        findings.push(more);
    }
    findings
}
