//! The steps of one present declaration: an update, a move, or the creation.

use super::version::Way;
use super::{Intent, Plan, PlanError, Step, version};
use crate::extension::{AvailableExtension, Declaration, Observed, SchemaName, Version};

/// `Ensure: present`.
pub(super) fn install(
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

/// The requirements of the script that creates a version.
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
        // PostgreSQL ignores the schema for the extension itself, and passes it on to the extensions that CASCADE creates,
        // which would otherwise be in the first schema of the pinned search_path.
        (_, Some(_)) if script.brings_others => Some(SchemaName::public()),
        // PostgreSQL creates the schema of the control file if it does not exist, unless the statement names it.
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
