//! How far a database is from what is declared, where PostgreSQL is asked about what its catalogue does not know: a re-sync
//! knows no less of what the server offers than a request does.

use std::collections::BTreeSet;

use super::assess::Findings;
use super::database::STATEMENT_TIME;
use super::order::Order;
use crate::database::Session;
use crate::extension::Observed;
use crate::fault::{Class, DatabaseError, classify};
use crate::pass::PassError;
use crate::plan::{Declarer, Drift, Fault, Ledger, Step, drift};
use crate::reconcile::{Question, Ruling, ask};
use crate::response::reason;
use crate::server::Target;

/// What it takes to ask.
pub(super) struct Asking<'a, 'o> {
    pub(super) session: &'a mut Session,
    pub(super) order: &'a Order<'o>,
    pub(super) target: &'a Target,
    /// Why the server's list of extensions is not read, where it is not.
    pub(super) unread: Option<&'a DatabaseError>,
    /// Whether what PostgreSQL refuses is a part of the result.
    pub(super) last: bool,
}

impl Asking<'_, '_> {
    /// Compares, and has PostgreSQL try in a repair what stands in the way. What was learnt is added to what is observed.
    ///
    /// # Errors
    /// [`PassError`], where trying again may help.
    pub(super) async fn drift(
        &mut self,
        declarer: &Declarer,
        observed: &mut Observed,
        ledger: &Ledger,
        findings: &mut Findings,
    ) -> Result<Drift, PassError> {
        let question = Question {
            declarations: &declarer.declarations,
            policy: self.order.policy,
            may_try: self.order.is_repair() && !observed.in_recovery,
        };
        let mut asked = BTreeSet::new();
        let mut refused = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        loop {
            let mut found = drift(declarer, observed, ledger, self.order.policy);
            let is_new = |fault: &&Fault| !asked.contains(&fault.extension);
            let Some(fault) = found.faults.iter().find(is_new) else {
                found
                    .faults
                    .retain(|fault| !refused.contains(&fault.extension));
                self.note_unread(&mut found, &unknown, findings);
                return Ok(found);
            };
            asked.insert(fault.extension.clone());
            let ruling = ask(
                self.session,
                question,
                &fault.obstacle,
                observed,
                STATEMENT_TIME,
            );
            match ruling.await {
                Ok(Ruling::NotAsked) if !fault.obstacle.sqlstates().is_empty() => {
                    unknown.insert(fault.extension.clone());
                }
                Ok(Ruling::NotAsked | Ruling::Agreed | Ruling::Overruled) => {}
                Err(PassError::Database {
                    error,
                    step: Some(step),
                }) if self.last || !may_pass(&error, &step) => {
                    let reason = reason::of_database(&error, Some(&step), self.target);
                    findings.fault(&fault.extension, reason);
                    refused.insert(fault.extension.clone());
                }
                Err(untrusted @ PassError::UntrustedObjects(_)) => {
                    findings.fault(&fault.extension, untrusted.reason(self.target));
                    refused.insert(fault.extension.clone());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What is not known for a list that could not be read is no fault of the declaration's.
    fn note_unread(&self, found: &mut Drift, unknown: &BTreeSet<String>, findings: &mut Findings) {
        let Some(unread) = self.unread else {
            return;
        };
        found.faults.retain(|fault| {
            let is_unknown = unknown.contains(&fault.extension);
            if is_unknown {
                let reason = reason::of_database(unread, None, self.target);
                findings.fault(&fault.extension, reason);
            }
            !is_unknown
        });
    }
}

/// Whether a refused step may work the next time.
pub(super) fn may_pass(error: &DatabaseError, step: &Step) -> bool {
    !matches!(
        classify(error, step.statement()),
        Class::Permanent | Class::Prerequisite(_)
    )
}
