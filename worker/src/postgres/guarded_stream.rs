//! The stream to a server, with or without TLS, and with a guard that checks the server's messages.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::guard::{BackendPid, Guard};
use crate::credentials::AuthPolicy;
use crate::process::tls::SslMode;

type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Size of one read.
const READ_BYTES: usize = 8192;

/// Makes the streams of connections. For the driver each of them is TLS with a direct handshake (`sslnegotiation=direct`).
/// TLS is negotiated here instead, so that a connection without TLS has a guard, too.
#[derive(Clone)]
pub(super) struct Streams {
    tls: MakeRustlsConnect,
    mode: SslMode,
    policy: AuthPolicy,
    backend_pid: BackendPid,
}

impl Streams {
    pub(super) fn new(tls: rustls::ClientConfig, mode: SslMode, policy: AuthPolicy) -> Self {
        Self {
            tls: MakeRustlsConnect::new(tls),
            mode,
            policy,
            backend_pid: BackendPid::default(),
        }
    }

    /// The same for a single connection, with the process id of its backend once it is known.
    pub(super) fn for_one(&self) -> (Self, BackendPid) {
        let backend_pid = BackendPid::default();
        let streams = Self {
            backend_pid: backend_pid.clone(),
            ..self.clone()
        };
        (streams, backend_pid)
    }
}

impl MakeTlsConnect<Socket> for Streams {
    type Stream = GuardedStream;
    type TlsConnect = Negotiation;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Negotiation, Infallible> {
        Ok(Negotiation {
            tls: MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, host)?,
            mode: self.mode,
            guard: Guard::new(self.policy.clone(), self.backend_pid.clone()),
        })
    }
}

/// The first bytes of a connection.
pub(super) struct Negotiation {
    tls: RustlsConnect,
    mode: SslMode,
    guard: Guard,
}

impl TlsConnect<Socket> for Negotiation {
    type Stream = GuardedStream;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = BoxFuture<'static, Result<GuardedStream, Self::Error>>;

    fn connect(self, mut socket: Socket) -> Self::Future {
        Box::pin(async move {
            let has_tls = match self.mode {
                SslMode::Disable => false,
                SslMode::Prefer => offers_tls(&mut socket).await?,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                    if !offers_tls(&mut socket).await? {
                        return Err("server does not support TLS".into());
                    }
                    true
                }
            };
            let inner = if has_tls {
                Inner::Tls(Box::new(self.tls.connect(socket).await?))
            } else {
                Inner::Plain(socket)
            };
            Ok(GuardedStream {
                inner,
                guard: self.guard,
                passed_on: Vec::new(),
                taken: 0,
            })
        })
    }
}

/// Sends SSLRequest. Only one byte of the answer is read, so that bytes sent after it in clear text cannot pass for TLS
/// data.
async fn offers_tls(socket: &mut Socket) -> io::Result<bool> {
    let mut request = Default::default();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await?;
    Ok(socket.read_u8().await? == b'S')
}

enum Inner {
    Plain(Socket),
    Tls(Box<RustlsStream>),
}

/// A stream from which the driver reads the bytes that the guard passes on.
pub(super) struct GuardedStream {
    inner: Inner,
    guard: Guard,
    passed_on: Vec<u8>,
    /// How many of these bytes the driver has read.
    taken: usize,
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let waiting = this.passed_on.get(this.taken..).unwrap_or_default();
            if !waiting.is_empty() {
                let (part, _) = waiting.split_at(waiting.len().min(buffer.remaining()));
                buffer.put_slice(part);
                this.taken += part.len();
                return Poll::Ready(Ok(()));
            }
            this.passed_on.clear();
            this.taken = 0;
            if this.guard.has_ended() {
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(match &mut this.inner {
                Inner::Plain(socket) => Pin::new(socket).poll_read(context, &mut read),
                Inner::Tls(stream) => Pin::new(stream).poll_read(context, &mut read),
            })?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.guard.receive(read.filled(), &mut this.passed_on)?;
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.guard.send();
        match &mut this.inner {
            Inner::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Inner::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(socket) => Pin::new(socket).poll_flush(context),
            Inner::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl TlsStream for GuardedStream {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.inner {
            Inner::Plain(_) => ChannelBinding::none(),
            Inner::Tls(stream) => stream.channel_binding(),
        }
    }
}
