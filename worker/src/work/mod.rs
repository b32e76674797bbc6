//! One attempt at one request: the login, the databases, a pass over each. What an attempt did before it
//! failed is in the ledgers of the databases, where the next one finds it.

mod places;
mod progress;

use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tracing::warn;

use self::places::Place;
pub use self::progress::Progress;

use crate::database::Pools;
use crate::fault::Class;
use crate::login::{Login, Logins};
use crate::message::{Coordinates, OnUnreachableDelete, Properties};
use crate::pass::{Goal, Pass, PassEnd, PassError};
use crate::plan::{PassOutcome, Policy, ResourceKey};
use crate::reconcile::{keep_response, reconcile};
use crate::response::{Draft, Response, own_id, physical_resource_id, reason};
use crate::server::{Address, Target};
use crate::trouble::Trouble;
use crate::turns::Turns;

/// Databases of one request that are worked on at the same time: a server has other things to do.
const DATABASES_AT_ONCE: usize = 4;

/// Carries requests out.
#[derive(Debug)]
pub struct Worker {
    pub(crate) logins: Logins,
    pub(crate) pools: Pools,
    pub(crate) turns: Turns,
    pub(crate) policy: Policy,
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
    /// The request, where it is to be answered.
    pub coordinates: Option<&'a Coordinates>,
    /// What this attempt shares with others.
    pub progress: &'a Progress,
}

/// What an attempt came to.
#[derive(Debug)]
pub enum AttemptEnd {
    /// The server, and each database's outcome, in the order of the databases.
    Done(Address, Vec<(String, PassOutcome)>),
    /// The request is answered, now or before.
    Answered(Response),
}

impl Worker {
    /// A worker with no connections yet.
    pub fn new(logins: Logins, pools: Pools, turns: Turns) -> Self {
        Self {
            logins,
            pools,
            turns,
            policy: Policy::unrestricted(),
        }
    }

    /// The same, for requests that may do no more than the operator allows.
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Whether this process has had a connection to the server.
    pub fn has_reached(&self, address: &Address) -> bool {
        self.pools.reached().has(address)
    }

    /// Makes an attempt. The first database keeps the answer: it comes before the others, which nothing is done in where
    /// the request was answered before, is superseded or fails for good.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn attempt(&self, work: &Work<'_>) -> Result<AttemptEnd, Trouble> {
        let moved_from = work
            .old
            .filter(|old| !old.is_in_the_same_place_as(work.properties));
        if work.properties.dry_run && moved_from.is_some() {
            return Err(Trouble::permanent(
                "DryRun: cannot be combined with another DBSecret, DBHost, DBPort, DBName or Databases than before. \
                 Change them alone, or look at the other database with a resource of its own."
                    .to_owned(),
            ));
        }
        let place = self.place(work).await?;
        let end = self.attempt_at(work, &place, moved_from).await;
        if work.deleted {
            // A session at rest would keep the database from being dropped next.
            for database in &place.databases {
                self.pools.let_go(&place.login.target(database));
            }
        }
        end
    }

    async fn attempt_at(
        &self,
        work: &Work<'_>,
        place: &Place,
        moved_from: Option<&Properties>,
    ) -> Result<AttemptEnd, Trouble> {
        let Place {
            login, databases, ..
        } = place;
        let [home, others @ ..] = databases.as_slice() else {
            return Err(Trouble::permanent(
                "Databases: the server has none to work on.".to_owned(),
            ));
        };
        let id = self.id_of_success(work, &login.address);
        let draft = work.coordinates.map(|coordinates| Draft {
            coordinates,
            properties: work.properties,
            physical_resource_id: &id,
        });
        let is_all = others.is_empty() && moved_from.is_none() && place.skipped.is_empty();
        let at_home = self.pass_or_release(work, login, home, draft.filter(|_| is_all));
        let mut outcomes = match at_home.await? {
            PassEnd::Answered(response) => return Ok(AttemptEnd::Answered(response)),
            PassEnd::Outcome(outcome) => vec![(home.clone(), outcome)],
        };

        let mut passes = Vec::new();
        for database in others {
            passes.push(self.pass_or_release(work, login, database, None).boxed());
        }
        let results = stream::iter(passes)
            .buffered(DATABASES_AT_ONCE)
            .collect()
            .await;
        let together = together(others, results, &mut outcomes);
        // A dry run did nothing before.
        let is_dry = work.properties.dry_run && !work.deleted;
        let together = together.map_err(|trouble| match is_dry {
            true => trouble,
            false => trouble.after(&outcomes),
        });
        if let Some(response) = together? {
            return Ok(AttemptEnd::Answered(response));
        }
        let skipped = place.skipped.iter().map(|name| reason::of_skipped(name));
        if let Some((_, outcome)) = outcomes.first_mut() {
            outcome.notes.extend(skipped);
        }
        if let Some(old) = moved_from {
            self.leave_behind(work, old, place)
                .await
                .map_err(|trouble| trouble.after(&outcomes))?;
        }
        let Some(draft) = draft else {
            return Ok(AttemptEnd::Done(place.login.address.clone(), outcomes));
        };
        let response = draft.success(&outcomes);
        if work.properties.dry_run && !work.deleted {
            return Ok(AttemptEnd::Answered(response));
        }
        let kept = self.keep_response(work, login, home, &response).await?;
        Ok(AttemptEnd::Answered(kept))
    }

    /// Keeps the answer to a request that failed, where it can be. Returns the one that counts: the first that was kept.
    ///
    /// # Errors
    /// [`Trouble`], where it is not kept.
    pub async fn keep_failure(
        &self,
        work: &Work<'_>,
        response: &Response,
    ) -> Result<Response, Trouble> {
        let Place {
            login, databases, ..
        } = self.place(work).await?;
        match databases.first() {
            Some(home) => self.keep_response(work, &login, home, response).await,
            None => Ok(response.clone()),
        }
    }

    async fn keep_response(
        &self,
        work: &Work<'_>,
        login: &Login,
        home: &str,
        response: &Response,
    ) -> Result<Response, Trouble> {
        let target = login.target(home);
        let id = physical_resource_id(&login.address, work.resource);
        let pass = work.pass(&self.policy, &target, login, &id, work.deleted, None);
        let kept = keep_response(&self.pools, &pass, response).await;
        kept.map_err(|error| self.trouble(&error, &target, login))
    }

    /// What a success calls the resource.
    fn id_of_success(&self, work: &Work<'_>, address: &Address) -> String {
        match work.coordinates {
            // A dry run moves nothing, not even where the secret leads elsewhere by now.
            Some(coordinates) if work.deleted || work.properties.dry_run && work.old.is_some() => {
                own_id(coordinates)
            }
            Some(_) | None => physical_resource_id(address, work.resource),
        }
    }

    async fn pass_or_release(
        &self,
        work: &Work<'_>,
        login: &Login,
        database: &str,
        draft: Option<Draft<'_>>,
    ) -> Result<PassEnd, Trouble> {
        if work.deleted {
            self.release(work, login, database, draft).await
        } else {
            self.pass(work, login, database, false, draft).await
        }
    }

    /// A pass after which the resource is gone from the database; done where the database is gone itself, or takes no
    /// connections and may be left as it is.
    async fn release(
        &self,
        work: &Work<'_>,
        login: &Login,
        database: &str,
        draft: Option<Draft<'_>>,
    ) -> Result<PassEnd, Trouble> {
        let may_stay = work.properties.on_unreachable_delete == OnUnreachableDelete::Succeed;
        let is_done =
            |trouble: &Trouble| trouble.gone || may_stay && trouble.class == Class::ClosedDatabase;
        match self.pass(work, login, database, true, draft).await {
            Err(trouble) if is_done(&trouble) => {
                warn!(
                    database,
                    reason = trouble.in_full(),
                    "what the resource managed here is gone, or cannot be reached"
                );
                let outcome = PassOutcome {
                    notes: vec![format!(
                        "left as it is ({})",
                        trouble.reason.trim_end_matches('.')
                    )],
                    ..PassOutcome::default()
                };
                Ok(match draft {
                    Some(draft) => {
                        PassEnd::Answered(draft.success(&[(database.to_owned(), outcome)]))
                    }
                    None => PassEnd::Outcome(outcome),
                })
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
        draft: Option<Draft<'_>>,
    ) -> Result<PassEnd, Trouble> {
        let target = login.target(database);
        work.progress.waits_for(target.to_string());
        let id = physical_resource_id(&login.address, work.resource);
        let pass = work.pass(&self.policy, &target, login, &id, deleted, draft);
        let result = reconcile(&self.pools, &pass).await;
        result.map_err(|error| self.trouble(&error, &target, login))
    }

    /// Why a pass failed; what led to it is looked at anew the next time.
    pub(crate) fn trouble(&self, error: &PassError, target: &Target, login: &Login) -> Trouble {
        let class = error.class();
        if matches!(error, PassError::Database { error, .. } if error.sql().is_some()) {
            // It answered, if only to refuse.
            self.pools.reached().note(&target.address);
        }
        if class == Class::Credentials {
            self.logins.refused(login);
        } else {
            // Whoever corrects the secret after a failure shall not meet it again.
            self.logins.doubt(login);
        }
        if !matches!(
            class,
            Class::Permanent | Class::Prerequisite(_) | Class::ClosedDatabase
        ) {
            // The next attempt gets a new connection, to a server that may have changed.
            self.pools.forget(target);
        }
        Trouble::of_pass(error, target)
    }
}

impl<'a> Work<'a> {
    /// The pass over one of the databases. `id` is the resource's on that server.
    fn pass(
        &self,
        policy: &'a Policy,
        target: &'a Target,
        login: &'a Login,
        id: &'a str,
        deleted: bool,
        draft: Option<Draft<'a>>,
    ) -> Pass<'a> {
        // Of what an Update leaves behind the ledger knows the id that this worker gave it.
        let named = self.physical_resource_id.filter(|_| self.deleted);
        Pass {
            target,
            password: &login.password,
            resource: self.resource,
            declarations: if deleted {
                &[]
            } else {
                &self.properties.declarations
            },
            declared: self.declared,
            deletion_behavior: self.properties.deletion_behavior,
            policy,
            goal: if deleted {
                Goal::Deleted {
                    physical_resource_id: named.unwrap_or(id),
                }
            } else {
                Goal::Live
            },
            physical_resource_id: id,
            request_type: self.request_type,
            request_id: self.request_id,
            published_at: self.published_at,
            dry_run: self.properties.dry_run,
            until: self.until,
            draft,
        }
    }
}

/// Adds every outcome; or of the troubles the one that trying again helps least. Where
/// one of the databases keeps an answer, the request was answered with it: the list of databases changed since.
fn together(
    databases: &[String],
    results: Vec<Result<PassEnd, Trouble>>,
    outcomes: &mut Vec<(String, PassOutcome)>,
) -> Result<Option<Response>, Trouble> {
    let mut troubles = Vec::new();
    for (database, result) in databases.iter().zip(results) {
        match result {
            Ok(PassEnd::Outcome(outcome)) => outcomes.push((database.clone(), outcome)),
            Ok(PassEnd::Answered(response)) => return Ok(Some(response)),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let worst = troubles
        .into_iter()
        .min_by_key(|trouble| trouble.class == Class::Transient);
    match worst {
        Some(trouble) => Err(trouble),
        None => Ok(None),
    }
}
