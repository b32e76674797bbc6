//! The health check: whether the worker still asks for messages. It runs on a thread of its own, so that a runtime that
//! is blocked is seen.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::causes::with_causes;

/// A receive waits 20 s and is given up after 30: one that is not back by then is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(90);

/// How long the health command waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// When the worker began to ask for messages; none while it has no room for any, which is no fault.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<Mutex<Option<Instant>>>);

impl Heartbeat {
    /// A receive begins.
    pub fn polling(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// It is over, whatever came of it.
    pub fn polled(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_healthy(&self) -> bool {
        let began = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        began.is_none_or(|began| began.elapsed() < STUCK_AFTER)
    }
}

/// Serves `/healthz`: 200, or 503 where the worker is stuck.
///
/// # Errors
/// Where the address cannot be listened on.
pub fn serve(address: SocketAddr, heartbeat: Heartbeat) -> io::Result<()> {
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
                    Ok(listener) => accept(listener, heartbeat).await,
                    Err(fault) => {
                        tracing::error!(error = with_causes(&fault), "no health check")
                    }
                }
            });
        })?;
    Ok(())
}

async fn accept(listener: TcpListener, heartbeat: Heartbeat) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: not to be tried at full speed.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let heartbeat = heartbeat.clone();
        let service = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(answer(&request, &heartbeat)))
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

fn answer<B>(request: &Request<B>, heartbeat: &Heartbeat) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/healthz" if heartbeat.is_healthy() => (StatusCode::OK, "ok\n"),
        "/healthz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no receive has ended for 90 s\n",
        ),
        _ => (StatusCode::NOT_FOUND, "there is /healthz\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Asks a worker whether it is healthy.
///
/// # Errors
/// What it answered, or that nobody did.
pub async fn probe(address: SocketAddr) -> Result<(), String> {
    let asked = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|fault| fault.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|fault| fault.to_string())?;
        tokio::spawn(connection);
        let request = Request::get("/healthz")
            .header("host", address.to_string())
            .body(Empty::<Bytes>::new())
            .map_err(|fault| fault.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|fault| fault.to_string())?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|fault| fault.to_string())?
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
        *heartbeat.0.lock().unwrap() = Instant::now().checked_sub(STUCK_AFTER);
        assert!(!heartbeat.is_healthy());
        heartbeat.polled();
        assert!(heartbeat.is_healthy());
    }
}
