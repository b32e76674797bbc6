//! Begins a transaction: observes the database, and migrates and reads its ledger.

use super::transaction::{ReconcileError, Reconciliation};
use crate::extension::Observed;
use crate::ledger::{Ledger, newest_version};
use crate::plan::offer_parts_of_newest;
use crate::postgres::Session;
use crate::postgres_error::DatabaseError;

/// A transaction that has begun.
pub(super) struct Begun {
    pub(super) observed: Observed,
    pub(super) ledger: Ledger,
    pub(super) has_ledger: bool,
}

/// Begins the transaction, and reads the database and its ledger.
///
/// # Errors
/// [`ReconcileError`].
pub(super) async fn begin(
    session: &mut Session,
    reconciliation: &Reconciliation<'_>,
) -> Result<Begun, ReconcileError> {
    let request = reconciliation.request;
    let (observed, read_along) = session
        .begin_and_read(
            reconciliation.declarations(),
            reconciliation.statement_time().timeout(),
            request.resource,
            request.request_id,
            &offer_parts_of_newest(reconciliation.declarations()),
        )
        .await?;
    let is_older = |version: u32| version > 0 && version < newest_version();
    if observed.ledger_version.is_some_and(is_older) && !observed.in_recovery {
        reconciliation.check_blue_green().await?;
    }
    let form = migrate(session, &observed).await?;
    let ledger = match (read_along, form) {
        (Some(ledger), _) => ledger,
        (None, LedgerForm::Newest) => {
            session
                .read_ledger(request.resource, request.request_id)
                .await?
        }
        (None, LedgerForm::Absent | LedgerForm::Older(_)) => Ledger::default(),
    };
    Ok(Begun {
        observed,
        ledger,
        has_ledger: form != LedgerForm::Absent,
    })
}

/// The version of a database's ledger. Only the newest version is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LedgerForm {
    /// There is no ledger.
    Absent,
    /// The newest version.
    Newest,
    /// This older version, on a replica, on which it cannot be migrated.
    Older(u32),
}

/// Migrates the ledger to the newest version, if there is one.
///
/// # Errors
/// [`DatabaseError`].
pub(crate) async fn migrate(
    session: &mut Session,
    observed: &Observed,
) -> Result<LedgerForm, DatabaseError> {
    match observed.ledger_version {
        None | Some(0) => Ok(LedgerForm::Absent),
        Some(version) if version >= newest_version() => Ok(LedgerForm::Newest),
        Some(version) if observed.in_recovery => Ok(LedgerForm::Older(version)),
        older => {
            session.migrate_ledger(older).await?;
            Ok(LedgerForm::Newest)
        }
    }
}
