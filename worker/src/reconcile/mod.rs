//! One reconciliation of a database: observe, plan, apply and observe again, in one transaction with the ledger. If
//! PostgreSQL refuses this in one transaction, the stages of its updates come before, each in a transaction of its own.
//!
//! A failed reconciliation leaves only such stages, and the next one observes again: no code undoes anything.

mod apply;
mod basis;
mod begin;
mod blue_green;
mod commit;
mod idempotency;
mod offer;
mod outcome;
mod packaging;
mod planning;
mod script_check;
mod server_decides;
mod stages;
mod transact;
pub(crate) mod transaction;

use self::basis::attempt;
pub(crate) use self::stages::Stages;
use self::transaction::{ReconcileError, ReconcileResult, Reconciliation};
use crate::plan::Step;
use crate::postgres::Pools;
use crate::postgres_error::DatabaseError;
use crate::target::Target;

pub(crate) use self::apply::{ApplyContext, Refusals, StatementTime, apply};
pub(crate) use self::begin::{LedgerForm, migrate};
pub use self::blue_green::BlueGreenDeployments;
pub(crate) use self::commit::record_response;
pub(crate) use self::offer::OfferReader;
pub(crate) use self::packaging::with_packaging;
pub(crate) use self::planning::unread;
pub(crate) use self::script_check::{check_script_after_steps, check_scripts, check_scripts_again};
pub(crate) use self::server_decides::{
    Question, ServerAnswer, is_control_file_error, try_on_server,
};

/// Reconciles a database.
///
/// # Errors
/// [`ReconcileError`]; nothing was changed then, unless the connection was lost at COMMIT: the next reconciliation reads
/// the result in the ledger.
pub(crate) async fn reconcile(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
) -> Result<ReconcileResult, ReconcileError> {
    let stages = Stages {
        pools,
        target: reconciliation.target,
        password: reconciliation.password,
        resource: reconciliation.request.resource,
        request_id: reconciliation.request.request_id,
        published_at: Some(reconciliation.request.published_at),
        statement_time: reconciliation.statement_time(),
    };
    let mut committed = Vec::new();
    loop {
        let end = attempt(pools, reconciliation, &mut committed).await;
        let Err(ReconcileError::StagesNeeded {
            updates,
            error,
            step,
        }) = end
        else {
            return end.map_err(|error| error.after(committed));
        };
        match stages.walk(&updates, &mut committed).await {
            Ok(true) => {}
            Ok(false) => {
                let failed = match error {
                    Some(error) => ReconcileError::Database {
                        error,
                        step: Some(step),
                    },
                    None => ReconcileError::NotConverged(vec![*step]),
                };
                return Err(failed.after(committed));
            }
            Err(error) => return Err(error.after(committed)),
        }
    }
}

/// A library that a session has loaded stays loaded: after an update no session from before it may go on.
pub(crate) fn discard_outdated_sessions(pools: &Pools, target: &Target, done: &[Step]) {
    let is_update = |step: &Step| matches!(step, Step::Update { .. } | Step::Recreate { .. });
    if done.iter().any(is_update) {
        pools.discard_idle(target);
    }
}

fn unreadable(error: serde_json::Error) -> ReconcileError {
    DatabaseError::Unreadable(error.to_string()).into()
}
