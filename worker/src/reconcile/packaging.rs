//! Extensions whose objects are in the database without the extension: they are created from these objects.

use crate::extension::Observed;
use crate::plan::{Step, packaged_object};
use crate::postgres::Session;
use crate::postgres_error::DatabaseError;

/// The version whose script creates an extension from existing objects.
const UNPACKAGED: &str = "unpackaged";

/// Replaces the steps whose CREATE EXTENSION would fail because the extension's own objects exist, by steps that create it
/// from them.
///
/// # Errors
/// [`DatabaseError`].
pub(crate) async fn with_packaging(
    session: &Session,
    steps: Vec<Step>,
    observed: &Observed,
) -> Result<Vec<Step>, DatabaseError> {
    let mut changed = Vec::with_capacity(steps.len());
    for step in steps {
        changed.push(packaging(session, &step, observed).await?.unwrap_or(step));
    }
    Ok(changed)
}

async fn packaging(
    session: &Session,
    step: &Step,
    observed: &Observed,
) -> Result<Option<Step>, DatabaseError> {
    let Step::Create {
        name,
        version: Some(version),
        cascade: false,
        ..
    } = step
    else {
        return Ok(None);
    };
    let Some((beside, object)) = packaged_object(name.as_str()) else {
        return Ok(None);
    };
    let mut versions = observed.catalog.versions_of(name.as_str());
    let Some(beside) = observed
        .installed
        .get(beside)
        .filter(|_| versions.any(|row| row.version.as_str() == UNPACKAGED))
    else {
        return Ok(None);
    };
    let is_there = session.has_type(&beside.schema, object).await?;
    Ok(is_there.then(|| Step::Package {
        name: name.clone(),
        to: version.clone(),
        schema: beside.schema.clone(),
    }))
}
