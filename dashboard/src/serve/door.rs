//! Accepts connections, as many as there are seats.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use rustix::net::sockopt;
use smollama_engine::log_limit::LogLimit;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::serve;
use super::stall::Stall;
use crate::access::Peer;
use crate::api::App;

/// How many connections are open at a time: by TCP, and by the control socket. Neither takes a seat of the other, so that strangers
/// cannot lock the command line out.
pub(crate) const SEATS: usize = 64;
/// How long whoever reads nothing of an answer may do so.
const STALL_TIME_MAX: Duration = Duration::from_secs(30);
/// How long to wait when there are no more descriptors, or the like.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What whoever finds no seat is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Lets connections in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) router: Router,
    pub(super) app: Arc<App>,
    pub(super) connections: TaskTracker,
    pub(super) cut: CancellationToken,
}

impl Door {
    /// Accepts on the control socket until the server stops.
    pub(super) async fn unix(self, listener: UnixListener) {
        let (seats, limit) = (Arc::new(Semaphore::new(SEATS)), LogLimit::default());
        while let Some(accepted) = self.app.closing.run_until_cancelled(listener.accept()).await {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause("the control socket", &error, &limit).await;
                    continue;
                }
            };
            // A peer that cannot be told is nobody we know.
            let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
            match seats.clone().try_acquire_owned() {
                Ok(seat) => self.admit(stream, Peer::Unix { uid }, seat),
                Err(_) => self.turn_away(|| stream.try_write(FULL)),
            }
        }
    }

    /// Accepts on a port until the server stops.
    pub(super) async fn tcp(self, listener: TcpListener) {
        let (seats, limit) = (Arc::new(Semaphore::new(SEATS)), LogLimit::default());
        while let Some(accepted) = self.app.closing.run_until_cancelled(listener.accept()).await {
            let peer = accepted.and_then(|(stream, remote)| {
                let local = stream.local_addr()?;
                Ok((stream, Peer::Tcp { remote, local }))
            });
            let (stream, peer) = match peer {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause("the port", &error, &limit).await;
                    continue;
                }
            };
            match seats.clone().try_acquire_owned() {
                Ok(seat) => {
                    if let Err(error) = watch(&stream) {
                        tracing::debug!("a connection is not watched: {error}");
                    }
                    self.admit(Stall::new(stream, STALL_TIME_MAX), peer, seat);
                }
                Err(_) => self.turn_away(|| stream.try_write(FULL)),
            }
        }
    }

    fn admit<S>(&self, stream: S, peer: Peer, seat: OwnedSemaphorePermit)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (router, closing, cut) =
            (self.router.clone(), self.app.closing.clone(), self.cut.clone());
        self.connections.spawn(async move {
            serve(stream, peer, router, &closing, &cut).await;
            drop(seat);
        });
    }

    fn turn_away(&self, tell: impl FnOnce() -> io::Result<usize>) {
        self.app.traffic.turned_away.fetch_add(1, Ordering::Relaxed);
        // It is only a courtesy: the connection is closed in any case.
        let _ = tell();
    }
}

/// Small answers go out at once, and a peer that is gone without a word is noticed within a minute.
fn watch(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

async fn pause(what: &str, error: &io::Error, limit: &LogLimit) {
    let why = format!("{what} accepts no connection: {error}");
    if limit.admits(None, &why) {
        tracing::warn!("{why}");
    }
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
