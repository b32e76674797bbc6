//! One attempt at one request: the login, the databases, a pass over each. What an attempt did before it
//! failed is in the ledgers of the databases, where the next one finds it.

use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tracing::{info, warn};

use crate::database::Pools;
use crate::extension::Declaration;
use crate::fault::Class;
use crate::login::{Login, Logins};
use crate::message::{Databases, Properties};
use crate::pass::{Goal, Pass, PassError};
use crate::plan::{PassOutcome, ResourceKey};
use crate::reconcile::reconcile;
use crate::response::physical_resource_id;
use crate::server::Address;
use crate::trouble::Trouble;

/// Databases of one request that are worked on at the same time: a server has other things to do.
const DATABASES_AT_ONCE: usize = 4;

/// Carries requests out.
#[derive(Debug)]
pub struct Worker {
    logins: Logins,
    pools: Pools,
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The resource.
    pub resource: &'a ResourceKey,
    /// The id that it has; a new one has none.
    pub physical_resource_id: Option<&'a str>,
    /// What it declares, or, if it is deleted, declared.
    pub properties: &'a Properties,
    /// What an updated resource declared before.
    pub old: Option<&'a Properties>,
    /// The properties as they were written, for the ledger.
    pub declared: &'a serde_json::Value,
    /// `Create`, `Update` or `Delete`.
    pub request_type: &'a str,
    /// The request.
    pub request_id: &'a str,
    /// When it was published.
    pub published_at: DateTime<Utc>,
    /// Whether the resource goes.
    pub deleted: bool,
    /// When it must be over.
    pub until: Instant,
}

/// What an attempt came to: the server, and each database's outcome.
pub type Done = (Address, Vec<(String, PassOutcome)>);

impl Worker {
    /// A worker with no connections yet.
    pub fn new(logins: Logins, pools: Pools) -> Self {
        Self { logins, pools }
    }

    /// Makes an attempt.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn attempt(&self, work: &Work<'_>) -> Result<Done, Trouble> {
        let properties = work.properties;
        let login = self.logins.log_in(properties).await?;
        let databases = self.databases(properties, &login).await?;

        let mut passes = Vec::new();
        for database in &databases {
            passes.push(self.pass_or_release(work, &login, database).boxed());
        }
        let results = stream::iter(passes)
            .buffered(DATABASES_AT_ONCE)
            .collect()
            .await;
        let outcomes = together(&databases, results)?;
        if let Some(left) = self.left_behind(work, &login.address, &databases).await? {
            for database in &left.databases {
                info!(database, "no longer declared for this database");
                self.release(work, &left.login, database)
                    .await
                    .map_err(|trouble| trouble.after(&outcomes))?;
            }
        }
        Ok((login.address, outcomes))
    }

    async fn pass_or_release(
        &self,
        work: &Work<'_>,
        login: &Login,
        database: &str,
    ) -> Result<PassOutcome, Trouble> {
        if work.deleted {
            self.release(work, login, database).await
        } else {
            self.pass(work, login, database, false).await
        }
    }

    /// A pass after which the resource is gone from the database; done where the database is gone itself.
    async fn release(
        &self,
        work: &Work<'_>,
        login: &Login,
        database: &str,
    ) -> Result<PassOutcome, Trouble> {
        match self.pass(work, login, database, true).await {
            Err(trouble) if trouble.gone => {
                warn!(
                    database,
                    reason = trouble.reason,
                    "what the resource managed here is gone"
                );
                Ok(PassOutcome::default())
            }
            other => other,
        }
    }

    async fn pass(
        &self,
        work: &Work<'_>,
        login: &Login,
        database: &str,
        deleted: bool,
    ) -> Result<PassOutcome, Trouble> {
        let target = login.target(database);
        let id = physical_resource_id(&login.address, work.resource);
        // Of what an Update leaves behind the ledger knows the id that this worker gave it.
        let given = work
            .physical_resource_id
            .filter(|_| work.deleted)
            .unwrap_or(&id);
        let nothing: &[Declaration] = &[];
        let pass = Pass {
            target: &target,
            password: &login.password,
            resource: work.resource,
            declarations: if deleted {
                nothing
            } else {
                &work.properties.declarations
            },
            declared: work.declared,
            deletion_behavior: work.properties.deletion_behavior,
            goal: if deleted {
                Goal::Deleted {
                    physical_resource_id: given,
                }
            } else {
                Goal::Live
            },
            physical_resource_id: if deleted { given } else { &id },
            request_type: work.request_type,
            request_id: work.request_id,
            published_at: work.published_at,
            dry_run: work.properties.dry_run,
            until: work.until,
        };
        let result = reconcile(&self.pools, &pass).await;
        result.map_err(|error| {
            let class = error.class();
            if class == Class::Credentials {
                self.logins.refused(login);
            }
            if !matches!(class, Class::Permanent | Class::Prerequisite(_)) {
                // The next attempt gets a new connection, to a server that may have changed.
                self.pools.forget(&target);
            }
            Trouble::of_pass(&error, &target)
        })
    }

    async fn databases(
        &self,
        properties: &Properties,
        login: &Login,
    ) -> Result<Vec<String>, Trouble> {
        let default = properties.db_name.as_ref().or(login.dbname.as_ref());
        match &properties.databases {
            Databases::Named(names) => Ok(names.clone()),
            Databases::Default => default.map(|name| vec![name.clone()]).ok_or_else(|| {
                Trouble::permanent(format!(
                    "DBName: required, as secret \"{}\" has no dbname.",
                    properties.db_secret
                ))
            }),
            Databases::All => self.every_database(default, login).await,
        }
    }

    /// Asks in the default database, or, where that is gone, in one that every server has.
    async fn every_database(
        &self,
        default: Option<&String>,
        login: &Login,
    ) -> Result<Vec<String>, Trouble> {
        let mut last = None;
        for database in default
            .map(String::as_str)
            .into_iter()
            .chain(["postgres", "template1"])
        {
            let target = login.target(database);
            let listed = async {
                let mut session = self.pools.session(&target, &login.password).await?;
                session.databases().await
            };
            match listed.await {
                Ok(databases) => return Ok(databases),
                Err(error) => {
                    let mut trouble = Trouble::of_pass(&PassError::from(error), &target);
                    let gone = trouble.class == Class::NoDatabase;
                    // The others may be there: the resource is not gone with this one.
                    trouble.gone &= !gone;
                    if !gone {
                        return Err(trouble);
                    }
                    last = Some(trouble);
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            Trouble::permanent("Databases: the server has none that can be asked.".to_owned())
        }))
    }

    /// The databases that an Update no longer names, of the same server; or all of another, where an Update that failed
    /// began to move the resource there. What it cannot know it leaves alone.
    async fn left_behind(
        &self,
        work: &Work<'_>,
        address: &Address,
        kept: &[String],
    ) -> Result<Option<LeftBehind>, Trouble> {
        let Some(old) = work.old.filter(|_| !work.properties.dry_run) else {
            return Ok(None);
        };
        let listed = async {
            let login = self.logins.log_in(old).await?;
            let is_here = login.address == *address;
            // CloudFormation deletes what was replaced by its id. Where the id never changed, the move failed, and
            // nothing but this Update goes back.
            let id = physical_resource_id(address, work.resource);
            if !is_here && work.physical_resource_id != Some(id.as_str()) {
                return Ok(None);
            }
            let mut databases = self.databases(old, &login).await?;
            databases.retain(|database| !(is_here && kept.contains(database)));
            Ok(Some(LeftBehind { login, databases }))
        };
        let listed: Result<Option<LeftBehind>, Trouble> = listed.await;
        match listed {
            Err(trouble)
                if matches!(
                    trouble.class,
                    Class::Permanent | Class::NoDatabase | Class::Prerequisite(_)
                ) =>
            {
                warn!(
                    reason = trouble.reason,
                    "what was declared before cannot be found, and is left alone"
                );
                Ok(None)
            }
            other => other,
        }
    }
}

/// Databases that a resource no longer manages.
#[derive(Debug)]
struct LeftBehind {
    login: Login,
    databases: Vec<String>,
}

/// Every outcome, or of the troubles the one that trying again helps least, with what was done all the same.
fn together(
    databases: &[String],
    results: Vec<Result<PassOutcome, Trouble>>,
) -> Result<Vec<(String, PassOutcome)>, Trouble> {
    let mut outcomes = Vec::new();
    let mut troubles = Vec::new();
    for (database, result) in databases.iter().zip(results) {
        match result {
            Ok(outcome) => outcomes.push((database.clone(), outcome)),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let worst = troubles
        .into_iter()
        .min_by_key(|trouble| trouble.class == Class::Transient);
    match worst {
        Some(trouble) => Err(trouble.after(&outcomes)),
        None => Ok(outcomes),
    }
}
