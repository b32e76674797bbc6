//! How a connection is made, and proves that it lives.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use futures_util::future::join;
use serde::de::DeserializeOwned;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::config::SslNegotiation;

use super::PoolSettings;
use super::first_statement::FirstStatement;
use super::guard::BackendPid;
use super::guarded_stream::Streams;
use super::limit::{ConnectionLimit, Permit};
use super::resolve::{ResolveError, Resolver};
use super::server_facts::Servers;
use super::session_start::{FULL_BEGIN, SESSION_BEGIN, SHORT_START, ShortStart, session_start};
use super::transaction::SessionStart;
use crate::credentials::AuthPolicy;
use crate::credentials::secrets::Password;
use crate::metrics::{Gauge, GaugeGuard};
use crate::postgres_error::DatabaseError;
use crate::process::error_chain::with_causes;
use crate::process::tls::SslMode;
use crate::target::Target;

/// For how long a connection that was used is not asked whether it lives: that question is a round trip before the request's
/// own. What the server closed meanwhile is known without it; one that died silently meanwhile costs an attempt, which takes
/// [`SILENCE_TIMEOUT`], and is tried again.
const RECYCLE_CHECK_AFTER: Duration = Duration::from_secs(3);
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
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error("PostgreSQL's answer cannot be read: {0}")]
    Unreadable(String),
    #[error("the first statement: {0}")]
    First(#[source] tokio_postgres::Error),
    #[error("the first statement was not answered in time")]
    FirstTimedOut,
}

/// A connection, and the right to it: both end together.
#[derive(Debug)]
pub(super) struct Connection {
    client: ClientWrapper,
    /// What was found at its start; whether the database has a ledger is kept up to date.
    pub(super) start: SessionStart,
    _permit: Permit,
    _open: GaugeGuard,
}

impl Deref for Connection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

/// Makes the connections of one pool: the driver's own way, within the budget.
pub(super) struct Connections {
    config: tokio_postgres::Config,
    target: Target,
    servers: Arc<Servers>,
    resolver: Resolver,
    streams: Streams,
    connection_limit: ConnectionLimit,
    open: Gauge,
    close_idle: Box<dyn Fn() + Send + Sync>,
    /// What a session begins with instead of a look at it.
    first: Option<FirstStatement>,
}

impl Connections {
    /// To a database, with a password. `close_idle` closes connections that are at rest, if there are any.
    pub(super) fn new(
        settings: &PoolSettings,
        target: &Target,
        password: &Password,
        servers: Arc<Servers>,
        connection_limit: ConnectionLimit,
        close_idle: Box<dyn Fn() + Send + Sync>,
        first: Option<FirstStatement>,
    ) -> Self {
        let policy = AuthPolicy {
            methods: settings.auth_methods.clone(),
            is_token: password.is_token(),
            is_verified: settings.ssl_mode == SslMode::VerifyFull,
        };
        Self {
            config: postgres_config(target, password, first.as_ref()),
            target: target.clone(),
            servers,
            resolver: Resolver::new(target.address.clone(), settings.hosts.clone()),
            streams: Streams::new(settings.tls.clone(), settings.ssl_mode, policy),
            connection_limit,
            open: settings.open.clone(),
            close_idle,
            first,
        }
    }

    /// The way to the server for a cancel request.
    pub(super) fn streams(&self) -> Streams {
        self.streams.clone()
    }

    /// Connects to an address that the host leads to now, once it was seen to be one that is allowed: no later answer of
    /// DNS can lead elsewhere. Of several the first that serves is taken.
    async fn connect(&self) -> Result<(ClientWrapper, BackendPid), ConnectError> {
        let mut config = self.config.clone();
        let host = self.resolver.host();
        for ip in self.resolver.resolve().await? {
            config.host(host).hostaddr(ip);
        }
        // Boxed: what the driver awaits is deep.
        let (streams, backend_pid) = self.streams.for_one();
        let connecting = Box::pin(config.connect(streams));
        let (client, connection) = connecting.await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = with_causes(&error),
                    "connection to PostgreSQL ended"
                );
            }
        });
        Ok((ClientWrapper::new(client, task), backend_pid))
    }

    /// What is to be known of the session: one round trip, or two where more than usual is to be known of it.
    async fn begin_session(
        &self,
        client: &tokio_postgres::Client,
    ) -> Result<SessionStart, ConnectError> {
        if let Some(server) = self.servers.get(&self.target) {
            let short: ShortStart = ask(client, SESSION_BEGIN, SHORT_START).await?;
            if let Some(start) = short.with(server) {
                return Ok(start);
            }
        }
        let start: SessionStart = ask(client, FULL_BEGIN, &session_start()).await?;
        self.servers.keep(&self.target, &start.server);
        Ok(start)
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
        let permit = self.connection_limit.permit(&self.close_idle).await;
        let permit = permit.ok_or(ConnectError::Exhausted)?;
        let made = async {
            let (client, backend_pid) = self.connect().await?;
            if let Some(first) = &self.first {
                return Ok((client, first.start.clone()));
            }
            let mut start = self.begin_session(&client).await?;
            start.note_connected_to(backend_pid.get());
            Ok((client, start))
        };
        let (client, start) = tokio::time::timeout(CREATE_TIMEOUT, made)
            .await
            .unwrap_or(Err(ConnectError::TimedOut))?;
        if let Some(first) = &self.first {
            let timeout = first.timeout + SILENCE_TIMEOUT;
            let done = tokio::time::timeout(timeout, client.batch_execute(&first.message)).await;
            done.map_err(|_| ConnectError::FirstTimedOut)?
                .map_err(ConnectError::First)?;
        }
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
        if metrics.last_used() < RECYCLE_CHECK_AFTER && !connection.client.is_closed() {
            return Ok(());
        }
        if connection.client.is_closed() {
            return Err(RecycleError::message("the connection was closed"));
        }
        let lives = connection.client.simple_query("").await;
        lives.map_err(|error| RecycleError::Backend(error.into()))?;
        Ok(())
    }
}

/// What a new session answers, in a transaction that ends with it.
async fn ask<T: DeserializeOwned>(
    client: &tokio_postgres::Client,
    begin: &str,
    question: &str,
) -> Result<T, ConnectError> {
    let begin = client.batch_execute(begin);
    let (begun, messages) = join(begin, client.simple_query(question)).await;
    begun?;
    let messages = messages?;
    let document = messages.iter().find_map(|message| {
        if let SimpleQueryMessage::Row(row) = message {
            row.try_get(0).ok().flatten()
        } else {
            None
        }
    });
    serde_json::from_str(document.unwrap_or_default())
        .map_err(|error| ConnectError::Unreadable(error.to_string()))
}

fn postgres_config(
    target: &Target,
    password: &Password,
    first: Option<&FirstStatement>,
) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    if let Some(first) = first {
        config.options(&first.options);
    }
    config
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
        // What is negotiated is up to `Streams`.
        .ssl_mode(tokio_postgres::config::SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    config
}
