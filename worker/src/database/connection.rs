//! How a connection is made, and proves that it lives.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use deadpool::managed::{Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{ClientWrapper, Connect, Manager, ManagerConfig, RecyclingMethod};
use futures_util::future::{BoxFuture, join};
use tokio::task::JoinHandle;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PoolSettings;
use super::budget::{Budget, Permit};
use super::transaction::{SESSION_BEGIN, SESSION_START, SessionStart};
use crate::causes::with_causes;
use crate::fault::DatabaseError;
use crate::metrics::{Gauge, Held};
use crate::secrets::Password;
use crate::server::Target;
use crate::tls::SslMode;

/// For how long a connection that was used is not asked whether it lives: under load that question would be a round trip
/// for each request. One that died all the same costs an attempt, and is tried again.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long a connection may take to be made: TCP and TLS, authentication included.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long TCP alone may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may be silent before it is asked whether it is there, and how long between two such questions. With
/// the next they find a host that is gone within 25 seconds.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long what was sent may go unacknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server may be silent that has next to nothing to do: twice as long as a statement waits for a lock. A peer
/// that takes everything and says nothing is not found otherwise.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("all connections of the process are in use")]
    Exhausted,
    #[error("connection timed out")]
    TimedOut,
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error("PostgreSQL's answer cannot be read: {0}")]
    Unreadable(String),
}

/// A connection, and the right to it: both end together.
#[derive(Debug)]
pub(super) struct Connection {
    client: ClientWrapper,
    /// What was found at its start; whether the database has a ledger is kept up to date.
    pub(super) start: SessionStart,
    _permit: Permit,
    _open: Held,
}

impl Deref for Connection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

/// Makes the connections of one pool: the driver's own way, within the budget.
pub(super) struct Connections {
    manager: Manager,
    tls: MakeRustlsConnect,
    budget: Budget,
    open: Gauge,
    make_room: Box<dyn Fn() + Send + Sync>,
}

impl Connections {
    /// To a database, with a password. `make_room` closes connections that are at rest, if there are any.
    pub(super) fn new(
        settings: &PoolSettings,
        target: &Target,
        password: &Password,
        budget: Budget,
        make_room: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let tls = MakeRustlsConnect::new(settings.tls.clone());
        let manager = Manager::from_connect(
            postgres_config(settings, target, password),
            Connector { tls: tls.clone() },
            ManagerConfig {
                recycling_method: RecyclingMethod::Verified,
            },
        );
        Self {
            manager,
            tls,
            budget,
            open: settings.open.clone(),
            make_room,
        }
    }

    /// The way to the server for a cancel request.
    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }
}

/// The answer to a statement that takes no time but to wait for a lock. After a failure the connection is used up.
pub(super) async fn promptly<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, DatabaseError> {
    match tokio::time::timeout(SILENCE_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let silence = format!("no answer within {} s", SILENCE_TIMEOUT.as_secs());
            Err(DatabaseError::Lost(silence, None))
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connections")
    }
}

impl deadpool::managed::Manager for Connections {
    type Type = Connection;
    type Error = ConnectError;

    async fn create(&self) -> Result<Connection, ConnectError> {
        let permit = self.budget.permit(&self.make_room).await;
        let permit = permit.ok_or(ConnectError::Exhausted)?;
        let made = async {
            let client = self.manager.create().await?;
            let start = begin_session(&client).await?;
            Ok((client, start))
        };
        let (client, start) = tokio::time::timeout(CREATE_TIMEOUT, made)
            .await
            .unwrap_or(Err(ConnectError::TimedOut))?;
        Ok(Connection {
            client,
            start,
            _permit: permit,
            _open: self.open.hold(),
        })
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<ConnectError> {
        if metrics.last_used() < TRUSTED && !connection.client.is_closed() {
            return Ok(());
        }
        let lives = self.manager.recycle(&mut connection.client, metrics).await;
        lives.map_err(|error| match error {
            RecycleError::Message(text) => RecycleError::Message(text),
            RecycleError::Backend(error) => RecycleError::Backend(error.into()),
        })
    }

    fn detach(&self, connection: &mut Connection) {
        self.manager.detach(&mut connection.client);
    }
}

async fn begin_session(client: &tokio_postgres::Client) -> Result<SessionStart, ConnectError> {
    let begin = client.batch_execute(SESSION_BEGIN);
    let (begun, messages) = join(begin, client.simple_query(SESSION_START)).await;
    begun?;
    let messages = messages?;
    let document = messages.iter().find_map(|message| {
        if let SimpleQueryMessage::Row(row) = message {
            row.get(0)
        } else {
            None
        }
    });
    serde_json::from_str(document.unwrap_or_default())
        .map_err(|error| ConnectError::Unreadable(error.to_string()))
}

fn postgres_config(
    settings: &PoolSettings,
    target: &Target,
    password: &Password,
) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host(target.address.host.as_str())
        .port(target.address.port)
        .dbname(&target.database)
        .user(&target.username)
        .password(password.expose())
        .application_name("extension-worker")
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(3)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .ssl_mode(match settings.ssl_mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
    config
}

/// The driver's own way, with the end of a connection in the log.
struct Connector {
    tls: MakeRustlsConnect,
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>>
    {
        let config = config.clone();
        let tls = self.tls.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(
                        error = with_causes(&error),
                        "connection to PostgreSQL ended"
                    );
                }
            });
            Ok((client, task))
        })
    }
}
