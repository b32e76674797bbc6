//! One transaction on one connection. A session that is dropped before its end takes its connection with it.

mod configuration;
mod connection_limit;
mod ledger;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::Object;
use futures_util::future::{OptionFuture, join3, try_join};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex as AsyncMutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::connection::{Connection, Connections, SILENCE_TIMEOUT, promptly};
use super::guarded_stream::Streams;
use super::limit::ConnectionLimit;
use super::offer::{self, Offer, Offers};
use super::schema_objects::{self, SchemaObjects};
use super::transaction::PIN;
use super::{PoolSettings, observe};
use crate::extension::{Declaration, Observed, SchemaName, TleFunction};
use crate::ledger::{CHANGED, Ledger, PUBLISHED, ResourceKey, UNTRUSTED, newest_version};
use crate::plan::{DropMode, OfferParts, SchemaCheck, Step};
use crate::postgres_error::DatabaseError;
use crate::target::Address;

/// Fails outside a transaction: what follows does not run where its beginning failed.
const IN_TRANSACTION: &str = "SAVEPOINT begun; RELEASE SAVEPOINT begun";

/// How often the beginning of a transaction is tried where the ledger comes and goes meanwhile.
const LOOKS: u32 = 3;

/// The sessions that hold the lock of the ledger.
const HOLDERS: &str = "SELECT string_agg(format('process %s of user \"%s\"', l.pid, a.usename), ', ') \
                       FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
                       WHERE l.relation = to_regclass('extension_worker.ledger') AND l.granted \
                       AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') AND l.pid <> pg_backend_pid() \
                       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// How long a cancel request may take: it is a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, and while it lasts a transaction.
pub struct Session {
    /// None once the connection is used up.
    client: Option<Object<Connections>>,
    /// A transaction is open, or a statement runs.
    is_busy: bool,
    /// The way to the server for a cancel request.
    streams: Streams,
    connection_limit: ConnectionLimit,
    schema_check: SchemaCheck,
    publish_ledger: bool,
    address: Address,
    offers: Arc<Offers>,
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
    pub(super) fn new(
        client: Object<Connections>,
        streams: Streams,
        connection_limit: ConnectionLimit,
        settings: &PoolSettings,
        address: Address,
        offers: Arc<Offers>,
    ) -> Self {
        Self {
            address,
            offers,
            client: Some(client),
            is_busy: false,
            streams,
            connection_limit,
            schema_check: settings.schema_check,
            publish_ledger: settings.publish_ledger,
        }
    }

    /// Begins the transaction, takes the lock of the ledger where there is one, has the server decide whether the ledger
    /// may be used, and looks at the database, at the schemas of `declarations` too: one round trip.
    ///
    /// No statement runs for longer than `statement_timeout`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn begin(
        &mut self,
        declarations: &[Declaration],
        statement_timeout: Duration,
    ) -> Result<Observed, DatabaseError> {
        let nothing = OfferParts::default();
        let begun = self.begin_with(declarations, statement_timeout, None, &nothing);
        begun.await.map(|(observed, _)| observed)
    }

    /// The same, and reads the ledger in the same round trip, and of the server's offer the `parts`, for
    /// [`Self::read_offer`]. No ledger where there is none of the newest version.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn begin_and_read(
        &mut self,
        declarations: &[Declaration],
        statement_timeout: Duration,
        resource: &ResourceKey,
        request_id: &str,
        parts: &OfferParts,
    ) -> Result<(Observed, Option<Ledger>), DatabaseError> {
        let key = [
            resource.stack_id.as_str(),
            resource.logical_resource_id.as_str(),
            request_id,
        ];
        self.begin_with(declarations, statement_timeout, Some(key), parts)
            .await
    }

    /// The ledger is read behind the check that it may be used: where that fails, nothing behind it runs.
    async fn begin_with(
        &mut self,
        declarations: &[Declaration],
        statement_timeout: Duration,
        read: Option<[&str; 3]>,
        parts: &OfferParts,
    ) -> Result<(Observed, Option<Ledger>), DatabaseError> {
        self.is_busy = true;
        let offer = (!parts.is_empty()).then(|| alone(&offer::query(parts)));
        let schemas = observe::schemas_of(declarations);
        for _ in 0..LOOKS {
            let start = &self.connection()?.start;
            // A timeout that is set in a message does not hold for the rest of that message: several, sent together.
            let begin = start.begin(statement_timeout);
            let (look, names) = start.look(&schemas, read);
            let look = format!("{IN_TRANSACTION}; {look}");
            let client = self.client()?;
            let read_at = Instant::now();
            let looked = promptly(async {
                let offered =
                    OptionFuture::from(offer.as_ref().map(|sql| client.simple_query(sql)));
                let (begun, looked, offered) = join3(
                    client.batch_execute(&begin),
                    client.simple_query(&look),
                    offered,
                )
                .await;
                begun.map(|()| (looked, offered))
            });
            let (looked, offered) = match looked.await {
                // A statement is not prepared any more: a pooler stands between after all.
                Err(error) if error.code() == "26000" => {
                    promptly(self.client()?.batch_execute("ROLLBACK")).await?;
                    self.connection_mut()?.start.distrust_prepared();
                    continue;
                }
                looked => looked?,
            };
            let found = match looked {
                Ok(messages) => {
                    let start = &mut self.connection_mut()?.start;
                    let mut rows = rows(&messages);
                    let mut next = || rows.next().transpose().map(Option::flatten);
                    let mark = next()?;
                    let observed = next()?.ok_or_else(no_row)?;
                    let observed = observe::read(observed, &start.server)?;
                    let is_expected =
                        start.has_ledger() == (observed.ledger_version == Some(newest_version()));
                    if is_expected {
                        if let Some(mark) = mark.filter(|_| start.has_ledger()) {
                            start.note_mark(mark);
                        }
                        let ledger = next()?.map(ledger::document).transpose()?;
                        start.note_prepared(&names);
                        if let Some(offered) = offered {
                            self.keep_offer(parts, offered, read_at).await?;
                        }
                        return Ok((observed, ledger));
                    }
                    (observed.ledger_version.is_some(), !start.has_ledger())
                }
                Err(error) => self.why_not_begun(error.into(), statement_timeout).await?,
            };
            promptly(self.client()?.batch_execute("ROLLBACK")).await?;
            self.connection_mut()?.start.note_ledger(found.0, found.1);
        }
        Err(DatabaseError::LedgerAppeared)
    }

    /// Why the beginning failed; or, where it is to be tried again, whether there is a schema and a ledger of the newest
    /// version now.
    async fn why_not_begun(
        &self,
        error: DatabaseError,
        statement_timeout: Duration,
    ) -> Result<(bool, bool), DatabaseError> {
        let start = &self.connection()?.start;
        let has_ledger = start.has_ledger();
        match error.sql().map(|refused| refused.sqlstate.as_str()) {
            Some("22P02") if has_changed(&error) => Ok((true, has_ledger)),
            Some("42P01" | "3F000") if has_ledger => Ok((true, false)),
            // The lock is asked for first: what holds it, or refuses it, may be in a schema that is not the worker's own.
            Some("55P03" | "42501") if has_ledger => {
                let sql = format!(
                    "ROLLBACK; {}; {}; {HOLDERS}",
                    start.begin(statement_timeout),
                    start.check()
                );
                let messages = promptly(self.client()?.simple_query(&sql)).await;
                let messages = messages.map_err(untrusted)?;
                match last_row(&messages)? {
                    Some(holders) => Err(DatabaseError::LedgerLocked(holders.to_owned())),
                    None => Err(error),
                }
            }
            _ => Err(untrusted(error)),
        }
    }

    /// Looks again, behind what a plan did: one round trip. What the server offers is as it was.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn observe(
        &mut self,
        declarations: &[Declaration],
        before: &Observed,
    ) -> Result<Observed, DatabaseError> {
        let start = &self.connection()?.start;
        let sql = start.look_again(&observe::schemas_of(declarations));
        let messages = promptly(self.client()?.simple_query(&sql)).await?;
        let document = last_row(&messages)?.ok_or_else(no_row)?;
        Ok(Observed {
            catalog: before.catalog.clone(),
            ..observe::read(document, &start.server)?
        })
    }

    /// What roles of lower rank have in the schemas, under names that PostgreSQL or the extensions use, and who may put
    /// more of it there: one round trip.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn inspect(
        &self,
        schemas: &BTreeSet<SchemaName>,
        extensions: &BTreeSet<&str>,
    ) -> Result<SchemaObjects, DatabaseError> {
        let acts_as = self.connection()?.start.acts_as();
        let query = schema_objects::query(schemas.iter(), extensions.iter().copied(), acts_as);
        let messages = promptly(self.client()?.simple_query(&format!("{PIN}; {query}"))).await?;
        document(last_row(&messages)?.unwrap_or_default())
    }

    /// What is known of the server's offer.
    pub(super) fn offer(&self) -> Result<Arc<AsyncMutex<Offer>>, DatabaseError> {
        let server = self.connection()?.start.server.clone();
        Ok(self.offers.of(&(self.address.clone(), server)))
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

    /// Whether objects that [`Self::inspect`] finds are refused.
    pub fn schema_check(&self) -> SchemaCheck {
        self.schema_check
    }

    /// Carries a step out, which may take as long as `connection_limit`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn apply(
        &mut self,
        step: &Step,
        statement_timeout: Duration,
    ) -> Result<Applied, DatabaseError> {
        let sql = step.sql();
        // What runs inside it is others' code too, which may prepare statements under the worker's names.
        self.connection_mut()?.start.distrust_prepared();
        let may_stay = matches!(
            step,
            Step::Drop {
                mode: DropMode::IfUnused,
                ..
            }
        );
        if let Step::Drop {
            mode: DropMode::IfUnused | DropMode::Restrict,
            ..
        } = step
            && let Some(rows) = self.configuration_rows(step).await?
        {
            return if may_stay {
                Ok(Applied::InUse(rows))
            } else {
                Err(DatabaseError::ConfigurationRows(rows))
            };
        }
        // What earlier steps took is not there for this one. A timeout that is set in a message does not hold for the
        // rest of that message: two messages, sent together.
        let client = self.client()?;
        let timeout = format!(
            "SET LOCAL statement_timeout = {}; {}",
            statement_timeout.as_millis().max(1),
            self.connection()?.start.ordinary_path()
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
        statement_timeout: Duration,
    ) -> Result<Result<(), DatabaseError>, DatabaseError> {
        promptly(self.client()?.batch_execute("SAVEPOINT before_step")).await?;
        // The server ends a statement in time, unless it says nothing more at all.
        let applied = tokio::time::timeout(
            statement_timeout + SILENCE_TIMEOUT,
            self.apply(step, statement_timeout),
        );
        let applied = applied.await.unwrap_or_else(|_| {
            let silence = format!(
                "no answer within {} s",
                (statement_timeout + SILENCE_TIMEOUT).as_secs()
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
    pub async fn roll_back_step(&mut self) -> Result<(), DatabaseError> {
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
        document(row.try_get(0)?)
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
        let begin = self.connection()?.start.begin(SILENCE_TIMEOUT);
        let begin = format!("{begin}; SET LOCAL client_encoding = 'SQL_ASCII'");
        promptly(self.client()?.batch_execute(&begin)).await?;
        let rows = promptly(self.client()?.query_typed(
            "SELECT namesend(datname) FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 \
                 AND (datconnlimit <> 0 OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)) \
                 AND has_database_privilege(oid, 'CONNECT') \
                 AND datname NOT IN ('template0', 'template1', 'rdsadmin') ORDER BY datname",
            &[],
        ))
        .await?;
        promptly(self.client()?.batch_execute("ROLLBACK")).await?;
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

/// A query behind whose failure the transaction can go on.
fn alone(query: &str) -> String {
    format!("SAVEPOINT before_query; {PIN}; {query}; RELEASE SAVEPOINT before_query")
}

fn no_row() -> DatabaseError {
    DatabaseError::Unreadable("no row".to_owned())
}

fn document<T: DeserializeOwned>(text: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(text).map_err(|error| DatabaseError::Unreadable(error.to_string()))
}

/// The first column of each row, of all statements.
fn rows(
    messages: &[SimpleQueryMessage],
) -> impl DoubleEndedIterator<Item = Result<Option<&str>, DatabaseError>> {
    messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.try_get(0).map_err(DatabaseError::from)),
        SimpleQueryMessage::CommandComplete(_) | SimpleQueryMessage::RowDescription(_) | _ => None,
    })
}

/// Whether the ledger is another one than was seen before.
fn has_changed(error: &DatabaseError) -> bool {
    error
        .sql()
        .is_some_and(|refused| refused.sqlstate == "22P02" && refused.message.contains(CHANGED))
}

/// Of several statements the last one's row is wanted. A database of encoding SQL_ASCII converts nothing: what it holds may
/// be no UTF-8.
fn last_row(messages: &[SimpleQueryMessage]) -> Result<Option<&str>, DatabaseError> {
    rows(messages).next_back().transpose().map(Option::flatten)
}

/// The server's decision that the ledger may not be used, or made, comes as an error of a conversion.
fn untrusted(error: DatabaseError) -> DatabaseError {
    if has_changed(&error) {
        return DatabaseError::LedgerAppeared;
    }
    let said = |mark: &str| {
        let refused = error.sql().filter(|refused| refused.sqlstate == "22P02")?;
        let (_, problem) = refused.message.split_once(mark)?;
        Some(problem.strip_suffix('"').unwrap_or(problem).to_owned())
    };
    if let Some(problem) = said(UNTRUSTED) {
        return DatabaseError::UntrustedLedger(problem);
    }
    match said(PUBLISHED) {
        Some(publication) => DatabaseError::PublishedLedger(publication),
        None => error,
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
