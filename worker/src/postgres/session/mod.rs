//! One transaction on one connection. A session that is dropped before its end takes its connection with it.

mod answer;
mod begin;
mod configuration;
mod connection_limit;
mod ledger;
mod listing;
mod offer;
mod packaging;
mod recreate;
mod stages;
mod steps;
mod upgrade;

pub(crate) use listing::DatabaseNames;
pub(crate) use steps::{Applied, Tried};
pub(crate) use upgrade::CATALOG_TIMEOUT;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Object;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::{Client, SimpleQueryMessage};

use self::answer::{alone, document, last_row, no_row};
use super::PoolSettings;
use super::connection::{Connection, Connections, promptly};
use super::guarded_stream::Streams;
use super::limit::ConnectionLimit;
use super::offer::Offers;
use super::schema_objects::{self, SchemaObjects, ShortAnswer};
use super::transaction::PIN;
use crate::extension::TleFunction;
use crate::plan::{SchemaCheck, ScriptScope};
use crate::postgres_error::DatabaseError;
use crate::target::Address;

/// How long a cancel request may take: it is a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the ledger is to be checked before it is written and committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LedgerCheck {
    /// It is: code of others may have run since the last check.
    Due,
    /// In this transaction the ledger was locked and found to be one that may be used, and no code of others has run since.
    Passed,
    /// This transaction made the ledger, which no other session sees yet, in a database where no code of others runs inside
    /// its definitions.
    NotNeeded,
}

/// A connection, and while it lasts a transaction.
pub struct Session {
    /// None once the connection is used up.
    client: Option<Object<Connections>>,
    /// A transaction is open, or a statement runs.
    is_busy: bool,
    ledger_check: LedgerCheck,
    /// Roles of lower rank had something in the schemas that a script sees, or could put it there.
    others_in_schemas: bool,
    /// The way to the server for a cancel request.
    streams: Streams,
    connection_limit: ConnectionLimit,
    schema_check: SchemaCheck,
    publish_ledger: bool,
    address: Address,
    offers: Arc<Offers>,
    /// The database's turn, given back behind the connection.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Session {
    pub(super) fn new(
        client: Object<Connections>,
        streams: Streams,
        connection_limit: ConnectionLimit,
        settings: &PoolSettings,
        address: Address,
        offers: Arc<Offers>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            _turn: turn,
            address,
            offers,
            client: Some(client),
            is_busy: false,
            ledger_check: LedgerCheck::Due,
            others_in_schemas: false,
            streams,
            connection_limit,
            schema_check: settings.schema_check,
            publish_ledger: settings.publish_ledger,
        }
    }

    /// What roles of lower rank have in the schemas, under names that PostgreSQL or the extensions use, and who may put
    /// more of it there: one round trip, or up to three where another role has anything there.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn inspect(
        &mut self,
        scope: &ScriptScope,
    ) -> Result<SchemaObjects, DatabaseError> {
        if self.is_bare(scope, true).await? {
            return Ok(SchemaObjects::default());
        }
        self.others_in_schemas = true;
        self.inspect_owners(scope).await
    }

    /// The objects alone.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn shadowing(
        &self,
        scope: &ScriptScope,
    ) -> Result<Vec<String>, DatabaseError> {
        if self.is_bare(scope, false).await? {
            return Ok(Vec::new());
        }
        Ok(self.inspect_owners(scope).await?.shadowing)
    }

    /// Whether there is nothing to be found. `with_rights` is whether it matters who may create objects.
    async fn is_bare(&self, scope: &ScriptScope, with_rights: bool) -> Result<bool, DatabaseError> {
        // What the first role of a rotated clone has is the clone's own too.
        if self.connection()?.start.acts_as().is_some() {
            return Ok(false);
        }
        self.read_document(&schema_objects::bare_query(scope, with_rights))
            .await
    }

    async fn inspect_owners(&self, scope: &ScriptScope) -> Result<SchemaObjects, DatabaseError> {
        let acts_as = self.connection()?.start.acts_as();
        let short = schema_objects::short_query(scope, acts_as);
        let short: ShortAnswer = self.read_document(&short).await?;
        let shadowing = if short.may_shadow {
            let query = schema_objects::query(scope, acts_as);
            self.read_document(&query).await?
        } else {
            Vec::new()
        };
        Ok(SchemaObjects {
            shadowing,
            open: short.open(),
        })
    }

    /// The document that a query answers with.
    async fn read_document<T: DeserializeOwned>(&self, query: &str) -> Result<T, DatabaseError> {
        let messages = promptly(self.client()?.simple_query(&format!("{PIN}; {query}"))).await?;
        document(last_row(&messages)?.unwrap_or_default())
    }

    /// The one value that a query answers with. Where PostgreSQL refuses it, the transaction goes on.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(super) async fn query_alone(&mut self, query: &str) -> Result<String, DatabaseError> {
        let answer = promptly(self.client()?.simple_query(&alone(query))).await;
        self.answer_of(answer).await
    }

    /// The same of a query that was sent as [`alone`] makes it.
    pub(super) async fn answer_of(
        &mut self,
        answer: Result<Vec<SimpleQueryMessage>, DatabaseError>,
    ) -> Result<String, DatabaseError> {
        match answer {
            Ok(messages) => Ok(last_row(&messages)?.ok_or_else(no_row)?.to_owned()),
            Err(error) => {
                if error.sql().is_some() {
                    let back = "ROLLBACK TO SAVEPOINT before_query";
                    promptly(self.client()?.batch_execute(back)).await?;
                }
                Err(error)
            }
        }
    }

    /// A transaction is open from the start.
    pub(super) fn note_begun(&mut self) {
        self.is_busy = true;
    }

    /// Whether [`Self::inspect`] may find something that it did not find before, once more names are known.
    pub(crate) fn others_in_schemas(&self) -> bool {
        self.others_in_schemas
    }

    /// Whether objects that [`Self::inspect`] finds are refused.
    pub(crate) fn schema_check(&self) -> SchemaCheck {
        self.schema_check
    }

    /// The functions in which pg_tle keeps extensions; none where its schema is not its own. They are read and not
    /// called.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn tle_functions(&mut self) -> Result<Vec<TleFunction>, DatabaseError> {
        let row = promptly(self.client()?.query_typed_one(
            "SELECT coalesce(json_agg(json_build_object('name', p.proname, \
                 'body', CASE WHEN p.proname LIKE '%.control' THEN p.prosrc END)), '[]')::text \
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
             JOIN pg_catalog.pg_extension e ON e.extname = 'pg_tle' AND (e.extnamespace = n.oid OR EXISTS (\
                 SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass \
                 AND d.objid = n.oid AND d.refclassid = 'pg_catalog.pg_extension'::regclass \
                 AND d.refobjid = e.oid AND d.deptype = 'e')) \
             WHERE n.nspname = 'pgtle' AND p.pronargs = 0 \
             AND (p.proname LIKE '%.control' OR p.proname LIKE '%.sql')",
            &[],
        ))
        .await?;
        document(row.try_get(0)?)
    }

    /// Gives up what was done. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn roll_back(mut self) -> Result<(), DatabaseError> {
        promptly(self.client()?.batch_execute("ROLLBACK")).await?;
        self.is_busy = false;
        Ok(())
    }

    /// Gives up what was done by the connection's end, which takes no round trip: for who does not come back. Every
    /// statement was answered, so that there is nothing to cancel.
    pub(crate) fn close(mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }

    fn connection(&self) -> Result<&Connection, DatabaseError> {
        self.client
            .as_deref()
            .ok_or_else(|| DatabaseError::Lost("the connection is used up".to_owned(), None))
    }

    fn connection_mut(&mut self) -> Result<&mut Connection, DatabaseError> {
        self.client
            .as_deref_mut()
            .ok_or_else(|| DatabaseError::Lost("the connection is used up".to_owned(), None))
    }

    fn client(&self) -> Result<&Client, DatabaseError> {
        self.connection().map(Deref::deref)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        if self.is_busy {
            // A connection with an open transaction or a running statement never goes back to the pool. Closed alone,
            // it would let the statement run on; and a cancel request that does not arrive is made up for by
            // client_connection_check_interval.
            let (token, streams) = (client.cancel_token(), self.streams.clone());
            tokio::spawn(async move {
                drop(tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(streams)).await);
            });
            drop(Object::take(client));
        } else if self.connection_limit.is_wanted() {
            drop(Object::take(client));
        }
    }
}
