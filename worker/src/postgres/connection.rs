//! How a connection is opened, and how an idle one is tested.

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
use super::session_start::{PATH_SOURCE, SESSION_BEGIN, SHORT_START, ShortStart, session_start};
use super::transaction::{PIN, SessionStart};
use crate::credentials::AuthPolicy;
use crate::credentials::secrets::Password;
use crate::metrics::{Gauge, GaugeGuard};
use crate::postgres_error::DatabaseError;
use crate::process::error_chain::with_causes;
use crate::process::tls::SslMode;
use crate::target::Target;

/// How long an idle connection is used without a test, which would be a round trip. A connection that the server closed
/// meanwhile is recognized without a test; one whose host died silently costs an attempt that takes [`SILENCE_TIMEOUT`] and
/// is retried.
const RECYCLE_CHECK_AFTER: Duration = Duration::from_secs(3);
/// Timeout for opening a connection: TCP, TLS and authentication.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for the TCP connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// TCP keepalive: the idle time before the first probe, and the interval between probes. A host that is gone is detected
/// within 25 seconds.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// TCP user timeout: how long sent data may stay unacknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server may be silent after a statement that takes almost no time: twice as long as a statement waits for a
/// lock. TCP does not detect a peer that acknowledges everything and sends nothing.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why no connection was opened.
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

/// A connection and its permit, which are released together.
#[derive(Debug)]
pub(super) struct Connection {
    client: ClientWrapper,
    /// What was read when the session began. Whether the database has a ledger is kept up to date.
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

/// Opens the connections of one pool, within the limit on connections.
pub(super) struct Connections {
    config: tokio_postgres::Config,
    target: Target,
    servers: Arc<Servers>,
    resolver: Resolver,
    streams: Streams,
    connection_limit: ConnectionLimit,
    open: Gauge,
    close_idle: Box<dyn Fn() + Send + Sync>,
    /// The statement with which a session begins, instead of the query for its facts.
    first: Option<FirstStatement>,
}

impl Connections {
    /// Connects to a database with a password. `close_idle` closes idle connections, if there are any.
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

    /// How a cancel request reaches the server.
    pub(super) fn streams(&self) -> Streams {
        self.streams.clone()
    }

    /// Connects to an address of the host that is allowed. The address is resolved once and checked, so that a later DNS
    /// answer cannot change it. Of several addresses the first that accepts the connection is used.
    async fn connect(&self) -> Result<(ClientWrapper, BackendPid), ConnectError> {
        let mut config = self.config.clone();
        let host = self.resolver.host();
        for ip in self.resolver.resolve().await? {
            config.host(host).hostaddr(ip);
        }
        // Boxed: the driver's future is large.
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

    /// Reads the facts of the session: one round trip, or two for a session that is not an ordinary one.
    async fn begin_session(
        &self,
        client: &tokio_postgres::Client,
    ) -> Result<SessionStart, ConnectError> {
        if let Some(server) = self.servers.get(&self.target) {
            let short: ShortStart =
                ask(client, &format!("{SESSION_BEGIN}; {PIN}"), SHORT_START).await?;
            if let Some(start) = short.with(server) {
                return Ok(start);
            }
        }
        let begin = format!("{SESSION_BEGIN}; {PATH_SOURCE}; {PIN}");
        let start: SessionStart = ask(client, &begin, &session_start()).await?;
        self.servers.keep(&self.target, &start.server);
        Ok(start)
    }
}

/// The result of a statement that takes no time except to wait for a lock. After a failure the connection is not used
/// again.
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

/// The result of the query that a new session runs, in a transaction that ends with it.
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
        // `Streams` negotiates TLS.
        .ssl_mode(tokio_postgres::config::SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    config
}
