//! One connection, from its first byte to its last.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::access::Peer;

/// How long the head of a request may take to arrive, and how long a connection may be idle.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How large the head of a request may be, in bytes; and how much is read and written ahead.
const BUFFER_MAX: usize = 32 * 1024;

/// Answers the requests of a connection, until it ends, the server closes and the answer under way is out, or it is cut.
pub(super) async fn serve<S>(
    stream: S,
    peer: Peer,
    router: Router,
    closing: &CancellationToken,
    cut: &CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(BUFFER_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = cut.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer, "a connection ended: {error}");
    }
}
