//! Finds the databases of a request, and those that it no longer names.

use tracing::{info, warn};

use super::error::AttemptError;
use super::{ExecutionRequest, Executor};
use crate::credentials::login::Login;
use crate::postgres::DatabaseNames;
use crate::postgres_error::Class;
use crate::reconcile::transaction::ReconcileError;
use crate::request::{Databases, Properties};
use crate::response::physical_resource_id;

/// Databases of a server, and the login.
#[derive(Debug)]
pub(super) struct ResolvedTarget {
    pub(super) login: Login,
    pub(super) databases: Vec<String>,
    /// Names of databases that are skipped, because they are not UTF-8.
    pub(super) skipped: Vec<String>,
}

impl Executor {
    /// Logs in, and finds the databases.
    pub(super) async fn resolve_target(
        &self,
        execution: &ExecutionRequest<'_>,
    ) -> Result<ResolvedTarget, AttemptError> {
        let properties = execution.properties;
        execution
            .state
            .set_waiting_for(format!("secret \"{}\"", properties.db_secret));
        let login = self.logins.log_in(properties).await?;
        execution
            .state
            .acquire_permit(&self.server_limits, &login.address)
            .await?;
        execution.state.set_waiting_for(login.address.to_string());
        let DatabaseNames { usable, not_utf8 } = self.databases(properties, &login).await?;
        for database in &not_utf8 {
            warn!(database, "skipped: the name is not UTF-8");
        }
        Ok(ResolvedTarget {
            login,
            databases: usable,
            skipped: not_utf8,
        })
    }

    /// Releases the resource from the databases of the same server that an Update no longer names; or from all databases of
    /// another server, to which a failed Update began to move it. Databases that are unknown, or cannot be changed, are
    /// left unchanged, so that the rollback does not fail because of them.
    pub(super) async fn release_previous_target(
        &self,
        execution: &ExecutionRequest<'_>,
        old: &Properties,
        now: &ResolvedTarget,
    ) -> Result<(), AttemptError> {
        let Some(left) = self.previous_target(execution, old, now).await? else {
            return Ok(());
        };
        let is_here = left.login.address == now.login.address;
        for database in &left.databases {
            info!(database, "no longer declared for this database");
            let in_database = self.in_database(execution, &left.login, database);
            match in_database.release(None).await {
                Err(error) if can_be_left_unchanged(&error, is_here) => warn!(
                    database,
                    reason = error.full_reason(),
                    "what was declared here before is left alone"
                ),
                other => drop(other?),
            }
            self.pools.remove(&left.login.target(database));
        }
        Ok(())
    }

    /// The databases that a move leaves, with the login to their server.
    async fn previous_target(
        &self,
        execution: &ExecutionRequest<'_>,
        old: &Properties,
        now: &ResolvedTarget,
    ) -> Result<Option<ResolvedTarget>, AttemptError> {
        let login = match self.logins.log_in(old).await.map_err(AttemptError::from) {
            Ok(login) => login,
            Err(error) if can_be_left_unchanged(&error, true) => {
                warn!(
                    reason = error.full_reason(),
                    "what was declared before cannot be found, and is left alone"
                );
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let address = &now.login.address;
        let is_here = login.address == *address;
        // CloudFormation deletes a replaced resource by its id. If the id never changed, the move failed, and only this
        // Update reverts it.
        let id = physical_resource_id(address, execution.request.resource);
        if !is_here && execution.physical_resource_id != Some(id.as_str()) {
            return Ok(None);
        }
        match self.databases(old, &login).await {
            Ok(names) => {
                let mut databases = names.usable;
                databases.retain(|database| !(is_here && now.databases.contains(database)));
                Ok(Some(ResolvedTarget {
                    login,
                    databases,
                    skipped: names.not_utf8,
                }))
            }
            Err(error) if can_be_left_unchanged(&error, is_here) => {
                warn!(
                    reason = error.full_reason(),
                    "what was declared before cannot be found, and is left alone"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The databases that the properties name.
    pub(crate) async fn databases(
        &self,
        properties: &Properties,
        login: &Login,
    ) -> Result<DatabaseNames, AttemptError> {
        let named = |usable: Vec<String>| DatabaseNames {
            usable,
            not_utf8: Vec::new(),
        };
        let default = properties.db_name.as_ref().or(login.dbname.as_ref());
        match &properties.databases {
            Databases::Named(names) => Ok(named(names.clone())),
            Databases::Default => default
                .map(|name| named(vec![name.clone()]))
                .ok_or_else(|| {
                    self.logins.expire(login);
                    AttemptError::NoDatabaseName(properties.db_secret.clone())
                }),
            Databases::All => self.list_databases(default, login).await,
        }
    }

    /// Lists the databases in the default database; if it does not exist, in one that every server has.
    async fn list_databases(
        &self,
        default: Option<&String>,
        login: &Login,
    ) -> Result<DatabaseNames, AttemptError> {
        let mut last = None;
        for database in default
            .map(String::as_str)
            .into_iter()
            .chain(["postgres", "template1"])
        {
            let target = login.target(database);
            let listed = async {
                let mut session = self
                    .pools
                    .session_for_listing(&target, &login.password)
                    .await?;
                session.databases().await
            };
            match listed.await {
                // This database records the response: it is the first, even if databases are created later.
                Ok(mut databases) => {
                    databases.usable.sort_by_key(|name| name != database);
                    return Ok(databases);
                }
                Err(error) => {
                    let error = ReconcileError::from(error);
                    self.note_failure(&error, &target, login);
                    let class = error.class();
                    let error = AttemptError::ListDatabases {
                        target,
                        error: Box::new(error),
                    };
                    // The others may exist.
                    if !matches!(class, Class::NoDatabase | Class::ClosedDatabase) {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(AttemptError::NoDatabaseToListIn))
    }
}

/// Whether a database may be left unchanged. On the server on which the resource is now, temporary errors are retried; on a
/// server to which it could not be moved, no error is.
fn can_be_left_unchanged(error: &AttemptError, is_here: bool) -> bool {
    let cannot_be = matches!(
        error.class(),
        Class::Permanent | Class::NoDatabase | Class::ClosedDatabase | Class::Prerequisite(_)
    );
    !error.is_in_step() && (cannot_be || !is_here)
}
