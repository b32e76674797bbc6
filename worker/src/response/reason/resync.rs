//! Why a target, a server or a database of a re-sync is not as declared: the `Reason` of a result.

use std::collections::BTreeSet;
use std::error::Error;

use crate::ledger::ResourceKey;
use crate::plan::{Part, Step};
use crate::request::PropertiesError;

/// The Reason of a database's result; `None` if there is nothing to report.
pub(crate) fn of_findings<'a>(
    faults: impl Iterator<Item = &'a str>,
    unwanted: &BTreeSet<String>,
    warnings: &[String],
) -> Option<String> {
    let unwanted = unwanted.iter().map(|name| {
        format!("{name} is declared absent, and is installed: a re-sync drops no extension.")
    });
    let warnings = warnings.iter().map(|warning| format!("{warning}."));
    let reasons: Vec<String> = faults
        .map(str::to_owned)
        .chain(unwanted)
        .chain(warnings)
        .collect();
    (!reasons.is_empty()).then(|| reasons.join(" "))
}

/// A declaration in the ledger cannot be parsed.
pub(crate) fn of_unreadable_declaration(resource: &ResourceKey, error: &PropertiesError) -> String {
    format!("{resource}: {error}.")
}

/// Two resources declare an extension differently.
pub(crate) fn of_dispute(name: &str, declarer: &ResourceKey, step: &Step) -> String {
    format!(
        "{name} is not as {declarer} declares it, because another resource declares it differently. Missing: {}.",
        step.sql()
    )
}

/// A server of a Blue/Green deployment, which is not repaired.
pub(crate) fn of_blue_green(part: &Part) -> String {
    format!(
        "the server is {part}: nothing is repaired until the deployment is switched over or deleted"
    )
}

/// A database that was not tried, because others of its server could not be reached.
pub(crate) fn of_unanswering_server() -> String {
    "the server does not answer; this database was not tried.".to_owned()
}

/// A server whose message was sent this often, because no worker had a free permit.
pub(crate) fn of_no_room(hops: u32) -> String {
    format!("no worker had a free permit for the server, after its message was sent {hops} times.")
}

/// No secret matches the target.
pub(crate) fn of_no_secret_found() -> String {
    "no secret with a host matches this target.".to_owned()
}

/// Secrets Manager refuses to list secrets.
pub(crate) fn of_forbidden_secret_list(code: &str) -> String {
    format!(
        "the worker's task role may not list secrets ({code}). Allow secretsmanager:ListSecrets."
    )
}

/// Secrets Manager cannot list the secrets of the target.
pub(crate) fn of_secret_list(error: &dyn Error) -> String {
    format!("{error}.")
}

/// No instance or cluster matches the target.
pub(crate) fn of_no_instance_found() -> String {
    "no PostgreSQL instance or cluster matches this target.".to_owned()
}

/// No instance or cluster has the name of the target.
pub(crate) fn of_no_such_instance() -> String {
    "no instance or cluster of this region and account has this identifier.".to_owned()
}

/// An instance of another engine.
pub(crate) fn of_other_engine(engine: &str) -> String {
    format!("its engine is {engine}.")
}

/// An instance or cluster that is a replica.
pub(crate) fn of_replica() -> String {
    "it is a replica: extensions are replicated from its source.".to_owned()
}

/// RDS refuses to list instances and clusters.
pub(crate) fn of_forbidden_instance_list(call: &str, code: &str) -> String {
    format!(
        "the worker's task role may not list instances and clusters ({call}: {code}). Allow rds:DescribeDBInstances and \
         rds:DescribeDBClusters."
    )
}

/// An instance or cluster that is being created.
pub(crate) fn of_no_endpoint() -> String {
    "it has no endpoint yet.".to_owned()
}

/// An instance or cluster whose secret is not known.
pub(crate) fn of_no_managed_secret() -> String {
    "RDS manages no secret of its master user: name its own secret as a target (--secret)."
        .to_owned()
}

/// The offer of the target of an upgrade could not be read from a server.
pub(crate) fn of_unread_offer(reason: &str) -> String {
    format!("the extensions that the target of the upgrade offers cannot be read: {reason}")
}

/// The server from which the offer was read does not have the version of the upgrade.
pub(crate) fn of_other_version(server: &str, version: &str, to: u16) -> String {
    format!(
        "the server {server}, from which the target's offer is read, has PostgreSQL {version} and not {to}."
    )
}
