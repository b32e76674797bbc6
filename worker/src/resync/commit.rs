//! Writes the result of a re-sync to the ledger of a database.

use chrono::Utc;

use super::assessment::Findings;
use super::task::ResyncTask;
use crate::ledger::{Ledger, LiveResource, ResyncEntry, WholeLedger, newest_version};
use crate::postgres::Session;
use crate::postgres_error::DatabaseError;
use crate::reconcile::transaction::ReconcileError;
use crate::resync_protocol::event::DatabaseResult;

/// Commits; if nothing changed, there is nothing to write.
pub(super) async fn commit(
    mut session: Session,
    task: &ResyncTask<'_>,
    whole: &WholeLedger,
    ledger: &Ledger,
    findings: &Findings,
    result: &DatabaseResult,
    ledger_version: Option<u32>,
) -> Result<(), ReconcileError> {
    let baseline = task.baseline.filter(|baseline| {
        let key = &baseline.declarer.key;
        let is_declared = |resource: &LiveResource| {
            resource.key == *key && resource.declared == baseline.declared
        };
        !whole.resources.iter().any(is_declared)
    });
    let server_version = result.server_version.as_deref().unwrap_or_default();
    // Without resources there is no row that could store it.
    let is_same_engine =
        whole.resources.is_empty() || whole.server_version.as_deref() == Some(server_version);
    if findings.done.is_empty()
        && baseline.is_none()
        && ledger.managed == whole.managed
        && is_same_engine
    {
        session.close();
        return Ok(());
    }
    if ledger_version != Some(newest_version()) {
        session.migrate_ledger(ledger_version).await?;
    }
    let stored = serde_json::to_value(result)
        .map_err(|error| DatabaseError::Unreadable(error.to_string()))?;
    let entry = ResyncEntry {
        resync_id: task.server.resync_id,
        result: (!findings.done.is_empty()).then_some(&stored),
        baseline: baseline.map(|baseline| (&baseline.declarer.key, &baseline.declared)),
        managed_before: &whole.managed,
        managed_after: &ledger.managed,
        changed_at: Utc::now(),
        server_version,
    };
    session.commit_resync(&entry).await?;
    Ok(())
}
