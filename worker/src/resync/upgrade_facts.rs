//! Reads the facts of a check before an upgrade from a server and from a ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::credentials::login::Login;
use crate::credentials::secrets::Password;
use crate::execution::Executor;
use crate::execution::error::AttemptError;
use crate::extension::Declaration;
use crate::ledger::newest_version;
use crate::postgres::{Pools, Session};
use crate::postgres_error::{Class, DatabaseError};
use crate::reconcile::transaction::ReconcileError;
use crate::request::Properties;
use crate::target::Target;
use crate::upgrade::ServerFacts;

/// By extension.
pub(super) type DefaultVersions = BTreeMap<String, String>;

/// The database from which others are copied.
pub(super) const TEMPLATE: &str = "template1";
/// Databases that every server has.
const OF_EVERY_SERVER: [&str; 2] = ["postgres", TEMPLATE];
/// Timeout of a statement that reads the declarations.
const STATEMENT_TIME: Duration = Duration::from_secs(30);

/// The declarations of the ledger's resources, if there is a ledger of the newest version that may be used.
pub(super) async fn declared(
    pools: &Pools,
    target: &Target,
    password: &Password,
) -> Result<Vec<Declaration>, DatabaseError> {
    let mut session = pools.session_for_listing(target, password).await?;
    let observed = session.begin(&[], STATEMENT_TIME).await?;
    if observed.ledger_version != Some(newest_version()) {
        return Ok(Vec::new());
    }
    let whole = session.read_whole_ledger("").await?;
    session.close();
    let declared = whole.resources.iter();
    let declared = declared.map(|resource| Properties::parse(&resource.declared));
    // If one of them cannot be parsed, nothing is known about its extensions: then no declaration counts.
    let all: Result<Vec<Properties>, _> = declared.collect();
    let all = all.unwrap_or_default().into_iter();
    Ok(all.flat_map(|properties| properties.declarations).collect())
}

/// The facts of the server, and the default versions of its extensions, if they can be read.
pub(super) async fn server_facts(
    executor: &Executor,
    login: &Login,
    databases: &[String],
) -> Result<(ServerFacts, Option<DefaultVersions>), AttemptError> {
    let named = databases.iter().map(String::as_str).take(1);
    let default = login.dbname.as_deref();
    let mut last = None;
    for database in named.chain(default).chain(OF_EVERY_SERVER) {
        let target = login.target(database);
        let permit = executor.server_limits.acquire(&login.address, true).await;
        let read = async {
            let session = executor
                .pools
                .session_for_listing(&target, &login.password)
                .await?;
            read_facts(session).await
        };
        let read = read.await.map_err(ReconcileError::from);
        drop(permit);
        executor.pools.remove(&target);
        match read {
            Ok(facts) => return Ok(facts),
            Err(error) => {
                let class = error.class();
                let error = executor.reconcile_error(error, &target, login);
                // The others may exist.
                if !matches!(class, Class::NoDatabase | Class::ClosedDatabase) {
                    return Err(error);
                }
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or(AttemptError::NoDatabaseToListIn))
}

async fn read_facts(
    mut session: Session,
) -> Result<(ServerFacts, Option<DefaultVersions>), DatabaseError> {
    let facts = session.server_facts().await?;
    // PostgreSQL cannot list any extension if a control file is broken.
    let defaults = match session.default_versions().await {
        Ok(defaults) => Some(defaults),
        Err(error) if error.sql().is_some() => None,
        Err(error) => return Err(error),
    };
    session.close();
    Ok((facts, defaults))
}
