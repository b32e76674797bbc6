//! Has PostgreSQL try a declaration that its catalog cannot meet, before it is reported: extensions may be in other
//! directories than the one that the catalog lists.

use std::time::Duration;

use tracing::info;

use super::check_scripts;
use super::transaction::ReconcileError;
use crate::extension::{
    AvailableExtension, AvailableVersion, Declaration, ExtensionName, Observed, SchemaName,
    UpdatePath, Version, VersionRequest,
};
use crate::plan::{PlanError, Policy, Step};
use crate::postgres::{Session, Tried};
use crate::postgres_error::DatabaseError;

/// Parameters of a try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// The declarations.
    pub(crate) declarations: &'a [Declaration],
    /// The operator's limits.
    pub(crate) policy: &'a Policy,
    /// Whether a script may run, which a try does.
    pub(crate) may_try: bool,
}

/// The result of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerAnswer {
    /// PostgreSQL can do what the catalog does not list.
    Overruled,
    /// PostgreSQL refuses it as well.
    Agreed,
    /// There is no statement to try, or it may not be tried.
    NotAsked,
}

/// Has PostgreSQL try the statement, rolls it back, and adds the result to the observation. A script runs in the try:
/// therefore there is none if nothing may be tried, or if the operator does not allow the extension; and the schemas are
/// checked before it as for any other script.
///
/// # Errors
/// [`ReconcileError`], if PostgreSQL refuses for another reason than the catalog shows; with the statement.
pub(crate) async fn try_on_server(
    session: &mut Session,
    question: Question<'_>,
    plan_error: &PlanError,
    observed: &mut Observed,
    statement_timeout: Duration,
) -> Result<ServerAnswer, ReconcileError> {
    let cascade = question.policy.allows_all();
    let disputed = disputed_step(question.declarations, plan_error, observed, cascade);
    let may_try = |step: &Step| question.may_try && question.policy.allows(step.extension());
    let Some(step) = disputed.filter(may_try) else {
        return Ok(ServerAnswer::NotAsked);
    };
    check_scripts(session, std::iter::once(&step), observed).await?;
    match session.try_apply(&step, statement_timeout).await? {
        Tried::Applied(_) => {}
        Tried::Refused(error) => {
            let is_the_same = error
                .sql()
                .is_some_and(|refused| plan_error.sqlstates().contains(&refused.sqlstate.as_str()));
            return if is_the_same {
                Ok(ServerAnswer::Agreed)
            } else {
                Err(ReconcileError::Database {
                    error,
                    step: Some(Box::new(step)),
                })
            };
        }
    }
    let tried = session.observe(question.declarations, observed).await?;
    session.roll_back_step().await?;
    info!(
        sql = step.sql(),
        "not in the catalogue, but PostgreSQL can do it"
    );
    add_to_catalog(&step, &tried, observed);
    Ok(ServerAnswer::Overruled)
}

/// Whether the observation failed because of a control file: PostgreSQL reads those of all extensions, and one that is
/// broken, or being replaced, hardly ever concerns the request.
pub(crate) fn is_control_file_error(error: &DatabaseError) -> bool {
    const OF_FILES: [&str; 7] = [
        "0A000", "22021", "22023", "42501", "42601", "42704", "58P01",
    ];
    // The error names the file, whatever prevents reading it.
    matches!(error, DatabaseError::Sql(refused) if OF_FILES.contains(&refused.sqlstate.as_str())
        || refused.message.contains(".control\""))
}

/// The statement that shows whether PostgreSQL can do what the catalog does not list; `None` if there is no doubt.
fn disputed_step(
    declarations: &[Declaration],
    plan_error: &PlanError,
    observed: &Observed,
    cascade: bool,
) -> Option<Step> {
    if plan_error.sqlstates().is_empty() {
        return None;
    }
    let is_it = |name: &str| name.eq_ignore_ascii_case(plan_error.extension());
    let declaration = declarations
        .iter()
        .find(|declaration| is_it(declaration.name.as_str()))?;
    let version = match &declaration.version {
        VersionRequest::Exact(version) => Some(version.clone()),
        VersionRequest::Unset | VersionRequest::Default => None,
        VersionRequest::Matching(_) => return None,
    };
    let installed = observed.installed.iter().find(|(name, _)| is_it(name));
    match (installed, version) {
        (Some((name, installed)), Some(to)) => Some(Step::Update {
            name: ExtensionName::parse(name).ok()?,
            from: installed.version.clone(),
            to,
        }),
        (Some(_), None) => None,
        (None, version) => {
            let offer = observed.catalog.resolve(&declaration.name);
            let name = offer.map_or(&declaration.name, |offer| &offer.name);
            let asked = declaration.schema.clone();
            // The extensions that it requires are unknown, too, so that all extensions have to be allowed; with CASCADE, a
            // schema that the control file fixes counts.
            Some(Step::Create {
                name: name.clone(),
                version,
                schema: asked
                    .filter(|schema| observed.schemas.contains(schema))
                    .or_else(|| Some(SchemaName::public())),
                cascade,
            })
        }
    }
}

/// Adds to the catalog what PostgreSQL could do.
fn add_to_catalog(step: &Step, tried: &Observed, observed: &mut Observed) {
    let Some(installed) = tried.installed.get(step.extension()) else {
        return;
    };
    let version: Version = installed.version.clone();
    match step {
        Step::Update { name, from, .. } => observed.catalog.paths.push(UpdatePath {
            name: name.as_str().to_owned(),
            source: from.clone(),
            target: version,
        }),
        Step::Create { name, schema, .. } => {
            let fixed = Some(&installed.schema) != schema.as_ref();
            observed.catalog.versions.push(AvailableVersion {
                name: name.as_str().to_owned(),
                version: version.clone(),
                schema: fixed.then(|| installed.schema.clone()),
                requires: Some(installed.requires.clone()),
            });
            if observed.catalog.resolve(name).is_none() {
                observed.catalog.extensions.push(AvailableExtension {
                    name: name.clone(),
                    default_version: None,
                });
            }
            let offers = observed.catalog.extensions.iter_mut();
            for offer in offers.filter(|offer| offer.name == *name) {
                // Without a version PostgreSQL used its default version.
                if offer.default_version.is_none() {
                    offer.default_version = Some(version.clone());
                }
            }
            // An extension that RDS created is allowed.
            if let Some(allowed) = &mut observed.allowed_extensions {
                allowed.push(',');
                allowed.push_str(name.as_str());
            }
        }
        Step::CreateSchema(_)
        | Step::Recreate { .. }
        | Step::Package { .. }
        | Step::SetSchema { .. }
        | Step::Drop { .. } => {}
    }
}
