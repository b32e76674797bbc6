//! Compares a database with its declarations, and has PostgreSQL try what the catalog does not know, so that a re-sync
//! considers the same offer as a request.

use std::collections::BTreeSet;

use super::assessment::Findings;
use super::database::STATEMENT_TIME;
use super::task::ResyncTask;
use crate::extension::{Declaration, Observed};
use crate::ledger::Ledger;
use crate::plan::{Declarer, Drift, UnmetDeclaration, drift};
use crate::postgres::Session;
use crate::postgres_error::DatabaseError;
use crate::reconcile::transaction::ReconcileError;
use crate::reconcile::{Question, Refusals, ServerAnswer, try_on_server};
use crate::response::reason;
use crate::target::Target;

/// Parameters of the comparison.
pub(super) struct Asking<'a, 'o> {
    pub(super) session: &'a mut Session,
    pub(super) task: &'a ResyncTask<'o>,
    pub(super) target: &'a Target,
    /// The declarations of all declarers.
    pub(super) declarations: &'a [Declaration],
    /// Why the server's list of extensions is not read; `None` if it is read.
    pub(super) unread: Option<&'a DatabaseError>,
    pub(super) refusals: Refusals,
    /// The stages of updates that were committed before.
    pub(super) committed: usize,
    /// Whether updates may be committed one by one.
    pub(super) may_stage: bool,
}

impl Asking<'_, '_> {
    /// Compares, and in a repair has PostgreSQL try the statement of a declaration that the catalog cannot meet. The result
    /// is added to the observation.
    ///
    /// # Errors
    /// [`ReconcileError`], if another attempt may help.
    pub(super) async fn drift(
        &mut self,
        declarer: &Declarer,
        observed: &mut Observed,
        ledger: &Ledger,
        findings: &mut Findings,
    ) -> Result<Drift, ReconcileError> {
        let question = Question {
            declarations: &declarer.declarations,
            policy: self.task.policy,
            may_try: self.task.is_repair() && !observed.in_recovery,
        };
        let mut asked = BTreeSet::new();
        let mut refused = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        loop {
            let mut found = drift(declarer, observed, ledger, self.task.policy);
            let is_new = |unmet: &&UnmetDeclaration| !asked.contains(&unmet.extension);
            let Some(unmet) = found.unmet.iter().find(is_new) else {
                found
                    .unmet
                    .retain(|unmet| !refused.contains(&unmet.extension));
                self.note_unread(&mut found, &unknown, findings);
                return Ok(found);
            };
            asked.insert(unmet.extension.clone());
            let server_answer = try_on_server(
                self.session,
                question,
                &unmet.plan_error,
                observed,
                STATEMENT_TIME.timeout(),
            );
            match server_answer.await {
                Ok(ServerAnswer::NotAsked) if !unmet.plan_error.sqlstates().is_empty() => {
                    unknown.insert(unmet.extension.clone());
                }
                Ok(ServerAnswer::NotAsked | ServerAnswer::Agreed | ServerAnswer::Overruled) => {}
                Err(ReconcileError::Database {
                    error,
                    step: Some(step),
                }) if self.refusals.leaves_out(&error, &step) => {
                    let reason = reason::of_database(&error, Some(&step), self.target);
                    findings.add_fault(&unmet.extension, reason);
                    refused.insert(unmet.extension.clone());
                }
                Err(untrusted @ ReconcileError::UntrustedObjects(_)) => {
                    findings.add_fault(&unmet.extension, untrusted.reason(self.target));
                    refused.insert(unmet.extension.clone());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A declaration is not unmet if only the list that could not be read would show that it can be met.
    fn note_unread(&self, found: &mut Drift, unknown: &BTreeSet<String>, findings: &mut Findings) {
        let Some(unread) = self.unread else {
            return;
        };
        found.unmet.retain(|unmet| {
            let is_unknown = unknown.contains(&unmet.extension);
            if is_unknown {
                let reason = reason::of_database(unread, None, self.target);
                findings.add_fault(&unmet.extension, reason);
            }
            !is_unknown
        });
    }
}
