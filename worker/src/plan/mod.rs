//! From the declarations of a stack and the observation of a database to the steps that change it.
//!
//! Pure: the same declarations, observation and ledger always give the same plan, and the planner never does I/O. After the
//! steps of a plan were applied, the next plan is empty.

mod blue_green;
mod drift;
mod error;
mod follow_ups;
mod install;
mod offer;
mod order;
mod outcome;
mod ownership;
mod policy;
mod preflight;
#[cfg(test)]
mod proptests;
pub(crate) mod recipes;
mod release;
mod script;
mod step;
#[cfg(test)]
mod tests;
mod version;

pub(crate) use blue_green::{BlueGreenCheck, Part, Side};
pub(crate) use drift::{Declarer, Drift, UnmetDeclaration, drift};
pub(crate) use error::PlanError;
pub(crate) use follow_ups::{FollowUp, follow_ups};
pub(crate) use offer::{
    OfferParts, asks_for_newest, offer_parts, offer_parts_of, offer_parts_of_newest,
};
pub use outcome::DatabaseOutcome;
pub use ownership::update_ownership;
pub(crate) use policy::ExtensionPattern;
pub use policy::Policy;
pub(crate) use recipes::{needs_fresh_session, packaged_object};
pub(crate) use release::{Retained, RetainedBecause};
pub use script::SchemaCheck;
pub(crate) use script::ScriptScope;
pub(crate) use step::{DropMode, Step};
pub(crate) use version::compare_naturally;

use self::install::install;
use crate::extension::{AvailableExtension, Declaration, DeletionBehavior, Ensure, Observed};
use crate::ledger::{Ledger, ResourceKey};

/// The declarations of one resource for one database. Without declarations everything that it owns is to be dropped.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The resource.
    pub resource: &'a ResourceKey,
    /// What it declares.
    pub declarations: &'a [Declaration],
    /// What happens to extensions that it owns and no longer declares.
    pub deletion_behavior: DeletionBehavior,
    /// The operator's limits.
    pub policy: &'a Policy,
}

/// The steps, and the extensions that stay although the resource no longer declares them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// One statement each.
    pub steps: Vec<Step>,
    /// Extensions that stay, each with the reason.
    pub retained: Vec<Retained>,
    /// Warnings.
    pub(crate) warnings: Vec<Warning>,
}

/// A problem that PostgreSQL does not report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The extension does not work until its library is in `shared_preload_libraries`.
    NotPreloaded {
        /// The extension.
        name: String,
    },
    /// An existing resource has `DeletionBehavior: DropCascade`, and the operator does not allow it.
    NoDropCascade,
}

/// Plans one database.
///
/// # Errors
/// [`PlanError`], the first declaration that cannot be met.
pub fn plan(intent: &Intent<'_>, observed: &Observed, ledger: &Ledger) -> Result<Plan, PlanError> {
    let mut present = Vec::new();
    let mut absent = Vec::new();
    for declaration in intent.declarations {
        match declaration.ensure {
            Ensure::Present => present.push((declaration, offered(declaration, observed)?)),
            Ensure::Absent => absent.push(declaration),
        }
    }
    order::by_requirements(&mut present, observed);

    let mut plan = Plan::default();
    plan.warnings
        .extend(release::check_behavior(intent, ledger)?);
    let mut drops = release::removals(intent, &absent, &present, observed, ledger)?;
    release::release(
        intent,
        &present,
        observed,
        ledger,
        &mut drops,
        &mut plan.retained,
    );
    release::check_drops(intent, &drops)?;
    for (name, version) in
        order::dependents_first(&drops.keys().map(String::as_str).collect(), observed)
    {
        if let Some(&mode) = drops.get(&name) {
            plan.steps.push(Step::Drop {
                name,
                version,
                mode,
            });
        }
    }
    for (declaration, offer) in &present {
        plan.warnings
            .extend(preflight::check(offer.name.as_str(), observed)?);
        install(intent, declaration, offer, &present, observed, &mut plan)?;
    }
    Ok(plan)
}

/// The extension of a present declaration: in the server's offer, or installed although the server no longer offers it.
fn offered(
    declaration: &Declaration,
    observed: &Observed,
) -> Result<AvailableExtension, PlanError> {
    if let Some(extension) = observed.catalog.resolve(&declaration.name) {
        return Ok(extension.clone());
    }
    match observed
        .installed
        .keys()
        .find(|name| declaration.name.means(name))
    {
        Some(name) => Ok(AvailableExtension {
            name: crate::extension::ExtensionName::parse(name)
                .map_err(|_| PlanError::not_available(declaration, observed))?,
            default_version: None,
        }),
        None => Err(PlanError::not_available(declaration, observed)),
    }
}
