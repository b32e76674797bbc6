//! Why a target, a server or a database of a re-sync is not as declared: the `Reason` of a result.

use std::collections::BTreeSet;
use std::error::Error;

use crate::ledger::ResourceKey;
use crate::plan::Step;
use crate::request::PropertiesError;

/// All that is to be said of a database; none where there is nothing.
pub fn of_findings<'a>(
    faults: impl Iterator<Item = &'a str>,
    unwanted: &BTreeSet<String>,
    warnings: &[String],
) -> Option<String> {
    let unwanted = unwanted
        .iter()
        .map(|name| format!("{name} is declared absent and is there: a re-sync drops nothing."));
    let warnings = warnings.iter().map(|warning| format!("{warning}."));
    let reasons: Vec<String> = faults
        .map(str::to_owned)
        .chain(unwanted)
        .chain(warnings)
        .collect();
    (!reasons.is_empty()).then(|| reasons.join(" "))
}

/// What a resource of the ledger declares cannot be read.
pub fn of_unreadable_declaration(resource: &ResourceKey, error: &PropertiesError) -> String {
    format!("{resource}: {error}.")
}

/// Two resources declare an extension otherwise.
pub fn of_dispute(name: &str, declarer: &ResourceKey, step: &Step) -> String {
    format!(
        "{name} is not as {declarer} declares it, since another declares it otherwise: still to do is {}.",
        step.sql()
    )
}

/// A database that was not tried, as others of its server were not reached.
pub fn of_unanswering_server() -> String {
    "the server does not answer, and was not asked for this database.".to_owned()
}

/// A server that was sent from worker to worker this often.
pub fn of_no_room(hops: u32) -> String {
    format!("no worker had room for the server, and it was sent {hops} times.")
}

/// Secrets were looked for.
pub fn of_no_secret_found() -> String {
    "no secret with a host is found by this: there is no server.".to_owned()
}

/// Secrets Manager refuses to list secrets.
pub fn of_forbidden_secret_list(code: &str) -> String {
    format!(
        "the worker's task role may not list secrets ({code}). Allow secretsmanager:ListSecrets."
    )
}

/// Secrets Manager cannot list what was asked for.
pub fn of_secret_list(error: &dyn Error) -> String {
    format!("{error}.")
}

/// Instances and clusters were looked for.
pub fn of_no_instance_found() -> String {
    "no PostgreSQL instance or cluster is found by this.".to_owned()
}

/// RDS refuses to list instances and clusters.
pub fn of_forbidden_instance_list(call: &str, code: &str) -> String {
    format!(
        "the worker's task role may not list instances and clusters ({call}: {code}). Allow rds:DescribeDBInstances and \
         rds:DescribeDBClusters."
    )
}

/// An instance or cluster that is being made.
pub fn of_no_endpoint() -> String {
    "it has no endpoint yet.".to_owned()
}

/// An instance or cluster whose secret is not known.
pub fn of_no_managed_secret() -> String {
    "RDS manages no secret of its master user: name its own secret as a target (--secret)."
        .to_owned()
}
