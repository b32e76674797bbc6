//! The difference between a database and the declarations of a resource of its ledger, or of a baseline. Nothing is dropped
//! here, except to be created again.

use super::{Intent, Plan, PlanError, Policy, Step, plan};
use crate::extension::{Declaration, DeletionBehavior, Ensure, Observed};
use crate::ledger::{Ledger, ResourceKey};

/// A resource or baseline with declarations for a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declarer {
    /// The resource, or the baseline.
    pub(crate) key: ResourceKey,
    /// What it declares.
    pub(crate) declarations: Vec<Declaration>,
}

/// The difference for one declarer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Drift {
    /// In order; none of them drops an extension, except to create it again.
    pub(crate) steps: Vec<Step>,
    /// Declarations that cannot be met, each with its extension.
    pub(crate) unmet: Vec<UnmetDeclaration>,
    /// Extensions that are declared absent, and installed: a re-sync does not drop them.
    pub(crate) unwanted: Vec<String>,
}

/// A declaration that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnmetDeclaration {
    /// The extension.
    pub(crate) extension: String,
    /// Why it cannot be met.
    pub(crate) plan_error: PlanError,
}

/// Compares. A declaration that cannot be met does not prevent others.
pub(crate) fn drift(
    declarer: &Declarer,
    observed: &Observed,
    ledger: &Ledger,
    policy: &Policy,
) -> Drift {
    let is_unwanted = |name: &&String| {
        declarer
            .declarations
            .iter()
            .any(|declaration| declaration.ensure == Ensure::Absent && declaration.name.means(name))
    };
    let mut drift = Drift {
        unwanted: observed
            .installed
            .keys()
            .filter(is_unwanted)
            .cloned()
            .collect(),
        ..Drift::default()
    };
    let mut declarations: Vec<Declaration> = declarer
        .declarations
        .iter()
        .filter(|declaration| declaration.ensure == Ensure::Present)
        .cloned()
        .collect();
    let plan = loop {
        let intent = Intent {
            resource: &declarer.key,
            declarations: &declarations,
            deletion_behavior: DeletionBehavior::Retain,
            policy,
        };
        let plan_error = match plan(&intent, observed, ledger) {
            Ok(plan) => break plan,
            Err(plan_error) => plan_error,
        };
        let extension = plan_error.extension().to_owned();
        let count = declarations.len();
        declarations.retain(|declaration| !declaration.name.means(&extension));
        drift.unmet.push(UnmetDeclaration {
            extension,
            plan_error,
        });
        if declarations.len() == count {
            break Plan::default();
        }
    };
    drift.steps = plan.steps;
    drift
        .steps
        .retain(|step| !matches!(step, Step::Drop { .. }));
    drift
}
