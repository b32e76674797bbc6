//! The check before an upgrade: reads a server and each of its databases, and changes nothing.

use std::time::Instant;

use tracing::warn;

use super::attempts::{OneDatabase, RETRY_BUDGET};
use super::server::ServerTask;
use super::target_offer::Offered;
use super::task::ResyncTask;
use super::upgrade_facts::{TEMPLATE, declared, server_facts};
use crate::credentials::secrets::Password;
use crate::execution::Executor;
use crate::execution::error::AttemptError;
use crate::execution::retry_loop::{Attempts, RetryLimits, Retryable, run_with_retries};
use crate::postgres::{CATALOG_TIMEOUT, FirstStatement, Pools, Session};
use crate::postgres_error::DatabaseError;
use crate::reconcile::transaction::ReconcileError;
use crate::request::Properties;
use crate::resync_protocol::event::{DatabaseResult, ExtensionResult, ExtensionState};
use crate::resync_protocol::{Finding, MajorVersion, Severity};
use crate::target::Target;
use crate::upgrade::{
    DatabaseFacts, ExtensionFacts, OldUpdates, Upgrade, check_database, check_server,
    facts_of_look, refused_types, state, wants_declarations, wants_updates,
};

/// An upgrade of one server, with the findings about the server.
#[derive(Debug)]
pub(super) struct UpgradeCheck {
    upgrade: Upgrade,
    findings: Vec<Finding>,
    server: String,
    version: String,
}

/// Reads the facts of the server, if an upgrade is checked; or returns the Reason.
pub(super) async fn begin_check(
    executor: &Executor,
    task: ServerTask<'_>,
    properties: &Properties,
    databases: &[String],
) -> Result<Option<UpgradeCheck>, String> {
    let Some(asked) = task.upgrade else {
        return Ok(None);
    };
    let offered = task.offers.read(executor, asked.to, &asked.source).await?;
    let reading = CheckReading {
        executor,
        properties,
        databases,
        to: asked.to,
        offered: &offered,
    };
    let limits = RetryLimits::until(Instant::now() + RETRY_BUDGET);
    let mut attempts = Attempts::default();
    match run_with_retries(&reading, limits, &mut attempts).await {
        Ok(check) => Ok(Some(check)),
        Err(_) => Err(attempts.into_error(None).full_reason()),
    }
}

/// Adds a database that pg_upgrade checks, too. If the role may not connect to it, the others are checked nevertheless.
pub(super) async fn check_template(template: OneDatabase<'_>) -> Option<DatabaseResult> {
    match template.attempt().await {
        Ok(result) => Some(result),
        Err(error) => {
            let reason = error.full_reason();
            warn!(reason, "{TEMPLATE} is not checked");
            None
        }
    }
}

/// Begins a check: reads the facts of the server in the first database to which it can connect.
struct CheckReading<'a> {
    executor: &'a Executor,
    properties: &'a Properties,
    databases: &'a [String],
    to: MajorVersion,
    offered: &'a Offered,
}

impl Retryable for CheckReading<'_> {
    type Outcome = UpgradeCheck;

    async fn attempt(&self) -> Result<UpgradeCheck, AttemptError> {
        let login = self.executor.logins.log_in(self.properties).await?;
        let (facts, defaults) = server_facts(self.executor, &login, self.databases).await?;
        let to = self.to.0;
        let upgrade = Upgrade {
            from: facts.major().unwrap_or(to),
            to,
            is_rds: facts.is_rds,
            offer: self.offered.offer.clone(),
            source: self.offered.source.clone(),
            defaults,
        };
        Ok(UpgradeCheck {
            findings: check_server(&facts, &upgrade),
            upgrade,
            server: login.address.to_string(),
            version: facts.version,
        })
    }
}

impl UpgradeCheck {
    /// The result of the server, which has no database.
    pub(super) fn of_server(&self, task: &ResyncTask<'_>, since: Instant) -> DatabaseResult {
        DatabaseResult {
            server: Some(self.server.clone()),
            server_version: Some(self.version.clone()),
            findings: self.findings.clone(),
            basis: Some(self.upgrade.basis()),
            ..task.server.result(state(&self.findings), since)
        }
    }

    /// The facts of the session's database, and the versions to which the server can update its extensions, if they are
    /// needed.
    async fn read(
        &self,
        mut session: Session,
    ) -> Result<(DatabaseFacts, OldUpdates), DatabaseError> {
        let upgrade = &self.upgrade;
        let types = refused_types(upgrade.from, upgrade.to);
        let look = session.database_look(upgrade.from, &types).await?;
        let facts = match facts_of_look(look, upgrade) {
            Some(facts) => facts,
            None => session.database_facts(upgrade.from, &types).await?,
        };
        let wanted = wants_updates(&facts, upgrade);
        let updates = if wanted.is_empty() {
            OldUpdates::default()
        } else {
            session.updates_of(&wanted).await?
        };
        session.close();
        Ok((facts, updates))
    }

    /// Checks one database.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub(super) async fn of_database(
        &self,
        pools: &Pools,
        task: &ResyncTask<'_>,
        target: &Target,
        password: &Password,
    ) -> Result<DatabaseResult, ReconcileError> {
        let since = Instant::now();
        let upgrade = &self.upgrade;
        // A database that is not managed, such as template1, is checked nevertheless.
        let first = FirstStatement::for_reading(CATALOG_TIMEOUT);
        let session = pools.session_after(first, target, password).await?;
        let read = match self.read(session).await {
            // Settings of the database or the role may be the cause: an ordinary session resets all of them.
            Err(error) if error.sql().is_some() => {
                let session = pools.session_for_listing(target, password).await?;
                self.read(session).await
            }
            read => read,
        };
        let (mut facts, updates) = read?;
        if wants_declarations(&facts, upgrade, &updates) {
            facts.declared = match declared(pools, target, password).await {
                Ok(declared) => declared,
                // Without the declarations no finding relies on the worker.
                Err(error) => {
                    warn!(database = target.database, %error, "what is declared could not be read");
                    Vec::new()
                }
            };
        }
        let findings = check_database(&facts, upgrade, &updates);
        let state = state(&findings);
        Ok(DatabaseResult {
            server: Some(target.address.to_string()),
            database: Some(target.database.clone()),
            server_version: Some(self.version.clone()),
            extensions: extensions(&facts, &findings, upgrade),
            basis: Some(upgrade.basis()),
            findings,
            ..task.server.result(state, since)
        })
    }
}

/// The installed extensions, each with the effect of the upgrade and the version that the target installs.
fn extensions(
    facts: &DatabaseFacts,
    findings: &[Finding],
    upgrade: &Upgrade,
) -> Vec<ExtensionResult> {
    let of = |name: &str| {
        let about = findings.iter().filter(|finding| finding.object == name);
        about.min_by_key(|finding| finding.severity)
    };
    let result = |extension: &ExtensionFacts| {
        let finding = of(&extension.name);
        let offered = upgrade
            .offer
            .as_ref()
            .and_then(|offer| offer.extensions.get(&extension.name));
        ExtensionResult {
            name: extension.name.clone(),
            state: match finding.map(|finding| finding.severity) {
                Some(Severity::Blocks) => ExtensionState::Blocked,
                Some(Severity::StepBefore) => ExtensionState::NeedsSteps,
                Some(Severity::StepAfter) => ExtensionState::Outdated,
                Some(Severity::Note) | None => ExtensionState::Ready,
            },
            installed: Some(extension.version.clone()),
            default: offered.and_then(|offered| offered.default.clone()),
            declared: None,
            schema: None,
            owners: Vec::new(),
            blocks_major_upgrade: false,
            change: finding.and_then(|finding| finding.remedy.clone()),
        }
    };
    facts.extensions.iter().map(result).collect()
}
