//! One transaction on one connection. If a session is dropped before its end, its connection is closed.

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

/// Timeout of a cancel request, which needs a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the ledger has to be checked before it is written and committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LedgerCheck {
    /// It has to be checked: code of other roles may have run since the last check.
    Due,
    /// In this transaction the ledger was locked and accepted, and no code of other roles has run since.
    Passed,
    /// This transaction created the ledger, which no other session sees yet, in a database in which no code of other roles
    /// runs inside its definitions.
    NotNeeded,
}

/// A connection with its current transaction.
pub struct Session {
    /// `None` once the connection cannot be used again.
    client: Option<Object<Connections>>,
    /// A transaction is open, or a statement runs.
    is_busy: bool,
    ledger_check: LedgerCheck,
    /// Less privileged roles own objects in the schemas that a script sees, or may create objects there.
    others_in_schemas: bool,
    /// How a cancel request reaches the server.
    streams: Streams,
    connection_limit: ConnectionLimit,
    schema_check: SchemaCheck,
    publish_ledger: bool,
    address: Address,
    offers: Arc<Offers>,
    /// The database's turn, released after the connection.
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

    /// Finds objects of less privileged roles in the schemas, under names that PostgreSQL or the extensions use, and the
    /// roles that may create more of them: one round trip, or up to three if another role has or may create objects there.
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

    /// Finds only the objects.
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

    /// Whether there is nothing to find. `with_rights` is whether the roles that may create objects count.
    async fn is_bare(&self, scope: &ScriptScope, with_rights: bool) -> Result<bool, DatabaseError> {
        // The rights of the first role of a rotated clone are the clone's own, too.
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

    /// The document that a query returns.
    async fn read_document<T: DeserializeOwned>(&self, query: &str) -> Result<T, DatabaseError> {
        let messages = promptly(self.client()?.simple_query(&format!("{PIN}; {query}"))).await?;
        document(last_row(&messages)?.unwrap_or_default())
    }

    /// The single value that a query returns. If PostgreSQL refuses the query, the transaction continues.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(super) async fn query_alone(&mut self, query: &str) -> Result<String, DatabaseError> {
        let answer = promptly(self.client()?.simple_query(&alone(query))).await;
        self.answer_of(answer).await
    }

    /// The same for a query in the form of [`alone`].
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

    /// Records that a transaction is open.
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

    /// The functions in which pg_tle stores extensions; none if its schema is not its own. They are read, and never called.
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

    /// Rolls the transaction back. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn roll_back(mut self) -> Result<(), DatabaseError> {
        promptly(self.client()?.batch_execute("ROLLBACK")).await?;
        self.is_busy = false;
        Ok(())
    }

    /// Rolls the transaction back by closing the connection, which takes no round trip, for a client that does not come
    /// back. Every statement has ended, so that there is nothing to cancel.
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
            // A connection with an open transaction or a running statement never returns to the pool. If it were only
            // closed, the statement would continue to run; if a cancel request does not arrive,
            // client_connection_check_interval ends the statement.
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
