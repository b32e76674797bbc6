//! What is read of a server and its databases before an upgrade, in transactions that change nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join3;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::begin::IN_TRANSACTION;
use super::{Session, document, last_row, no_row};
use crate::postgres::upgrade::{
    DEFAULTS, OFFER, database_facts, database_look, server_facts, updates,
};
use crate::postgres_error::DatabaseError;
use crate::resync_protocol::TargetOffer;
use crate::upgrade::{DatabaseFacts, DatabaseLook, OldUpdates, ServerFacts};

/// How long the catalog of a database may be read: one of many thousands of tables takes seconds.
pub(crate) const CATALOG_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the server may be silent meanwhile.
const SILENCE: Duration = Duration::from_secs(140);

impl Session {
    /// The facts of the server.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn server_facts(&mut self) -> Result<ServerFacts, DatabaseError> {
        self.read_only(&server_facts()).await
    }

    /// What is installed in the database, of a server of version `from`, and whether there may be more to know of it.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn database_look(
        &mut self,
        from: u16,
        refused_types: &[&str],
    ) -> Result<DatabaseLook, DatabaseError> {
        self.read_only(&database_look(from, refused_types)).await
    }

    /// The facts of the database, of a server of version `from`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn database_facts(
        &mut self,
        from: u16,
        refused_types: &[&str],
    ) -> Result<DatabaseFacts, DatabaseError> {
        self.read_only(&database_facts(from, refused_types)).await
    }

    /// What the server offers.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn target_offer(&mut self) -> Result<TargetOffer, DatabaseError> {
        self.read_only(OFFER).await
    }

    /// The default versions of the extensions that the server offers.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn default_versions(
        &mut self,
    ) -> Result<BTreeMap<String, String>, DatabaseError> {
        self.read_only(DEFAULTS).await
    }

    /// What the server can update these extensions to.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn updates_of(
        &mut self,
        extensions: &[&str],
    ) -> Result<OldUpdates, DatabaseError> {
        self.read_only(&updates(extensions)).await
    }

    /// The one value that a query answers with, in a transaction of its own, or in the one that is open: one round trip.
    async fn read_only<T: DeserializeOwned>(&mut self, query: &str) -> Result<T, DatabaseError> {
        if self.is_busy {
            let query = format!("{IN_TRANSACTION}; {query}");
            let answered = timeout(SILENCE, self.client()?.simple_query(&query)).await;
            let answer = answered.map_err(|_| silent())??;
            return document(last_row(&answer)?.ok_or_else(no_row)?);
        }
        self.is_busy = true;
        let begin = self.connection()?.start.begin(CATALOG_TIMEOUT);
        let client = self.client()?;
        let query = format!("{IN_TRANSACTION}; SET TRANSACTION READ ONLY; {query}");
        // A timeout that is set in a message does not hold for the rest of that message: several, sent together.
        let answered = join3(
            client.batch_execute(&begin),
            client.simple_query(&query),
            client.batch_execute("ROLLBACK"),
        );
        let Ok((begun, answer, ended)) = timeout(SILENCE, answered).await else {
            return Err(silent());
        };
        begun?;
        let answer = answer?;
        ended?;
        self.is_busy = false;
        document(last_row(&answer)?.ok_or_else(no_row)?)
    }
}

fn silent() -> DatabaseError {
    let silence = format!("no answer within {} s", SILENCE.as_secs());
    DatabaseError::Lost(silence, None)
}
