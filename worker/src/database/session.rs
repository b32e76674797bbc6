//! One transaction on one connection. A session that is dropped before its end takes its connection with it.

mod ledger;

use std::ops::Deref;
use std::time::Duration;

use deadpool::managed::Object;
use futures_util::future::{join, try_join};
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::budget::Budget;
use super::connection::{Connections, SILENCE_TIMEOUT, promptly};
use super::ledger::newest_version;
use super::observe::{self, Scope};
use crate::extension::{Observed, TleFunction};
use crate::fault::DatabaseError;
use crate::plan::{DropMode, Ledger, ResourceKey, Step};

/// The key of the advisory lock under which this worker changes a database: the first eight bytes of "extworkr".
const LOCK_KEY: i64 = 0x6578_7477_6f72_6b72;

/// A session begins with this path, see [`super::Pools`], but a script may leave another: PostGIS's topology does.
const PIN: &str = "SET search_path = pg_catalog, pg_temp";

/// How long a statement waits for a lock that somebody else holds before the pass starts over.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a cancel request may take: it is a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, and while it lasts a transaction.
pub struct Session {
    /// None once the connection is used up.
    client: Option<Object<Connections>>,
    /// A transaction is open, or a statement runs.
    is_busy: bool,
    /// The way to the server for a cancel request.
    tls: MakeRustlsConnect,
    budget: Budget,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was done.
    Done,
    /// Nothing was dropped, as something depends on it: PostgreSQL's DETAIL.
    InUse(String),
}

/// The databases of a server, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseNames {
    /// Those that a client of this worker's kind can name.
    pub usable: Vec<String>,
    /// Those whose names are not UTF-8, with bytes beyond ASCII as `\xe9`.
    pub not_utf8: Vec<String>,
}

impl Session {
    pub(super) fn new(client: Object<Connections>, tls: MakeRustlsConnect, budget: Budget) -> Self {
        Self {
            client: Some(client),
            is_busy: false,
            tls,
            budget,
        }
    }

    /// Begins the transaction, takes the lock of this database and looks at it: one round trip.
    ///
    /// No statement runs for longer than `budget`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn begin(
        &mut self,
        scope: &Scope,
        budget: Duration,
    ) -> Result<Observed, DatabaseError> {
        self.is_busy = true;
        let observed = self.observed(&begin(scope, budget)).await?;
        self.note_ledger(&observed);
        Ok(observed)
    }

    /// The same, and reads the ledger in the same round trip where the connection has met one before; none otherwise.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn begin_and_read(
        &mut self,
        scope: &Scope,
        budget: Duration,
        resource: &ResourceKey,
        request_id: &str,
    ) -> Result<(Observed, Option<Ledger>), DatabaseError> {
        if !self.client.as_ref().is_some_and(|client| client.has_ledger) {
            return Ok((self.begin(scope, budget).await?, None));
        }
        self.is_busy = true;
        let sql = begin(scope, budget);
        let (observed, ledger) =
            join(self.observed(&sql), self.read_ledger(resource, request_id)).await;
        let observed = observed?;
        self.note_ledger(&observed);
        match ledger {
            Ok(ledger) => Ok((observed, Some(ledger))),
            // Somebody dropped it meanwhile, or put an older one in its place.
            Err(_) if observed.ledger_version != Some(newest_version()) => {
                promptly(self.client()?.batch_execute("ROLLBACK")).await?;
                Ok((self.begin(scope, budget).await?, None))
            }
            Err(error) => Err(error),
        }
    }

    fn note_ledger(&mut self, observed: &Observed) {
        if let Some(client) = &mut self.client {
            client.has_ledger = observed.ledger_version == Some(newest_version());
        }
    }

    /// Looks again: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn observe(&mut self, scope: &Scope) -> Result<Observed, DatabaseError> {
        self.observed(&format!("{PIN}; {}", scope.sql())).await
    }

    /// Carries a step out, which may take as long as `budget`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn apply(&mut self, step: &Step, budget: Duration) -> Result<Applied, DatabaseError> {
        let sql = step.sql();
        let may_stay = matches!(
            step,
            Step::Drop {
                mode: DropMode::IfUnused,
                ..
            }
        );
        // What earlier steps took is not there for this one. A timeout that is set in a message does not hold for the
        // rest of that message: two messages, sent together.
        let client = self.client()?;
        let timeout = format!(
            "SET LOCAL statement_timeout = {}",
            budget.as_millis().max(1)
        );
        if !may_stay {
            try_join(client.batch_execute(&timeout), client.batch_execute(&sql)).await?;
            return Ok(Applied::Done);
        }
        let begin = format!("{timeout}; SAVEPOINT before_drop");
        client.batch_execute(&begin).await?;
        match self
            .client()?
            .batch_execute(&sql)
            .await
            .map_err(DatabaseError::from)
        {
            Ok(()) => Ok(Applied::Done),
            Err(error) => match error.sql() {
                Some(refused) if refused.sqlstate == "2BP01" => {
                    self.client()?
                        .batch_execute("ROLLBACK TO SAVEPOINT before_drop")
                        .await?;
                    let detail = refused
                        .detail
                        .clone()
                        .unwrap_or_else(|| refused.message.clone());
                    Ok(Applied::InUse(detail.replace('\n', "; ")))
                }
                _ => Err(error),
            },
        }
    }

    /// Carries a step out as [`Self::apply`] does; where PostgreSQL refuses it, the transaction goes on without it: the
    /// inner error.
    ///
    /// # Errors
    /// [`DatabaseError`], after which nothing goes on.
    pub async fn try_apply(
        &mut self,
        step: &Step,
        budget: Duration,
    ) -> Result<Result<(), DatabaseError>, DatabaseError> {
        promptly(self.client()?.batch_execute("SAVEPOINT before_step")).await?;
        // The server ends a statement in time, unless it says nothing more at all.
        let applied = tokio::time::timeout(budget + SILENCE_TIMEOUT, self.apply(step, budget));
        let applied = applied.await.unwrap_or_else(|_| {
            let silence = format!(
                "no answer within {} s",
                (budget + SILENCE_TIMEOUT).as_secs()
            );
            Err(DatabaseError::Lost(silence, None))
        });
        match applied {
            Ok(_) => Ok(Ok(())),
            Err(error) if error.sql().is_some() => {
                let back = "ROLLBACK TO SAVEPOINT before_step";
                promptly(self.client()?.batch_execute(back)).await?;
                Ok(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes back what [`Self::try_apply`] did last; the transaction goes on.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn take_back(&mut self) -> Result<(), DatabaseError> {
        let back = "ROLLBACK TO SAVEPOINT before_step";
        promptly(self.client()?.batch_execute(back)).await
    }

    /// The functions in which pg_tle keeps extensions; none where its schema is not its own. They are read and not
    /// called.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tle_functions(&mut self) -> Result<Vec<TleFunction>, DatabaseError> {
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
        let document: String = row.try_get(0)?;
        serde_json::from_str(&document)
            .map_err(|error| DatabaseError::Unreadable(error.to_string()))
    }

    /// Gives up what was done. The connection can be used again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn roll_back(mut self) -> Result<(), DatabaseError> {
        promptly(self.client()?.batch_execute("ROLLBACK")).await?;
        self.is_busy = false;
        Ok(())
    }

    /// Gives up what was done by the connection's end, which takes no round trip: for who does not come back. Every
    /// statement was answered, so that there is nothing to cancel.
    pub fn close(mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }

    /// The databases of the server that accept the role's connections, templates and `rdsadmin` excepted.
    ///
    /// A name is kept in the encoding of the database that it was given in, and a client finds it by just its bytes: they
    /// are read without a conversion.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn databases(&mut self) -> Result<DatabaseNames, DatabaseError> {
        self.is_busy = true;
        let as_they_are = format!("{PIN}; SET client_encoding = 'SQL_ASCII'");
        promptly(self.client()?.batch_execute(&as_they_are)).await?;
        let rows = promptly(self.client()?.query_typed(
            "SELECT namesend(datname) FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 \
                 AND has_database_privilege(oid, 'CONNECT') \
                 AND datname NOT IN ('template0', 'template1', 'rdsadmin') ORDER BY datname",
            &[],
        ))
        .await?;
        promptly(self.client()?.batch_execute("SET client_encoding = 'UTF8'")).await?;
        self.is_busy = false;
        let mut names = DatabaseNames::default();
        for row in &rows {
            match String::from_utf8(row.try_get(0)?) {
                Ok(name) => names.usable.push(name),
                // Plain ASCII: the ledger of a database in any encoding takes it.
                Err(other) => names
                    .not_utf8
                    .push(other.as_bytes().escape_ascii().to_string()),
            }
        }
        Ok(names)
    }

    async fn observed(&self, sql: &str) -> Result<Observed, DatabaseError> {
        let messages = promptly(self.client()?.simple_query(sql)).await?;
        // Several statements, of which the last one's row is wanted.
        let document = messages.iter().rev().find_map(|message| {
            if let SimpleQueryMessage::Row(row) = message {
                Some(row.try_get(0))
            } else {
                None
            }
        });
        let no_row = || DatabaseError::Unreadable("no row".to_owned());
        // A database of encoding SQL_ASCII converts nothing: what it holds may be no UTF-8.
        observe::read(document.ok_or_else(no_row)??.ok_or_else(no_row)?)
    }

    fn client(&self) -> Result<&Client, DatabaseError> {
        self.client
            .as_deref()
            .map(Deref::deref)
            .ok_or_else(|| DatabaseError::Lost("the connection is used up".to_owned(), None))
    }
}

fn begin(scope: &Scope, budget: Duration) -> String {
    format!(
        "BEGIN; {PIN}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
         SELECT pg_advisory_xact_lock({LOCK_KEY}); {}",
        budget.as_millis().max(1),
        // Shorter than the statement's: a wait for a lock is then told as one.
        LOCK_TIMEOUT.min(budget * 9 / 10).as_millis().max(1),
        scope.sql(),
    )
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
            let (token, tls) = (client.cancel_token(), self.tls.clone());
            tokio::spawn(async move {
                drop(tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(tls)).await);
            });
            drop(Object::take(client));
        } else if self.budget.is_wanted() {
            drop(Object::take(client));
        }
    }
}
