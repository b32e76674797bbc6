//! Connections: a pool for each database and role, each connection made with the newest password.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{DatabaseError, Session, Target};
use crate::secrets::Password;
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
}

/// How long a connection may take to be made: TCP and TLS, authentication included.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long TCP alone may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a session waits for one of the pool's connections.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a kept connection may take to prove that it lives.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(2);

/// All pools of the process.
#[derive(Debug)]
pub struct Pools {
    settings: PoolSettings,
    pools: Mutex<HashMap<Target, Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    pool: Pool,
    password: Arc<RwLock<Password>>,
}

impl Pools {
    /// No pool yet.
    pub fn new(settings: PoolSettings) -> Self {
        Self {
            settings,
            pools: Mutex::default(),
        }
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
        let entry = self.entry(target, password)?;
        let client = entry.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => DatabaseError::from(error),
            PoolError::Timeout(TimeoutType::Create) => DatabaseError::timed_out("connecting"),
            PoolError::Timeout(TimeoutType::Wait) => {
                DatabaseError::timed_out("waiting for one of the worker's own connections")
            }
            PoolError::Timeout(TimeoutType::Recycle) => {
                DatabaseError::timed_out("the connection's check")
            }
            PoolError::PostCreateHook(HookError::Backend(error)) => DatabaseError::from(error),
            other @ (PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => DatabaseError::Connection(
                "the pool gave no connection".to_owned(),
                Some(Box::new(other)),
            ),
        })?;
        Ok(Session::new(client))
    }

    /// Lets no kept connection to the database be used again: a server that was restarted, or a session that has an
    /// extension's old library loaded, is not met twice.
    pub fn forget(&self, target: &Target) {
        let removed = self
            .pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(target);
        if let Some(entry) = removed {
            entry.pool.close();
        }
    }

    fn entry(&self, target: &Target, password: &Password) -> Result<Entry, DatabaseError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = pools.get(target) {
            *entry
                .password
                .write()
                .unwrap_or_else(PoisonError::into_inner) = password.clone();
            return Ok(entry.clone());
        }
        let password = Arc::new(RwLock::new(password.clone()));
        let connector = Connector {
            password: Arc::clone(&password),
            tls: MakeRustlsConnect::new(self.settings.tls.clone()),
        };
        let manager = Manager::from_connect(
            self.postgres_config(target),
            connector,
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
            .post_create(Hook::async_fn(|client, _| Box::pin(prepare(client))))
            .build()
            .map_err(|error| {
                DatabaseError::Connection(
                    "the pool cannot be built".to_owned(),
                    Some(Box::new(error)),
                )
            })?;
        let entry = Entry { pool, password };
        pools.insert(target.clone(), entry.clone());
        Ok(entry)
    }

    fn postgres_config(&self, target: &Target) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&target.address.host)
            .port(target.address.port)
            .dbname(&target.database)
            .user(&target.username)
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

/// A worker that is killed leaves a backend that holds its locks: with this it notices within two seconds. PostgreSQL 13
/// does not know the setting, and does without.
async fn prepare(client: &mut deadpool_postgres::ClientWrapper) -> Result<(), HookError> {
    client
        .batch_execute(
            "SELECT pg_catalog.set_config(name, '2000', false) FROM pg_catalog.pg_settings \
             WHERE name = 'client_connection_check_interval'",
        )
        .await
        .map_err(HookError::Backend)
}

struct Connector {
    password: Arc<RwLock<Password>>,
    tls: MakeRustlsConnect,
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>>
    {
        let mut config = config.clone();
        config.password(
            self.password
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .expose(),
        );
        let tls = self.tls.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "connection to PostgreSQL ended"
                    );
                }
            });
            Ok((client, task))
        })
    }
}
