//! Plans with the server's offer, and has PostgreSQL try declarations that its catalog cannot meet.

use tracing::warn;

use super::script_check::scope_of;
use super::transaction::{ReconcileError, Reconciliation};
use super::{
    OfferReader, Question, ServerAnswer, check_scripts, is_control_file_error, try_on_server,
    with_packaging,
};
use crate::extension::Observed;
use crate::ledger::Ledger;
use crate::plan::{Intent, Plan, ScriptScope, Step, offer_parts_of, plan};
use crate::postgres::Session;
use crate::postgres_error::DatabaseError;
use crate::response::reason;

/// Plans, and checks the scripts of the steps. Returns the plan with all warnings. What it learns about the offer is added
/// to the observation.
///
/// # Errors
/// [`ReconcileError`], if a declaration cannot be met, or this cannot be found out.
pub(super) async fn make_plan(
    session: &mut Session,
    reconciliation: &Reconciliation<'_>,
    intent: &Intent<'_>,
    observed: &mut Observed,
    ledger: &Ledger,
    offer: &mut OfferReader<'_>,
) -> Result<(Plan, Vec<String>), ReconcileError> {
    loop {
        let (plan, mut warnings) =
            plan_steps(session, reconciliation, intent, observed, ledger, offer).await?;
        let checked = check_scripts(session, plan.steps.iter(), observed).await;
        // The objects that were found may be in schemas that the scripts do not see: the exact schemas have to be known.
        let presumes = match &checked {
            Ok(warnings) => {
                !warnings.is_empty() && presumed(&plan, observed, |scope| &scope.schemas)
            }
            Err(_) => presumed(&plan, observed, |scope| scope),
        };
        if presumes && offer.presume_nothing() {
            continue;
        }
        warnings.extend(checked?);
        return Ok((plan, warnings));
    }
}

/// Whether the scripts may see less than was inspected.
fn presumed<T: PartialEq + ?Sized>(
    plan: &Plan,
    observed: &Observed,
    part: impl Fn(&ScriptScope) -> &T,
) -> bool {
    let mut named = observed.clone();
    named.catalog.presumes_versions = false;
    let scope = |observed: &Observed| scope_of(plan.steps.iter(), observed);
    part(&scope(observed)) != part(&scope(&named))
}

async fn plan_steps(
    session: &mut Session,
    reconciliation: &Reconciliation<'_>,
    intent: &Intent<'_>,
    observed: &mut Observed,
    ledger: &Ledger,
    offer: &mut OfferReader<'_>,
) -> Result<(Plan, Vec<String>), ReconcileError> {
    let mut unread = unread(offer.complete(session, observed).await)?;
    let mut question = Question {
        declarations: reconciliation.declarations(),
        policy: reconciliation.policy,
        may_try: !reconciliation.properties.dry_run,
    };
    let mut asked = 0..=reconciliation.declarations().len();
    let mut plan = loop {
        let plan_error = match plan(intent, observed, ledger) {
            // An update path that was added since the offer was read is better than none.
            Ok(plan) if recreates(&plan) => match &unread {
                None if offer.read_afresh(session, observed).await? => continue,
                None | Some(_) => break plan,
            },
            Ok(plan) => break plan,
            Err(plan_error) => plan_error,
        };
        if unread.is_none() {
            match offer.read_afresh(session, observed).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => unread = self::unread(Err(error))?,
            }
        }
        // Trying a statement is a change, even if it is rolled back.
        question.may_try &= reconciliation.check_blue_green().await.is_ok();
        let timeout = reconciliation.statement_time().timeout();
        let server_answer = match asked.next() {
            Some(_) => try_on_server(session, question, &plan_error, observed, timeout).await?,
            None => ServerAnswer::Agreed,
        };
        match (server_answer, unread.take()) {
            (ServerAnswer::Overruled, why) => unread = why,
            (ServerAnswer::NotAsked, Some(error)) if !plan_error.sqlstates().is_empty() => {
                return Err(error.into());
            }
            (ServerAnswer::Agreed | ServerAnswer::NotAsked, _) => {
                return Err(ReconcileError::Plan {
                    plan_error: Box::new(plan_error),
                    server_version: observed.server_version.clone(),
                });
            }
        }
    };
    let parts = offer_parts_of(&plan);
    if unread.is_none() && !parts.is_empty() {
        unread = self::unread(offer.add(parts, session, observed).await)?;
    }
    plan.steps = with_packaging(session, plan.steps, observed).await?;
    let mut warnings: Vec<String> = plan.warnings.iter().map(reason::of_warning).collect();
    warnings.extend(unread.as_ref().map(reason::of_unread_list));
    Ok((plan, warnings))
}

/// Whether an extension is dropped and created again.
fn recreates(plan: &Plan) -> bool {
    let mut steps = plan.steps.iter();
    steps.any(|step| matches!(step, Step::Recreate { .. }))
}

/// Why the server's list of extensions cannot be read, if a control file is the cause: PostgreSQL then tries each
/// declaration.
pub(crate) fn unread(
    read: Result<(), DatabaseError>,
) -> Result<Option<DatabaseError>, DatabaseError> {
    match read {
        Ok(()) => Ok(None),
        Err(error) if is_control_file_error(&error) => {
            warn!(%error, "the server's list of extensions cannot be read: PostgreSQL is asked about each");
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}
