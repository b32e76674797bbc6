//! One attempt at one request: the secret, the databases it names, a pass over each. What an attempt did before it
//! failed is in the ledgers of the databases, where the next one finds it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::info;

use crate::database::sqlstate::{self, Class};
use crate::database::{Address, DatabaseError, Pools, Target};
use crate::extension::Declaration;
use crate::message::{Databases, Operation, Properties, Request};
use crate::plan::{PassOutcome, ResourceKey};
use crate::reconcile::{Goal, Pass, PassError, reconcile};
use crate::response::physical_resource_id;
use crate::response::reason::{self, Place};
use crate::secrets::{Secret, SecretError, Secrets};

/// PostgreSQL's port.
const DEFAULT_PORT: u16 = 5432;

/// Carries requests out.
#[derive(Debug)]
pub struct Worker {
    secrets: Secrets,
    pools: Pools,
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The request.
    pub request: &'a Request,
    /// The resource that it is for.
    pub resource: &'a ResourceKey,
    /// What the resource declares, or of a Delete declared.
    pub properties: &'a Properties,
    /// What an updated resource declared before.
    pub old: Option<&'a Properties>,
    /// The properties as the stack wrote them.
    pub resource_properties: &'a serde_json::Value,
    /// When the attempt must be over.
    pub until: Instant,
}

/// Why an attempt failed.
#[derive(Debug)]
pub struct Trouble {
    /// What to do about it.
    pub class: Class,
    /// The Reason.
    pub reason: String,
    /// The server, where it is known.
    pub address: Option<Address>,
    /// The secret, the host or the database does not exist: nothing of the resource is there.
    pub gone: bool,
    /// The server does not answer.
    pub unreachable: bool,
    /// Time ended the attempt: an earlier one may know more of what is wrong.
    pub cut_short: bool,
}

impl Trouble {
    /// Itself, with the Reason of an earlier attempt where time ended this one.
    pub fn or_earlier(mut self, earlier: &Mutex<Option<String>>) -> Self {
        let mut earlier = earlier.lock().unwrap_or_else(PoisonError::into_inner);
        match earlier.as_ref() {
            Some(reason) if self.cut_short => self.reason.clone_from(reason),
            _ => *earlier = Some(self.reason.clone()),
        }
        self
    }
}

impl Worker {
    /// A worker with no connections yet.
    pub fn new(secrets: Secrets, pools: Pools) -> Self {
        Self { secrets, pools }
    }

    /// Makes an attempt; answers with the server and each database's outcome.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn attempt(
        &self,
        work: &Work<'_>,
    ) -> Result<(Address, Vec<(String, PassOutcome)>), Trouble> {
        let properties = work.properties;
        let secret = self
            .secrets
            .read(&properties.db_secret)
            .await
            .map_err(secret_trouble)?;
        let address = address(properties, &secret)?;
        let databases = self.databases(properties, &secret, &address).await?;
        let deleted = matches!(work.request.operation, Operation::Delete(_));

        let mut outcomes = Vec::new();
        for database in &databases {
            let outcome = self
                .pass(work, &secret, &address, database, deleted)
                .await
                .map_err(|trouble| with_done(trouble, &outcomes))?;
            outcomes.push((database.clone(), outcome));
        }
        for database in self
            .left_behind(work, &secret, &address, &databases)
            .await?
        {
            info!(database, "no longer declared for this database");
            self.pass(work, &secret, &address, &database, true)
                .await
                .map_err(|trouble| with_done(trouble, &outcomes))?;
        }
        Ok((address, outcomes))
    }

    async fn pass(
        &self,
        work: &Work<'_>,
        secret: &Secret,
        address: &Address,
        database: &str,
        deleted: bool,
    ) -> Result<PassOutcome, Trouble> {
        let coordinates = &work.request.coordinates;
        let target = target(secret, address, database);
        let id = physical_resource_id(address, work.resource);
        let given = coordinates.physical_resource_id.as_deref().unwrap_or(&id);
        let nothing: &[Declaration] = &[];
        let pass = Pass {
            target: &target,
            password: &secret.password,
            resource: work.resource,
            declarations: if deleted {
                nothing
            } else {
                &work.properties.declarations
            },
            declared: work.resource_properties,
            deletion_behavior: work.properties.deletion_behavior,
            goal: if deleted {
                Goal::Deleted {
                    physical_resource_id: given,
                }
            } else {
                Goal::Live
            },
            physical_resource_id: if deleted { given } else { &id },
            request_type: coordinates.request_type.as_str(),
            request_id: &coordinates.request_id,
            published_at: work.request.published_at,
            dry_run: work.properties.dry_run,
            until: work.until,
        };
        // The statement timeouts end a pass in time; this is for a server that is silent.
        let result =
            tokio::time::timeout_at(work.until.into(), reconcile(&self.pools, &pass)).await;
        let (error, cut_short) = match result {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(error)) => (error, false),
            Err(_) => {
                let silent = DatabaseError::Connection("no answer in time".to_owned(), None);
                (PassError::from(silent), true)
            }
        };
        let class = error.class();
        if !matches!(class, Class::Permanent | Class::Prerequisite(_)) {
            // The next attempt gets a new connection, to a server that may have changed.
            self.pools.forget(&target);
        }
        Err(Trouble {
            class,
            reason: error.reason(&target),
            address: Some(address.clone()),
            gone: class == Class::NoDatabase
                || matches!(
                    &error,
                    PassError::Database {
                        error: DatabaseError::NoSuchHost(_),
                        ..
                    }
                ),
            unreachable: matches!(
                &error,
                PassError::Database {
                    error: DatabaseError::Connection(..),
                    ..
                }
            ),
            cut_short,
        })
    }

    async fn databases(
        &self,
        properties: &Properties,
        secret: &Secret,
        address: &Address,
    ) -> Result<Vec<String>, Trouble> {
        let default = properties.db_name.as_ref().or(secret.dbname.as_ref());
        match &properties.databases {
            Databases::Named(names) => Ok(names.clone()),
            Databases::Default => default.map(|name| vec![name.clone()]).ok_or_else(|| {
                permanent(
                    Some(address),
                    format!(
                        "DBName: required, as secret \"{}\" has no dbname.",
                        properties.db_secret
                    ),
                )
            }),
            Databases::All => {
                let target = target(secret, address, default.map_or("postgres", String::as_str));
                let listed = async {
                    let mut session = self.pools.session(&target, &secret.password).await?;
                    session.databases().await
                };
                listed.await.map_err(|error: DatabaseError| {
                    let place = Place {
                        host: address.host.clone(),
                        database: target.database.clone(),
                    };
                    Trouble {
                        class: sqlstate::classify(&error),
                        reason: reason::of_database(&error, None, address, &place),
                        address: Some(address.clone()),
                        gone: matches!(error, DatabaseError::NoSuchHost(_)),
                        unreachable: matches!(error, DatabaseError::Connection(..)),
                        cut_short: false,
                    }
                })
            }
        }
    }

    /// The databases of the same server that an Update no longer names.
    async fn left_behind(
        &self,
        work: &Work<'_>,
        secret: &Secret,
        address: &Address,
        kept: &[String],
    ) -> Result<Vec<String>, Trouble> {
        let Some(old) = work.old else {
            return Ok(Vec::new());
        };
        // Another secret may name another server, which its own Delete takes care of.
        let old_secret = if old.db_secret == work.properties.db_secret {
            secret.clone()
        } else {
            match self.secrets.read(&old.db_secret).await {
                Ok(old_secret) => old_secret,
                Err(_) => return Ok(Vec::new()),
            }
        };
        if self::address(old, &old_secret).is_ok_and(|old_address| old_address == *address) {
            let mut databases = self
                .databases(old, &old_secret, address)
                .await
                .unwrap_or_default();
            databases.retain(|database| !kept.contains(database));
            return Ok(databases);
        }
        Ok(Vec::new())
    }
}

fn target(secret: &Secret, address: &Address, database: &str) -> Target {
    Target {
        address: address.clone(),
        database: database.to_owned(),
        username: secret.username.clone(),
    }
}

fn address(properties: &Properties, secret: &Secret) -> Result<Address, Trouble> {
    let host = properties
        .db_host
        .as_ref()
        .or(secret.host.as_ref())
        .ok_or_else(|| {
            permanent(
                None,
                format!(
                    "DBHost: required, as secret \"{}\" has no host.",
                    properties.db_secret
                ),
            )
        })?;
    Ok(Address {
        host: host.clone(),
        port: properties.db_port.or(secret.port).unwrap_or(DEFAULT_PORT),
    })
}

fn permanent(address: Option<&Address>, reason: String) -> Trouble {
    Trouble {
        class: Class::Permanent,
        reason,
        address: address.cloned(),
        gone: false,
        unreachable: false,
        cut_short: false,
    }
}

fn secret_trouble(error: SecretError) -> Trouble {
    let class = match &error {
        SecretError::Unavailable { .. } => Class::Transient,
        SecretError::NotFound { .. }
        | SecretError::Denied { .. }
        | SecretError::Unusable { .. } => Class::Permanent,
    };
    Trouble {
        class,
        reason: format!("{error}."),
        address: None,
        gone: matches!(error, SecretError::NotFound { .. }),
        unreachable: false,
        cut_short: false,
    }
}

/// Adds what was done in other databases: it stays until the rollback's own request undoes it.
fn with_done(mut trouble: Trouble, outcomes: &[(String, PassOutcome)]) -> Trouble {
    let done: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| !outcome.changes.is_empty())
        .map(|(database, outcome)| format!("{database}: {}", outcome.changes.join(", ")))
        .collect();
    if !done.is_empty() {
        trouble.reason = format!("{} Done before: {}.", trouble.reason, done.join("; "));
    }
    trouble
}
