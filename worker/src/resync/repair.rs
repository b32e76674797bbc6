//! Changes a database to what one of its declarers declares, in the transaction of the comparison.

use super::asking::Asking;
use super::assessment::Findings;
use super::database::STATEMENT_TIME;
use crate::extension::{DeletionBehavior, Observed};
use crate::ledger::Ledger;
use crate::plan::{Declarer, Intent, Step, update_ownership};
use crate::reconcile::transaction::ReconcileError;
use crate::reconcile::{ApplyContext, apply, with_packaging};

impl Asking<'_, '_> {
    /// Applies the missing steps of a declarer, and records which extensions it owns afterwards and which steps were
    /// refused.
    ///
    /// # Errors
    /// [`ReconcileError`], if the transaction cannot continue.
    pub(super) async fn repair(
        &mut self,
        declarer: &Declarer,
        steps: Vec<Step>,
        observed: &mut Observed,
        ledger: &mut Ledger,
        findings: &mut Findings,
    ) -> Result<(), ReconcileError> {
        let steps = with_packaging(self.session, steps, observed).await?;
        let context = ApplyContext {
            database: &self.target.database,
            declarations: self.declarations,
            refusals: self.refusals,
            earlier: findings.done.get(self.committed..).unwrap_or_default(),
            may_stage: self.may_stage,
            statement_time: STATEMENT_TIME,
        };
        let applied = apply(self.session, steps, observed, context).await?;
        for (extension, error) in &applied.refused {
            findings.add_fault(extension, error.reason(self.target));
        }
        let before = std::mem::replace(observed, applied.after);
        let is_baseline = self
            .task
            .baseline
            .is_some_and(|baseline| baseline.declarer.key == declarer.key);
        if !applied.done.is_empty() || is_baseline {
            let intent = Intent {
                resource: &declarer.key,
                declarations: &declarer.declarations,
                // Nothing is dropped; an extension that was created for it stays in the ledger, to be dropped with it.
                deletion_behavior: DeletionBehavior::DropUnused,
                policy: self.task.policy,
            };
            ledger.managed = update_ownership(&intent, &applied.done, &before, observed, ledger);
        }
        findings.done.extend(applied.done);
        Ok(())
    }
}
