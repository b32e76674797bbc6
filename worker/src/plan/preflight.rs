//! Refuses, before any DDL, a declaration that PostgreSQL would accept, or refuse only after other changes.

use super::{PlanError, Warning};
use crate::extension::Observed;

/// Extensions that can be created without their library in `shared_preload_libraries`, and then do not work.
const USELESS_WITHOUT_PRELOAD: [&str; 2] = ["pg_stat_statements", "pgaudit"];

/// Returns a warning, if there is one.
///
/// # Errors
/// [`PlanError`], where the extension cannot be in this database.
pub(super) fn check(name: &str, observed: &Observed) -> Result<Option<Warning>, PlanError> {
    if let Some(cron_database) = &observed.cron_database
        && name == "pg_cron"
        && *cron_database != observed.database
    {
        return Err(PlanError::OtherCronDatabase {
            cron_database: cron_database.clone(),
        });
    }
    let is_missing = |preloaded: &str| !preloaded.split(',').any(|library| library.trim() == name);
    // A role without privileges cannot read the setting: then there is no check.
    let warns = USELESS_WITHOUT_PRELOAD.contains(&name)
        && observed.preloaded.as_deref().is_some_and(is_missing);
    Ok(warns.then(|| Warning::NotPreloaded {
        name: name.to_owned(),
    }))
}
