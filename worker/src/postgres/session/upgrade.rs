//! Reads a server and its databases before an upgrade, in transactions that change nothing.

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

/// Timeout for reading the catalog of a database: with many thousands of tables it takes seconds.
pub(crate) const CATALOG_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the server may be silent meanwhile.
const SILENCE: Duration = Duration::from_secs(140);

impl Session {
    /// Reads the facts of the server.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn server_facts(&mut self) -> Result<ServerFacts, DatabaseError> {
        self.read_only(&server_facts()).await
    }

    /// Reads the installed extensions of the database, for a server of version `from`, and whether [`DatabaseFacts`] may
    /// contain more.
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

    /// Reads the facts of the database, for a server of version `from`.
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

    /// Reads the server's offer.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn target_offer(&mut self) -> Result<TargetOffer, DatabaseError> {
        self.read_only(OFFER).await
    }

    /// Reads the default versions of the extensions that the server offers.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn default_versions(
        &mut self,
    ) -> Result<BTreeMap<String, String>, DatabaseError> {
        self.read_only(DEFAULTS).await
    }

    /// Reads the versions to which the server can update these extensions.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn updates_of(
        &mut self,
        extensions: &[&str],
    ) -> Result<OldUpdates, DatabaseError> {
        self.read_only(&updates(extensions)).await
    }

    /// Returns the single value of a query, in a transaction of its own or in the open one: one round trip.
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
        // A timeout that is set in a message does not apply to the rest of that message: several messages, sent together.
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
