//! What the worker says of itself over HTTP: whether it still asks for messages, whether it takes them, and its
//! instruments. On a thread of its own, so that a runtime that is blocked is seen.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::error_chain::with_causes;
use crate::metrics::{self, Metrics};

/// A receive waits 20 s and is given up after 30: one that is not back by then is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(90);

/// What a word for people is.
const TEXT: &str = "text/plain; charset=utf-8";

/// How long the health command waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The consumer's receives, as the health check sees them.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<Pulse>);

#[derive(Debug, Default)]
struct Pulse {
    /// When the worker began to ask for messages; none while it has no room for any, which is no fault.
    polling: Mutex<Option<Instant>>,
    has_received: AtomicBool,
}

/// What can be asked of a worker.
#[derive(Debug, Clone)]
pub struct Health {
    /// The consumer's.
    pub heartbeat: Heartbeat,
    /// The process's.
    pub metrics: Metrics,
    /// Cancelled when the worker is to stop.
    pub stop: CancellationToken,
}

impl Heartbeat {
    /// A receive begins.
    pub(crate) fn polling(&self) {
        *self.began() = Some(Instant::now());
    }

    /// It is over. One that succeeded, with or without messages, shows that the queue is there and can be read.
    pub(crate) fn polled(&self, succeeded: bool) {
        *self.began() = None;
        if succeeded {
            self.0.has_received.store(true, Relaxed);
        }
    }

    fn began(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.polling.lock()
    }

    fn is_healthy(&self) -> bool {
        let began = *self.began();
        began.is_none_or(|began| began.elapsed() < STUCK_AFTER)
    }
}

/// Serves `/healthz`: 200, or 503 where the worker is stuck. `/readyz`: 503 until the first receive has succeeded, and
/// once the worker is to stop. `/metrics`: the instruments.
///
/// # Errors
/// Where the address cannot be listened on.
pub fn serve(address: SocketAddr, health: Health) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("health".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => accept(listener, health).await,
                    Err(error) => {
                        tracing::error!(error = with_causes(&error), "no health check")
                    }
                }
            });
        })?;
    Ok(())
}

async fn accept(listener: TcpListener, health: Health) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: not to be tried at full speed.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let health = health.clone();
        let service = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(answer(&request, &health)))
        });
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // A client that hangs up early is its own affair; one that hangs is cut off.
            drop(tokio::time::timeout(PROBE_TIMEOUT, served).await);
        });
    }
}

fn answer<B>(request: &Request<B>, health: &Health) -> Response<Full<Bytes>> {
    let heartbeat = &health.heartbeat;
    let unavailable = |text: &'static str| (StatusCode::SERVICE_UNAVAILABLE, text.into());
    let (status, text) = match request.uri().path() {
        "/healthz" if heartbeat.is_healthy() => (StatusCode::OK, "ok\n".into()),
        "/healthz" => unavailable("no receive has ended for 90 s\n"),
        "/readyz" if health.stop.is_cancelled() => unavailable("stopping\n"),
        "/readyz" if heartbeat.0.has_received.load(Relaxed) => (StatusCode::OK, "ready\n".into()),
        "/readyz" => unavailable("no receive has succeeded yet\n"),
        "/metrics" => return instruments(&health.metrics),
        _ => (
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /metrics\n".into(),
        ),
    };
    respond(status, TEXT, text)
}

fn instruments(metrics: &Metrics) -> Response<Full<Bytes>> {
    match metrics::text(metrics.read()) {
        Ok(text) => respond(StatusCode::OK, metrics::CONTENT_TYPE, text.into()),
        Err(error) => respond(
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            error.to_string().into(),
        ),
    }
}

fn respond(status: StatusCode, kind: &'static str, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Asks a worker whether it is healthy.
///
/// # Errors
/// What it answered, or why there is no answer.
pub async fn probe(address: SocketAddr) -> Result<(), String> {
    let asked = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = Request::get("/healthz")
            .header("host", address.to_string())
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        if status == StatusCode::OK {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&body).trim().to_owned())
        }
    };
    tokio::time::timeout(PROBE_TIMEOUT, asked)
        .await
        .unwrap_or_else(|_| Err("no answer".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_room_is_healthy_and_one_whose_receive_hangs_is_not() {
        let heartbeat = Heartbeat::default();
        assert!(heartbeat.is_healthy());
        heartbeat.polling();
        assert!(heartbeat.is_healthy());
        *heartbeat.began() = Instant::now().checked_sub(STUCK_AFTER);
        assert!(!heartbeat.is_healthy());
        heartbeat.polled(false);
        assert!(heartbeat.is_healthy());
    }

    #[test]
    fn a_worker_is_ready_from_its_first_receive_until_it_stops() {
        let health = Health {
            heartbeat: Heartbeat::default(),
            metrics: Metrics::default(),
            stop: CancellationToken::new(),
        };
        let status = || {
            let request = Request::get("/readyz").body(()).unwrap();
            answer(&request, &health).status().as_u16()
        };
        assert_eq!(status(), 503);
        health.heartbeat.polled(false);
        assert_eq!(status(), 503);
        health.heartbeat.polled(true);
        assert_eq!(status(), 200);
        health.heartbeat.polled(false);
        assert_eq!(status(), 200);
        health.stop.cancel();
        assert_eq!(status(), 503);
    }
}
