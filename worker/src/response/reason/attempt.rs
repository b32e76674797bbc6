//! Reasons of errors before and around a transaction: the login, the databases, timeouts.

use crate::credentials::HostError;
use crate::credentials::login::LoginError;
use crate::plan::{Part, Side, Step};
use crate::target::{Address, Target};

/// There are no credentials for a login.
pub(crate) fn of_login(error: &LoginError) -> String {
    match error {
        LoginError::Secret(error) => format!("{error}."),
        LoginError::NoHost(secret) => {
            format!("DBHost: required, as secret \"{secret}\" has no host.")
        }
        LoginError::Host { secret, error } => of_host(error, secret),
        LoginError::NoPassword(secret) => {
            format!("DBSecret \"{secret}\": has no field \"password\".")
        }
        LoginError::NoAwsCredentials => {
            "Authentication IAM: the worker has no AWS credentials.".to_owned()
        }
        LoginError::Token(error) => format!("{error}."),
    }
}

/// Why a secret is not sent to a server.
fn of_host(error: &HostError, secret: &str) -> String {
    match error {
        HostError::Refused(address) => format!(
            "DBHost, DBPort: secret \"{secret}\" may not be sent to {address}. A secret is sent to the host and port that it \
             names itself, to an endpoint that RDS reports for the instance or cluster whose MasterUserSecret it is, and \
             to hosts that WORKER_HOSTS of the worker names."
        ),
        HostError::Unknown(error) => format!(
            "DBHost: the endpoints of RDS could not be listed ({}), of which it may be one.",
            error.call
        ),
    }
}

/// The time was over while the request waited for this.
pub(crate) fn of_timeout(waiting_for: Option<&str>) -> String {
    match waiting_for {
        Some(what) => format!("{what}: there was no answer in time."),
        None => "the request arrived too shortly before its deadline.".to_owned(),
    }
}

/// As many requests as allowed wait for the server.
pub(crate) fn of_server_limit(address: &Address) -> String {
    format!(
        "{address} does not answer, and as many requests as allowed wait for it already (WORKER_SERVER_CONCURRENCY)."
    )
}

/// Neither the properties nor the secret names a database.
pub(crate) fn of_no_database_name(secret: &str) -> String {
    format!("DBName: required, as secret \"{secret}\" has no dbname.")
}

/// `Databases: "*"`, and no database of the server in which they can be listed.
pub(crate) fn of_no_database_to_list_in() -> String {
    "Databases: the worker can connect to no database of the server to list the others.".to_owned()
}

/// `Databases: "*"`, and the server has only templates.
pub(crate) fn of_no_databases() -> String {
    "Databases: the server has no database that accepts connections except template1.".to_owned()
}

/// A dry run of an Update that names other databases than before.
pub(crate) fn of_dry_run_that_moves() -> String {
    "DryRun: cannot be combined with another DBSecret, DBHost, DBPort, DBName or Databases than before. Change them in a \
     separate update, or use a separate resource for the other database."
        .to_owned()
}

/// The server is a replica.
pub(crate) fn of_read_only(target: &Target) -> String {
    format!(
        "{target}: the server is a replica and takes no changes. Name the writer's endpoint. [25006]"
    )
}

/// The server is a side of a Blue/Green deployment.
pub(crate) fn of_blue_green(part: &Part, target: &Target) -> String {
    let why = match part.side {
        Side::Blue => "whose replication a change of extensions would break",
        Side::Green => "which gets its changes from the source: use the endpoint of the source",
    };
    format!(
        "{target}: the server is {part}, {why}. Nothing was changed. Update the stack again after the deployment is switched over or deleted. \
         The worker's setting WORKER_BLUE_GREEN_CHECK controls this check."
    )
}

/// A newer request was carried out already.
pub(crate) fn of_superseded() -> String {
    "a newer request of this resource was carried out already; this one changes nothing.".to_owned()
}

/// All statements succeeded, and the database is not as declared.
pub(crate) fn of_not_converged(target: &Target, steps: &[Step]) -> String {
    let missing: Vec<String> = steps.iter().map(Step::sql).collect();
    format!(
        "{target}: all statements succeeded, but the database is not as declared. Missing: {}.",
        missing.join("; ")
    )
}

/// Adds the changes in other databases.
pub(crate) fn with_changes(reason: &str, changes: &str) -> String {
    format!("{reason} Done before: {changes}.")
}

/// Adds how long the request was retried.
pub(crate) fn with_time(reason: &str, seconds: i64) -> String {
    format!("{reason} Gave up after {seconds} s.")
}
