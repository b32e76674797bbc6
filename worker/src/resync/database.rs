//! One database in a re-sync: look, compare with what its ledger and the baseline declare, and in `Repair` make it so,
//! all in one transaction with the ledger.

use std::time::{Duration, Instant};

use chrono::Utc;
use tracing::info;

use super::assess::Findings;
use crate::database::{Pools, ResyncEntry, Scope, Session, newest_ledger_version};
use crate::events::{DatabaseResult, Mode, State};
use crate::extension::{Declaration, DeletionBehavior, Ensure, Observed, VersionRequest};
use crate::fault::{Class, DatabaseError, classify};
use crate::message::Properties;
use crate::pass::PassError;
use crate::plan::{
    Declarer, Drift, Intent, Ledger, LiveResource, Step, WholeLedger, drift, settle,
};
use crate::response::reason;
use crate::secrets::Password;
use crate::server::Target;

/// How long a statement may run: PostGIS takes its time with large databases.
const STATEMENT_TIME: Duration = Duration::from_secs(900);

/// What a re-sync is to do in each database of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) resync_id: &'a str,
    pub(super) mode: Mode,
    /// The server's key in the re-sync.
    pub(super) key: &'a str,
    /// The secret or instance, as it was given.
    pub(super) target: &'a str,
    pub(super) baseline: Option<&'a Baseline>,
    /// Whether the database was named: the baseline is for those that have a ledger, and for these.
    pub(super) is_named: bool,
}

/// Extensions that every database should have beside what stacks declare.
#[derive(Debug, Clone)]
pub(super) struct Baseline {
    pub(super) declarer: Declarer,
    /// As properties, for the ledger.
    pub(super) declared: serde_json::Value,
}

impl Order<'_> {
    fn is_repair(&self) -> bool {
        self.mode == Mode::Repair
    }

    /// The result of what could not be looked at.
    pub(super) fn failed(
        &self,
        at: Option<&Target>,
        reason: String,
        since: Instant,
    ) -> DatabaseResult {
        DatabaseResult {
            reason: Some(reason),
            server: at.map(|target| target.address.to_string()),
            database: at.map(|target| target.database.clone()),
            ..self.result(State::Failed, since)
        }
    }

    pub(super) fn result(&self, state: State, since: Instant) -> DatabaseResult {
        DatabaseResult {
            resync_id: self.resync_id.to_owned(),
            mode: self.mode,
            key: self.key.to_owned(),
            state,
            target: self.target.to_owned(),
            server: None,
            database: None,
            server_version: None,
            extensions: Vec::new(),
            changes: Vec::new(),
            reason: None,
            at: Utc::now(),
            milliseconds: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Does one database.
///
/// # Errors
/// [`PassError`], after which nothing was changed. At the `last` attempt what PostgreSQL refuses is a part of the result.
pub(super) async fn resync(
    pools: &Pools,
    order: &Order<'_>,
    target: &Target,
    password: &Password,
    last: bool,
) -> Result<DatabaseResult, PassError> {
    let since = Instant::now();
    let mut session = pools.session(target, password).await?;
    let before = session
        .begin(&Scope::default().and_installed(), STATEMENT_TIME)
        .await?;
    let has_ledger = before.ledger_version.is_some_and(|version| version > 0);
    let whole = if has_ledger {
        session.read_whole_ledger(order.resync_id).await?
    } else {
        WholeLedger::default()
    };
    if let Some(earlier) = whole.resync.as_ref().filter(|_| order.is_repair())
        && let Ok(result) = serde_json::from_value::<DatabaseResult>(earlier.clone())
    {
        info!(database = target.database, "this re-sync was here before");
        session.roll_back().await?;
        // Another secret may have led here.
        return Ok(DatabaseResult {
            key: order.key.to_owned(),
            target: order.target.to_owned(),
            server: Some(target.address.to_string()),
            database: Some(target.database.clone()),
            ..result
        });
    }
    let mut findings = Findings::default();
    let baseline = order.baseline.filter(|_| has_ledger || order.is_named);
    let declarers = declarers(&whole.resources, baseline, &mut findings);
    let scope = Scope::of(&declarations(&declarers)).and_installed();
    let is_known = declarers.iter().flat_map(|declarer| &declarer.declarations);
    let mut observed = before;
    if !is_known
        .into_iter()
        .all(|declaration| is_met(declaration, &observed))
    {
        observed = session.observe(&scope).await?;
    }
    let mut ledger = Ledger {
        managed: whole.managed.clone(),
        ..Ledger::default()
    };
    if !order.is_repair() || observed.in_recovery {
        for declarer in &declarers {
            note(
                drift(declarer, &observed, &ledger),
                &mut findings,
                target,
                &observed,
            );
        }
        if order.is_repair() && !findings.to_do.is_empty() {
            return Err(PassError::ReadOnly);
        }
    } else {
        for declarer in &declarers {
            let work = drift(declarer, &observed, &ledger);
            let steps = work.steps.clone();
            note(
                Drift {
                    steps: Vec::new(),
                    ..work
                },
                &mut findings,
                target,
                &observed,
            );
            let done = apply(&mut session, steps, target, last, &mut findings).await?;
            let before = observed.clone();
            if !done.is_empty() {
                observed = session.observe(&scope).await?;
            }
            let is_new = baseline.is_some_and(|baseline| baseline.declarer.key == declarer.key);
            if !done.is_empty() || is_new {
                let intent = Intent {
                    resource: &declarer.key,
                    declarations: &declarer.declarations,
                    // Nothing is dropped; what was created for it stays known, to be dropped with it.
                    deletion_behavior: DeletionBehavior::DropUnused,
                };
                ledger.managed = settle(&intent, &done, &before, &observed, &ledger);
            }
            findings.done.extend(done);
        }
        if !findings.done.is_empty() {
            note_disputes(&declarers, &observed, &ledger, target, &mut findings);
        }
    }
    let state = findings.state(&declarers, order.is_repair());
    let result = DatabaseResult {
        server: Some(target.address.to_string()),
        database: Some(target.database.clone()),
        server_version: Some(observed.server_version.clone()),
        extensions: findings.extensions(&declarers, &observed, order.is_repair()),
        changes: findings.changes(),
        reason: findings.reason(),
        ..order.result(state, since)
    };
    if order.is_repair() {
        keep(
            session,
            order,
            &whole,
            &ledger,
            &findings,
            &result,
            observed.ledger_version,
        )
        .await?;
    } else {
        session.roll_back().await?;
    }
    // A library that a session has loaded stays loaded.
    if findings
        .done
        .iter()
        .any(|step| matches!(step, Step::Update { .. }))
    {
        pools.forget(target);
    }
    Ok(result)
}

/// Commits; where nothing changed there is nothing to write.
async fn keep(
    mut session: Session,
    order: &Order<'_>,
    whole: &WholeLedger,
    ledger: &Ledger,
    findings: &Findings,
    result: &DatabaseResult,
    ledger_version: Option<u32>,
) -> Result<(), PassError> {
    let baseline = order.baseline.filter(|baseline| {
        let key = &baseline.declarer.key;
        let is_declared = |resource: &LiveResource| {
            resource.key == *key && resource.declared == baseline.declared
        };
        (ledger_version.unwrap_or(0) > 0 || order.is_named)
            && !whole.resources.iter().any(is_declared)
    });
    if findings.done.is_empty() && baseline.is_none() && ledger.managed == whole.managed {
        session.roll_back().await?;
        return Ok(());
    }
    if ledger_version != Some(newest_ledger_version()) {
        session.migrate_ledger(ledger_version).await?;
    }
    let stored = serde_json::to_value(result)
        .map_err(|error| DatabaseError::Unreadable(error.to_string()))?;
    let entry = ResyncEntry {
        resync_id: order.resync_id,
        result: (!findings.done.is_empty()).then_some(&stored),
        baseline: baseline.map(|baseline| (&baseline.declarer.key, &baseline.declared)),
        managed_before: &whole.managed,
        managed_after: &ledger.managed,
    };
    session.commit_resync(&entry).await?;
    Ok(())
}

/// Carries steps out, each for itself. Before the last attempt what may pass ends it.
async fn apply(
    session: &mut Session,
    steps: Vec<Step>,
    target: &Target,
    last: bool,
    findings: &mut Findings,
) -> Result<Vec<Step>, PassError> {
    let mut done = Vec::new();
    for step in steps {
        let error = match session.try_apply(&step, STATEMENT_TIME).await {
            Ok(Ok(())) => {
                info!(database = target.database, sql = step.sql(), "{step}");
                done.push(step);
                continue;
            }
            Ok(Err(error)) => error,
            Err(error) => {
                return Err(PassError::Database {
                    error,
                    step: Some(Box::new(step)),
                });
            }
        };
        let may_pass = !matches!(classify(&error), Class::Permanent | Class::Prerequisite(_));
        if may_pass && !last {
            return Err(PassError::Database {
                error,
                step: Some(Box::new(step)),
            });
        }
        let reason = reason::of_database(&error, Some(&step), target);
        findings.fault(step.extension(), reason);
    }
    Ok(done)
}

/// What one declarer has made so, and another declares otherwise, is not as both declare it.
fn note_disputes(
    declarers: &[Declarer],
    observed: &Observed,
    ledger: &Ledger,
    target: &Target,
    findings: &mut Findings,
) {
    for declarer in declarers {
        let mut left = drift(declarer, observed, ledger);
        for step in std::mem::take(&mut left.steps) {
            let name = step.extension();
            if !findings.faults.iter().any(|(fault, _)| fault == name) {
                let reason = format!(
                    "{name} is not as {} declares it, since another declares it otherwise: still to do is {}.",
                    declarer.key,
                    step.sql()
                );
                findings.fault(name, reason);
            }
        }
        note(left, findings, target, observed);
    }
}

fn note(drift: Drift, findings: &mut Findings, target: &Target, observed: &Observed) {
    for step in drift.steps {
        if !findings.to_do.contains(&step) {
            findings.to_do.push(step);
        }
    }
    for fault in drift.faults {
        let reason = reason::of_obstacle(&fault.obstacle, target, &observed.server_version);
        findings.fault(&fault.extension, reason);
    }
    findings.unwanted.extend(drift.unwanted);
}

/// What the ledger's resources declare, and the baseline in the place of an earlier one of its name.
fn declarers(
    resources: &[LiveResource],
    baseline: Option<&Baseline>,
    findings: &mut Findings,
) -> Vec<Declarer> {
    let mut declarers = Vec::new();
    for resource in resources {
        if baseline.is_some_and(|baseline| baseline.declarer.key == resource.key) {
            continue;
        }
        match Properties::parse(&resource.declared) {
            Ok(properties) => declarers.push(Declarer {
                key: resource.key.clone(),
                declarations: properties.declarations,
            }),
            Err(fault) => {
                let reason = format!("{}: {fault}.", resource.key);
                findings.fault("", reason);
            }
        }
    }
    declarers.extend(baseline.map(|baseline| baseline.declarer.clone()));
    declarers
}

fn declarations(declarers: &[Declarer]) -> Vec<Declaration> {
    let all = declarers.iter().flat_map(|declarer| &declarer.declarations);
    all.cloned().collect()
}

/// Whether the first look shows that nothing is to be done for a declaration; otherwise more is read to plan by.
fn is_met(declaration: &Declaration, observed: &Observed) -> bool {
    let installed = observed
        .installed
        .iter()
        .find(|(name, _)| declaration.name.means(name));
    let Some((_, installed)) = installed else {
        return declaration.ensure == Ensure::Absent;
    };
    let offer = observed.catalog.resolve(&declaration.name);
    let default = offer.and_then(|offer| offer.default_version.as_ref());
    let is_in_place = declaration
        .schema
        .as_ref()
        .is_none_or(|schema| *schema == installed.schema);
    is_in_place
        && match &declaration.version {
            VersionRequest::Unset => true,
            VersionRequest::Default => default == Some(&installed.version),
            VersionRequest::Exact(version) => *version == installed.version,
            VersionRequest::Matching(_) => false,
        }
}
