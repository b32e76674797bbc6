//! Connections: a pool for each database and role, within a limit for all of them.

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

/// How connections are opened and kept.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// libpq's `sslmode`.
    pub ssl_mode: SslMode,
    /// The TLS configuration of this mode.
    pub tls: rustls::ClientConfig,
    /// Authentication methods that are allowed for a password.
    pub auth_methods: Vec<AuthMethod>,
    /// The patterns that allow local addresses; `None`: every address is allowed.
    pub hosts: Option<Arc<HostPatterns>>,
    /// Maximum number of connections of each role to one database.
    pub per_database: usize,
    /// Maximum number of connections to all databases, idle ones included.
    pub max_total: usize,
    /// Gauge of the open connections.
    pub open: Gauge,
    /// What happens if the script of an extension would see objects of less privileged roles.
    pub schema_check: SchemaCheck,
    /// Whether the ledger may become part of a publication FOR ALL TABLES.
    pub publish_ledger: bool,
}

/// Databases that are not managed: a template is copied, with its ledger, to every new database, and `rdsadmin` belongs to
/// RDS.
const RESERVED: [&str; 3] = ["template0", "template1", "rdsadmin"];

/// How long an idle pool is kept: an idle session prevents its database from being dropped, renamed or copied. A new
/// connection takes a few milliseconds.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a session waits until the previous one ends and its connection is free, before another connection is opened. Of
/// two transactions in a database one waits for the other's lock in any case, and most take a fraction of the time that a
/// new connection takes.
const TURN_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a session waits for a connection of the pool.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of the test of an idle connection.
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

/// Pools by address, database and role.
#[derive(Debug, Default)]
struct PoolMap(Mutex<HashMap<Target, Entry>>);

/// A pool, and the password with which its connections were opened.
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
    /// Closes the idle connections of the pool that was used least recently.
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
    /// Makes an empty map. Idle pools are removed: an open connection prevents its database from being dropped, and counts
    /// towards the server's limit.
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

    /// The limit on connections, which also counts them.
    pub fn connection_limit(&self) -> &ConnectionLimit {
        &self.connection_limit
    }

    /// The servers to which this process has had a connection.
    pub(crate) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Takes a connection to a database that is to be managed: an idle one, or a new one.
    ///
    /// # Errors
    /// [`DatabaseError`] if none could be opened in time; [`DatabaseError::ReservedDatabase`] if the database is not
    /// managed.
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

    /// Takes a connection to any database, to list the databases of the server.
    ///
    /// # Errors
    /// [`DatabaseError`] if none could be opened in time.
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

    /// Opens a new connection, and runs the statement in its transaction before any other.
    ///
    /// # Errors
    /// [`DatabaseError`] if no connection could be opened, or the statement was refused; nothing is changed then.
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

    /// Discards idle connections, so that the next attempt does not get a connection to a server that was restarted, or a
    /// session that has loaded an extension's old library.
    pub(crate) fn discard_idle(&self, target: &Target) {
        if let Some(entry) = self.pools.pools().get(target) {
            entry.pool.retain(|_, _| false);
        }
    }

    /// Removes the pool of a database that no request is expected to use soon.
    pub(crate) fn remove(&self, target: &Target) {
        drop(self.pools.pools().remove(target));
    }

    /// A connection that was opened with one password is never used with another.
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
