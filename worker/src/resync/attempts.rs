//! The attempts of a re-sync at a server: to list its databases, and to process each of them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::database::resync;
use super::task::ResyncTask;
use super::upgrade_check::UpgradeCheck;
use crate::execution::Executor;
use crate::execution::error::AttemptError;
use crate::execution::retry_loop::{Attempts, RetryLimits, Retryable, Stopped, run_with_retries};
use crate::postgres::DatabaseNames;
use crate::reconcile::Refusals;
use crate::request::Properties;
use crate::response::reason;
use crate::resync_protocol::event::DatabaseResult;
use crate::target::Address;

/// How long each of these is retried.
pub(super) const RETRY_BUDGET: Duration = Duration::from_secs(60);
/// Number of databases in a row at which the server did not answer, after which it counts as gone.
const ENOUGH_FAILURES: usize = 12;
/// After that, one of this number of databases is tried nevertheless.
const PROBE: usize = 100;

/// Lists the databases of a server.
///
/// # Errors
/// [`AttemptError`] of the last attempt.
pub(super) async fn list_databases(
    executor: &Executor,
    properties: &Properties,
) -> Result<(DatabaseNames, Address), AttemptError> {
    let listing = Listing {
        executor,
        properties,
    };
    let limits = RetryLimits::until(Instant::now() + RETRY_BUDGET);
    let mut attempts = Attempts::default();
    let listed = run_with_retries(&listing, limits, &mut attempts).await;
    listed.map_err(|_| attempts.into_error(None))
}

/// Lists the databases of a server.
struct Listing<'a> {
    executor: &'a Executor,
    properties: &'a Properties,
}

impl Retryable for Listing<'_> {
    type Outcome = (DatabaseNames, Address);

    async fn attempt(&self) -> Result<Self::Outcome, AttemptError> {
        let login = self.executor.logins.log_in(self.properties).await?;
        let databases = self.executor.databases(self.properties, &login).await?;
        self.executor.pools.remove(&login.target("postgres"));
        Ok((databases, login.address))
    }
}

/// One database of a server.
#[derive(Clone, Copy)]
pub(super) struct OneDatabase<'a> {
    pub(super) executor: &'a Executor,
    pub(super) properties: &'a Properties,
    pub(super) task: &'a ResyncTask<'a>,
    /// The upgrade of a check; `None` for a re-sync.
    pub(super) check: Option<&'a UpgradeCheck>,
    pub(super) database: &'a str,
}

impl Retryable for OneDatabase<'_> {
    type Outcome = DatabaseResult;

    async fn attempt(&self) -> Result<DatabaseResult, AttemptError> {
        self.attempt_with(Refusals::LeaveOutPermanent).await
    }
}

impl OneDatabase<'_> {
    async fn attempt_with(&self, refusals: Refusals) -> Result<DatabaseResult, AttemptError> {
        let executor = self.executor;
        let login = executor.logins.log_in(self.properties).await?;
        let permit = executor.server_limits.acquire(&login.address, true).await;
        let target = login.target(self.database);
        let (pools, password) = (&executor.pools, &login.password);
        let result = match self.check {
            Some(check) => check.of_database(pools, self.task, &target, password).await,
            None => resync(pools, self.task, &target, password, refusals).await,
        };
        drop(permit);
        // A fleet has more databases than a server has connections.
        executor.pools.remove(&target);
        result.map_err(|error| executor.reconcile_error(error, &target, &login))
    }

    /// Makes attempts while another may help, and then a last one, in which a step that PostgreSQL refuses does not prevent
    /// the others. If the server does not answer, only the last attempt is made.
    async fn resync(
        &self,
        since: Instant,
        is_server_failing: bool,
    ) -> Result<DatabaseResult, AttemptError> {
        if !is_server_failing {
            let limits = RetryLimits::until(since + RETRY_BUDGET);
            let mut attempts = Attempts::default();
            let stopped = match run_with_retries(self, limits, &mut attempts).await {
                Ok(result) => return Ok(result),
                Err(stopped) => stopped,
            };
            let error = attempts.into_error(None);
            if stopped == Stopped::Never && !error.is_in_step() {
                return Err(error);
            }
        }
        self.attempt_with(Refusals::LeaveOut).await
    }
}

/// Processes one database, and returns its result. Once the server does not answer, the next databases are tried once each,
/// and then one of many, so that a server that is gone, with thousands of databases, does not take thousands of timeouts.
pub(super) async fn resync_database(one: OneDatabase<'_>, failing: &AtomicUsize) -> DatabaseResult {
    let since = Instant::now();
    let failures = failing.load(Relaxed);
    let failed =
        if failures >= ENOUGH_FAILURES && !failing.fetch_add(1, Relaxed).is_multiple_of(PROBE) {
            let reason = reason::resync::of_unanswering_server();
            one.task.server.failed(None, reason, since)
        } else {
            match one.resync(since, failures > 0).await {
                Ok(result) => {
                    failing.store(0, Relaxed);
                    return result;
                }
                Err(error) => {
                    failing.fetch_add(usize::from(error.is_server_failure()), Relaxed);
                    one.task
                        .server
                        .failed(error.target(), error.full_reason(), since)
                }
            }
        };
    DatabaseResult {
        database: Some(one.database.to_owned()),
        ..failed
    }
}
