//! Connections: a pool for each database and role.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Session;
use super::error::unreachable;
use crate::causes::with_causes;
use crate::fault::DatabaseError;
use crate::metrics::Gauge;
use crate::secrets::Password;
use crate::server::Target;
use crate::tls::SslMode;

/// How connections are made and kept.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// libpq's `sslmode`.
    pub ssl_mode: SslMode,
    /// The TLS configuration that goes with it.
    pub tls: rustls::ClientConfig,
    /// Connections at the most, for each database and role.
    pub max_size: usize,
    /// Counts the connections that are open.
    pub connections: Gauge,
}

/// How long a pool stays that nobody uses.
const REST: Duration = Duration::from_secs(600);
/// How long a connection may take to be made: TCP and TLS, authentication included.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long TCP alone may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a session waits for one of the pool's connections.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a kept connection may take to prove that it lives.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(2);

/// What every session begins with, whatever its role or database has set: that which is observed behind the lock is what
/// the lock's last holder left.
const SESSION_OPTIONS: &str =
    "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off";

/// What every session begins by, the path first, so that no function or operator of the database's own stands in for one
/// of PostgreSQL's. A path in the startup packet would become the session's default, which PostGIS's scripts read, and
/// write back as the database's.
///
/// A worker that is killed leaves a backend that holds its locks: with `client_connection_check_interval` it notices
/// within two seconds. PostgreSQL 13 does not know the setting, and does without.
const SESSION_START: &str = "SET search_path = pg_catalog, pg_temp; \
                             SELECT set_config(name, '2000', false) FROM pg_settings \
                             WHERE name = 'client_connection_check_interval'";

/// All pools of the process.
#[derive(Debug)]
pub struct Pools {
    settings: PoolSettings,
    pools: Arc<Mutex<HashMap<Target, Entry>>>,
}

/// A pool, and the password that its connections were made with.
#[derive(Debug, Clone)]
struct Entry {
    pool: Pool,
    password: Password,
    used_at: Instant,
}

impl Entry {
    fn is_busy(&self) -> bool {
        let status = self.pool.status();
        status.size > status.available
    }
}

impl Pools {
    /// No pool yet. Those that are made go when they are at rest for long: an open connection keeps a database from being
    /// dropped, and counts against the server's.
    pub fn new(settings: PoolSettings) -> Self {
        let pools: Arc<Mutex<HashMap<Target, Entry>>> = Arc::default();
        let swept = Arc::downgrade(&pools);
        tokio::spawn(async move {
            while let Some(pools) = swept.upgrade() {
                let is_used = |entry: &Entry| entry.used_at.elapsed() < REST || entry.is_busy();
                pools
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .retain(|_, entry| is_used(entry));
                drop(pools);
                tokio::time::sleep(REST / 10).await;
            }
        });
        Self { settings, pools }
    }

    /// A connection to the database, kept or new.
    ///
    /// # Errors
    /// [`DatabaseError`] where none could be made in time.
    pub async fn session(
        &self,
        target: &Target,
        password: &Password,
    ) -> Result<Session, DatabaseError> {
        let pool = self.pool(target, password)?;
        let client = pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                unreachable(error)
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                DatabaseError::Unreachable("connection timed out".to_owned(), None)
            }
            PoolError::Timeout(TimeoutType::Wait) => DatabaseError::Busy,
            other @ (PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => {
                DatabaseError::Lost("the pool was closed".to_owned(), Some(Box::new(other)))
            }
        })?;
        Ok(Session::new(client, self.tls()))
    }

    /// Lets no connection that is at rest be used again: a server that was restarted, or a session that has an
    /// extension's old library loaded, is not met twice.
    pub fn forget(&self, target: &Target) {
        if let Some(entry) = self
            .pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(target)
        {
            entry.pool.retain(|_, _| false);
        }
    }

    /// Whoever has another password gets no connection that was made with this one.
    fn pool(&self, target: &Target, password: &Password) -> Result<Pool, DatabaseError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = pools
            .get_mut(target)
            .filter(|entry| entry.password == *password)
        {
            entry.used_at = Instant::now();
            return Ok(entry.pool.clone());
        }
        let manager = Manager::from_connect(
            self.postgres_config(target, password),
            Connector {
                tls: self.tls(),
                connections: self.settings.connections.clone(),
            },
            ManagerConfig {
                recycling_method: RecyclingMethod::Verified,
            },
        );
        let pool = Pool::builder(manager)
            .runtime(Runtime::Tokio1)
            .max_size(self.settings.max_size)
            .wait_timeout(Some(WAIT_TIMEOUT))
            .create_timeout(Some(CREATE_TIMEOUT))
            .recycle_timeout(Some(RECYCLE_TIMEOUT))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    client
                        .batch_execute(SESSION_START)
                        .await
                        .map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| {
                DatabaseError::Lost("the pool cannot be built".to_owned(), Some(Box::new(error)))
            })?;
        pools.insert(
            target.clone(),
            Entry {
                pool: pool.clone(),
                password: password.clone(),
                used_at: Instant::now(),
            },
        );
        Ok(pool)
    }

    fn tls(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(self.settings.tls.clone())
    }

    fn postgres_config(&self, target: &Target, password: &Password) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(target.address.host.as_str())
            .port(target.address.port)
            .dbname(&target.database)
            .user(&target.username)
            .password(password.expose())
            .options(SESSION_OPTIONS)
            .application_name("extension-worker")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(20))
            .ssl_mode(match self.settings.ssl_mode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                    tokio_postgres::config::SslMode::Require
                }
            });
        config
    }
}

/// The driver's own way, with the end of a connection in the log.
struct Connector {
    tls: MakeRustlsConnect,
    connections: Gauge,
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>>
    {
        let config = config.clone();
        let tls = self.tls.clone();
        let connections = self.connections.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            let open = connections.hold();
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(
                        error = with_causes(&error),
                        "connection to PostgreSQL ended"
                    );
                }
                drop(open);
            });
            Ok((client, task))
        })
    }
}
