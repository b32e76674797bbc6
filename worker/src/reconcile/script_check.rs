//! Checks whether the scripts of a plan's steps would see objects of less privileged roles.

use super::transaction::ReconcileError;
use crate::extension::Observed;
use crate::plan::{SchemaCheck, ScriptScope, Step};
use crate::postgres::Session;
use crate::response::reason;

/// Inspects the schemas that the scripts of `steps` see, before they run. Returns each warning once.
///
/// # Errors
/// [`ReconcileError::UntrustedObjects`], if such objects are refused.
pub(crate) async fn check_scripts<'a>(
    session: &mut Session,
    steps: impl Iterator<Item = &'a Step>,
    observed: &Observed,
) -> Result<Vec<String>, ReconcileError> {
    let scope = scope_of(steps, observed);
    if scope.schemas.is_empty() {
        return Ok(Vec::new());
    }
    let found = session.inspect(&scope).await?;
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

/// Inspects the schemas again before the script of `step`, which may use objects of the extensions that earlier steps of the
/// transaction created: the names of these objects were not known at the first inspection.
///
/// # Errors
/// [`ReconcileError::UntrustedObjects`], if such objects are refused.
pub(crate) async fn check_script_after_steps(
    session: &Session,
    done: &[Step],
    step: &Step,
    observed: &Observed,
) -> Result<(), ReconcileError> {
    let is_needed = session.others_in_schemas() && session.schema_check() == SchemaCheck::Refuse;
    if done.is_empty() || !is_needed {
        return Ok(());
    }
    let mut scope = scope_of(std::iter::once(step), observed);
    if scope.schemas.is_empty() {
        return Ok(());
    }
    for earlier in done {
        scope.add(earlier, observed);
        scope.used.insert(earlier.extension().to_owned());
    }
    refuse(session.shadowing(&scope).await?)
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
    let mut scope = scope_of(steps.clone(), observed);
    for step in steps {
        if let Step::Create { .. } | Step::Recreate { .. } = step {
            // The session's role, or a superuser, owns the objects that it created.
            scope.used.remove(step.extension());
        }
    }
    if scope.schemas.is_empty() || session.schema_check() == SchemaCheck::Warn {
        return Ok(());
    }
    refuse(session.shadowing(&scope).await?)
}

fn refuse(shadowing: Vec<String>) -> Result<(), ReconcileError> {
    if shadowing.is_empty() {
        Ok(())
    } else {
        Err(ReconcileError::UntrustedObjects(shadowing))
    }
}

/// What the scripts of all steps see.
pub(super) fn scope_of<'a>(
    steps: impl Iterator<Item = &'a Step>,
    observed: &Observed,
) -> ScriptScope {
    let mut scope = ScriptScope::default();
    for step in steps {
        scope.add(step, observed);
    }
    scope
}
