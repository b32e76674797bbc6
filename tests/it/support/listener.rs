//! Servers of a test's own, each on a port of its own on the loopback interface, until the test ends.

use std::error::Error;

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Serves TCP connections at the same time; returns the port.
pub(super) async fn serve<F>(connection: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream));
        }
    });
    port
}

/// Serves HTTP/1.1; returns the port. A request that fails closes its connection.
pub(super) async fn serve_http<F, B, E>(
    request: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> u16
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    serve(move |stream| {
        let service = hyper::service::service_fn(request.clone());
        async move {
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        }
    })
    .await
}
