//! From what a stack declares and what a database has to the steps that make the one the other.
//!
//! Pure: the same declarations, observation and ledger always give the same plan; the planner never does I/O. What was
//! planned, once applied, plans to nothing.

mod blue_green;
mod drift;
mod error;
mod offer;
mod order;
mod outcome;
mod ownership;
mod policy;
mod preflight;
#[cfg(test)]
mod proptests;
pub mod recipes;
mod release;
mod script;
mod step;
#[cfg(test)]
mod tests;
mod version;

pub use blue_green::{BlueGreenCheck, Part, Side};
pub use drift::{Declarer, Drift, UnmetDeclaration, drift};
pub use error::PlanError;
pub use offer::{OfferParts, asks_for_newest, offer_parts, offer_parts_of, offer_parts_of_newest};
pub use outcome::DatabaseOutcome;
pub use ownership::update_ownership;
pub use policy::{ExtensionPattern, Policy};
pub use recipes::{FollowUp, follow_ups, needs_fresh_session, packaged_object};
pub use release::{Retained, RetainedBecause};
pub use script::{SchemaCheck, script_schemas};
pub use step::{DropMode, Step};
pub use version::compare_naturally;

use self::version::Way;
use crate::extension::{
    AvailableExtension, Declaration, DeletionBehavior, Ensure, Observed, SchemaName, Version,
};
use crate::ledger::{Ledger, ResourceKey};

/// What one resource wants of one database. Without declarations it wants all that it owns gone.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The resource.
    pub resource: &'a ResourceKey,
    /// What it declares.
    pub declarations: &'a [Declaration],
    /// What becomes of what it owns and no longer declares.
    pub deletion_behavior: DeletionBehavior,
    /// What the operator allows.
    pub policy: &'a Policy,
}

/// What is to be done, in order, and what is left although the resource no longer declares it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// One statement each.
    pub steps: Vec<Step>,
    /// Extensions that stay, each with why.
    pub retained: Vec<Retained>,
    /// What PostgreSQL itself is silent about.
    pub warnings: Vec<Warning>,
}

/// What PostgreSQL lets pass without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The extension does not work until its library is in `shared_preload_libraries`.
    NotPreloaded {
        /// The extension.
        name: String,
    },
    /// `DeletionBehavior: DropCascade` of a resource that is there already, where the operator does not allow it.
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

/// What a declaration of a present extension refers to: the server's offer, or what is installed although the server
/// offers it no more.
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

/// `Ensure: present`.
fn install(
    intent: &Intent<'_>,
    declaration: &Declaration,
    offer: &AvailableExtension,
    present: &[(&Declaration, AvailableExtension)],
    observed: &Observed,
    plan: &mut Plan,
) -> Result<(), PlanError> {
    let name = offer.name.as_str();
    let Some(installed) = observed.installed.get(name) else {
        return create(intent, declaration, offer, present, observed, plan);
    };
    let way = version::to_go_to(declaration, offer, &installed.version, &observed.catalog)?;
    match way {
        Some(Way::Update(to)) => plan.steps.push(Step::Update {
            name: offer.name.clone(),
            from: installed.version.clone(),
            to,
        }),
        Some(Way::Recreate(to)) => {
            let script = to_run(intent, declaration, offer, &to, present, observed)?;
            if let Some(fixed) = script
                .schema
                .clone()
                .filter(|schema| *schema != installed.schema)
            {
                return Err(PlanError::FixedSchema {
                    name: declaration.name.clone(),
                    fixed,
                    asked: installed.schema.clone(),
                });
            }
            let schema = script.schema.is_none().then(|| installed.schema.clone());
            plan.steps.push(Step::Recreate {
                name: offer.name.clone(),
                from: installed.version.clone(),
                to,
                schema,
                cascade: script.brings_others,
            });
        }
        None => {}
    }
    if let Some(schema) = declaration
        .schema
        .as_ref()
        .filter(|schema| **schema != installed.schema)
    {
        if !installed.relocatable {
            return Err(PlanError::NotRelocatable {
                name: declaration.name.clone(),
                installed_in: installed.schema.clone(),
                asked: schema.clone(),
            });
        }
        ensure_schema(declaration, schema, observed, plan)?;
        plan.steps.push(Step::SetSchema {
            name: offer.name.clone(),
            from: installed.schema.clone(),
            to: schema.clone(),
        });
    }
    Ok(())
}

/// What is known of the script that creates a version.
struct Script {
    /// Whether extensions that it requires are created with it.
    brings_others: bool,
    /// The schema that the control file fixes.
    schema: Option<SchemaName>,
}

/// Whether the extension may be created in this version.
fn to_run(
    intent: &Intent<'_>,
    declaration: &Declaration,
    offer: &AvailableExtension,
    version: &Version,
    present: &[(&Declaration, AvailableExtension)],
    observed: &Observed,
) -> Result<Script, PlanError> {
    if let Some(allowed) = observed
        .allowed_extensions
        .as_deref()
        .filter(|allowed| !allows(allowed, offer))
    {
        return Err(PlanError::NotAllowed {
            name: declaration.name.clone(),
            role: observed.role.clone(),
            allowed: allowed.to_owned(),
        });
    }
    let script = observed
        .catalog
        .versions_of(offer.name.as_str())
        .find(|row| row.version == *version);
    let undeclared: Vec<String> = script
        .and_then(|row| row.requires.clone())
        .unwrap_or_default()
        .into_iter()
        .filter(|required| {
            !observed.installed.contains_key(required)
                && !present
                    .iter()
                    .any(|(_, offer)| offer.name.as_str() == required)
        })
        .collect();
    if !undeclared.is_empty() && !declaration.cascade {
        return Err(PlanError::MissingRequirements {
            name: declaration.name.clone(),
            missing: undeclared,
        });
    }
    let name_to_create = offer.name.as_str();
    if let Some(forbidden) =
        intent
            .policy
            .forbidden_by(name_to_create, !undeclared.is_empty(), observed)
    {
        return Err(PlanError::NotInPolicy {
            name: declaration.name.clone(),
            forbidden: forbidden.to_owned(),
            patterns: intent.policy.patterns(),
        });
    }
    Ok(Script {
        brings_others: !undeclared.is_empty(),
        schema: script.and_then(|row| row.schema.clone()),
    })
}

fn create(
    intent: &Intent<'_>,
    declaration: &Declaration,
    offer: &AvailableExtension,
    present: &[(&Declaration, AvailableExtension)],
    observed: &Observed,
    plan: &mut Plan,
) -> Result<(), PlanError> {
    let version = version::to_create(declaration, offer, &observed.catalog)?;
    let script = to_run(intent, declaration, offer, &version, present, observed)?;
    let schema = match (&declaration.schema, script.schema) {
        (Some(asked), Some(fixed)) if *asked != fixed => {
            return Err(PlanError::FixedSchema {
                name: declaration.name.clone(),
                fixed,
                asked: asked.clone(),
            });
        }
        // PostgreSQL ignores it for the extension itself and hands it down to what comes along, which would else go to
        // the first schema of the pinned search_path.
        (_, Some(_)) if script.brings_others => Some(SchemaName::public()),
        // PostgreSQL creates the schema of the control file where it is missing, unless the statement names it.
        (_, Some(_)) => None,
        (Some(asked), None) => {
            ensure_schema(declaration, asked, observed, plan)?;
            Some(asked.clone())
        }
        (None, None) => Some(SchemaName::public()),
    };
    plan.steps.push(Step::Create {
        name: offer.name.clone(),
        version: Some(version),
        schema,
        cascade: script.brings_others,
    });
    Ok(())
}

/// `rds.allowed_extensions`: names separated by commas, `*` for all.
fn allows(allowed: &str, offer: &AvailableExtension) -> bool {
    allowed
        .split(',')
        .map(str::trim)
        .any(|name| name == "*" || offer.name.means(name))
}

fn ensure_schema(
    declaration: &Declaration,
    schema: &SchemaName,
    observed: &Observed,
    plan: &mut Plan,
) -> Result<(), PlanError> {
    if observed.schemas.contains(schema) {
        return Ok(());
    }
    if !declaration.create_schema {
        return Err(PlanError::NoSchema {
            name: declaration.name.clone(),
            schema: schema.clone(),
        });
    }
    let step = Step::CreateSchema(schema.clone());
    if !plan.steps.contains(&step) {
        plan.steps.push(step);
    }
    Ok(())
}
