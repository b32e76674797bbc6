//! Connections: a pool for each database and role, and a number that all of them have at the most.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{Pool, PoolError, TimeoutType};
use deadpool_postgres::Runtime;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Session;
use super::connection::{ConnectError, Connections};
use super::error::unreachable;
use super::first_statement::FirstStatement;
use super::limit::ConnectionLimit;
use super::offer::Offers;
use super::reached::Reached;
use super::server_facts::Servers;
use crate::credentials::secrets::Password;
use crate::credentials::{AuthMethod, HostPatterns};
use crate::metrics::Gauge;
use crate::plan::SchemaCheck;
use crate::postgres_error::DatabaseError;
use crate::process::tls::SslMode;
use crate::target::Target;

/// How connections are made and kept.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// libpq's `sslmode`.
    pub ssl_mode: SslMode,
    /// The TLS configuration that goes with it.
    pub tls: rustls::ClientConfig,
    /// How a password may be given to a server.
    pub auth_methods: Vec<AuthMethod>,
    /// The patterns that allow local addresses; none where every address may be connected to.
    pub hosts: Option<Arc<HostPatterns>>,
    /// Connections at the most, for each database and role.
    pub per_database: usize,
    /// Connections at the most, all databases together, those at rest included.
    pub max_total: usize,
    /// Counts the connections that are open.
    pub open: Gauge,
    /// What becomes of a step whose script would see objects of roles of lower rank.
    pub schema_check: SchemaCheck,
    /// Whether the ledger may become a part of a publication of all tables.
    pub publish_ledger: bool,
}

/// Databases that are not managed: what is in a template is copied to every new database, its ledger too, and `rdsadmin`
/// is RDS's own.
const RESERVED: [&str; 3] = ["template0", "template1", "rdsadmin"];

/// How long a pool stays that is not used: a session at rest keeps its database from being dropped, renamed or copied. A new
/// one costs some milliseconds.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a session waits for the one before it to be over, and its connection to be free, rather than to make another. Of
/// two transactions in a database one waits for the other's lock in any case, and most take a fraction of what a new
/// connection costs.
const TURN_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a session waits for one of the pool's connections.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a kept connection may take to prove that it lives.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(2);

/// All pools of the process.
#[derive(Debug)]
pub struct Pools {
    settings: PoolSettings,
    connection_limit: ConnectionLimit,
    pools: Arc<PoolMap>,
    reached: Reached,
    offers: Arc<Offers>,
    servers: Arc<Servers>,
}

/// Pools by what they lead to.
#[derive(Debug, Default)]
struct PoolMap(Mutex<HashMap<Target, Entry>>);

/// A pool, and the password that its connections were made with.
#[derive(Debug, Clone)]
struct Entry {
    pool: Pool<Connections>,
    turn: Arc<Semaphore>,
    password: Password,
    used_at: Instant,
}

impl Entry {
    fn is_busy(&self) -> bool {
        let status = self.pool.status();
        status.size > status.available
    }
}

impl PoolMap {
    /// Closes what is at rest of the pool that was used last the longest ago.
    fn close_idle(&self) {
        let pools = self.pools();
        let mut entries: Vec<&Entry> = pools.values().collect();
        entries.sort_unstable_by_key(|entry| entry.used_at);
        for entry in entries {
            if !entry.pool.retain(|_, _| false).removed.is_empty() {
                return;
            }
        }
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<Target, Entry>> {
        self.0.lock()
    }
}

impl Pools {
    /// No pool yet. Those that are made go when they are at rest for long: an open connection keeps a database from being
    /// dropped, and counts against the server's.
    pub fn new(settings: PoolSettings) -> Self {
        let pools: Arc<PoolMap> = Arc::default();
        let swept = Arc::downgrade(&pools);
        tokio::spawn(async move {
            while let Some(pools) = swept.upgrade() {
                let is_used =
                    |entry: &Entry| entry.used_at.elapsed() < POOL_IDLE_TIMEOUT || entry.is_busy();
                pools.pools().retain(|_, entry| is_used(entry));
                drop(pools);
                tokio::time::sleep(POOL_IDLE_TIMEOUT / 10).await;
            }
        });
        Self {
            connection_limit: ConnectionLimit::new(settings.max_total),
            settings,
            pools,
            reached: Reached::default(),
            offers: Arc::default(),
            servers: Arc::default(),
        }
    }

    /// The connections that there may be, to be asked how many there are.
    pub fn connection_limit(&self) -> &ConnectionLimit {
        &self.connection_limit
    }

    /// Which servers this process has had a connection to.
    pub(crate) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// A connection to a database that is to be managed, kept or new.
    ///
    /// # Errors
    /// [`DatabaseError`] where none could be made in time; [`DatabaseError::ReservedDatabase`] where the database is none
    /// to manage.
    pub async fn session(
        &self,
        target: &Target,
        password: &Password,
    ) -> Result<Session, DatabaseError> {
        if RESERVED.contains(&target.database.as_str()) {
            return Err(DatabaseError::ReservedDatabase(target.database.clone()));
        }
        self.session_for_listing(target, password).await
    }

    /// A connection to any database, for a look at the server's list of databases.
    ///
    /// # Errors
    /// [`DatabaseError`] where none could be made in time.
    pub(crate) async fn session_for_listing(
        &self,
        target: &Target,
        password: &Password,
    ) -> Result<Session, DatabaseError> {
        let (pool, turn) = self.pool(target, password)?;
        let turn = tokio::time::timeout(TURN_TIMEOUT, turn.acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok);
        self.session_of(&pool, turn, target, password).await
    }

    /// A new connection, in whose transaction the statement was run before anything else.
    ///
    /// # Errors
    /// [`DatabaseError`], where none could be made or the statement was refused: nothing was changed then.
    pub(crate) async fn session_after(
        &self,
        first: FirstStatement,
        target: &Target,
        password: &Password,
    ) -> Result<Session, DatabaseError> {
        let pool = self.new_pool(target, password, Some(first))?;
        let mut session = self.session_of(&pool, None, target, password).await?;
        session.note_begun();
        Ok(session)
    }

    async fn session_of(
        &self,
        pool: &Pool<Connections>,
        turn: Option<OwnedSemaphorePermit>,
        target: &Target,
        password: &Password,
    ) -> Result<Session, DatabaseError> {
        let timed_out = || DatabaseError::Unreachable("connection timed out".to_owned(), None);
        let got = pool.get().await.map_err(|error| match error {
            PoolError::Backend(ConnectError::Postgres(error)) => unreachable(error),
            PoolError::Backend(ConnectError::First(error)) => error.into(),
            PoolError::Backend(ConnectError::FirstTimedOut) => {
                DatabaseError::Lost("no answer in time".to_owned(), None)
            }
            PoolError::Backend(ConnectError::Unreadable(text)) => DatabaseError::Unreadable(text),
            PoolError::Backend(ConnectError::Resolve(error)) => error.into(),
            PoolError::Backend(ConnectError::TimedOut)
            | PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => timed_out(),
            PoolError::Backend(ConnectError::Exhausted) => {
                DatabaseError::Exhausted(self.settings.max_total)
            }
            PoolError::Timeout(TimeoutType::Wait) => DatabaseError::Busy,
            other @ (PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => {
                DatabaseError::Lost("the pool was closed".to_owned(), Some(Box::new(other)))
            }
        });
        let connection = match got {
            Ok(connection) => connection,
            Err(error) => return Err(self.with_limit(target, password, error).await),
        };
        self.reached.note_role(target);
        let streams = pool.manager().streams();
        Ok(Session::new(
            connection,
            streams,
            self.connection_limit.clone(),
            &self.settings,
            target.address.clone(),
            Arc::clone(&self.offers),
            turn,
        ))
    }

    /// Discards idle connections: a server that was restarted, or a session that has an
    /// extension's old library loaded, is not met twice.
    pub(crate) fn discard_idle(&self, target: &Target) {
        if let Some(entry) = self.pools.pools().get(target) {
            entry.pool.retain(|_, _| false);
        }
    }

    /// Removes the pool of a database that no request is expected to use soon.
    pub(crate) fn remove(&self, target: &Target) {
        drop(self.pools.pools().remove(target));
    }

    /// Another password never gets a connection that was made with this one.
    fn pool(
        &self,
        target: &Target,
        password: &Password,
    ) -> Result<(Pool<Connections>, Arc<Semaphore>), DatabaseError> {
        let mut pools = self.pools.pools();
        if let Some(entry) = pools
            .get_mut(target)
            .filter(|entry| entry.password == *password)
        {
            entry.used_at = Instant::now();
            return Ok((entry.pool.clone(), Arc::clone(&entry.turn)));
        }
        let pool = self.new_pool(target, password, None)?;
        let turn = Arc::new(Semaphore::new(1));
        let entry = Entry {
            pool: pool.clone(),
            turn: Arc::clone(&turn),
            password: password.clone(),
            used_at: Instant::now(),
        };
        pools.insert(target.clone(), entry);
        Ok((pool, turn))
    }

    fn new_pool(
        &self,
        target: &Target,
        password: &Password,
        first: Option<FirstStatement>,
    ) -> Result<Pool<Connections>, DatabaseError> {
        let map = Arc::downgrade(&self.pools);
        let connections = Connections::new(
            &self.settings,
            target,
            password,
            Arc::clone(&self.servers),
            self.connection_limit.clone(),
            Box::new(move || {
                if let Some(map) = map.upgrade() {
                    map.close_idle();
                }
            }),
            first,
        );
        Pool::builder(connections)
            .runtime(Runtime::Tokio1)
            .max_size(self.settings.per_database)
            .wait_timeout(Some(WAIT_TIMEOUT))
            .recycle_timeout(Some(RECYCLE_TIMEOUT))
            .build()
            .map_err(|error| {
                DatabaseError::Lost("the pool cannot be built".to_owned(), Some(Box::new(error)))
            })
    }
}
