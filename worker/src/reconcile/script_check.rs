//! Checks whether the scripts of a plan's steps would see objects of less privileged roles.

use std::collections::BTreeSet;

use super::transaction::ReconcileError;
use crate::extension::{Observed, SchemaName};
use crate::plan::{SchemaCheck, Step, script_schemas};
use crate::postgres::Session;
use crate::response::reason;

/// Inspects the schemas that the scripts of `steps` see, before they run. Returns each warning once.
///
/// # Errors
/// [`ReconcileError::UntrustedObjects`], if such objects are refused.
pub(crate) async fn check_scripts<'a>(
    session: &Session,
    steps: impl Iterator<Item = &'a Step> + Clone,
    observed: &Observed,
) -> Result<Vec<String>, ReconcileError> {
    let schemas = schemas_of(steps.clone(), observed);
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let extensions: BTreeSet<&str> = steps.map(Step::extension).collect();
    let found = session.inspect(&schemas, &extensions).await?;
    let mut warnings = Vec::new();
    if !found.shadowing.is_empty() {
        match session.schema_check() {
            SchemaCheck::Refuse => return Err(ReconcileError::UntrustedObjects(found.shadowing)),
            SchemaCheck::Warn => {
                warnings.push(reason::of_seen_objects(&found.shadowing));
            }
        }
    }
    if !found.open.is_empty() {
        warnings.push(reason::of_open_schemas(&found.open));
    }
    Ok(warnings)
}

/// Inspects them again after the scripts, when the extensions' own names are known, too, and nothing is committed yet.
///
/// # Errors
/// [`ReconcileError::UntrustedObjects`], if such objects are refused.
pub(crate) async fn check_scripts_again<'a>(
    session: &Session,
    steps: impl Iterator<Item = &'a Step> + Clone,
    observed: &Observed,
) -> Result<(), ReconcileError> {
    let schemas = schemas_of(steps.clone(), observed);
    if schemas.is_empty() || session.schema_check() == SchemaCheck::Warn {
        return Ok(());
    }
    let extensions: BTreeSet<&str> = steps.map(Step::extension).collect();
    let shadowing = session.shadowing(&schemas, &extensions).await?;
    if shadowing.is_empty() {
        Ok(())
    } else {
        Err(ReconcileError::UntrustedObjects(shadowing))
    }
}

fn schemas_of<'a>(
    steps: impl Iterator<Item = &'a Step>,
    observed: &Observed,
) -> BTreeSet<SchemaName> {
    steps
        .flat_map(|step| script_schemas(step, observed))
        .collect()
}
