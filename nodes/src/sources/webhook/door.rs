//! The listening socket and its connections. The host leases it, so that a node which takes the place of another takes over the connections:
//! each request goes to the node whose turn it is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use smollama_engine::lease::Leases;
use smollama_engine::log_limit::LogLimit;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::auth::Guard;
use super::request::{self, Answer};

/// How many requests, and how many bytes of them, wait to be taken.
pub(super) const REQUESTS_MAX: usize = 4_096;
pub(super) const BYTES_MAX: usize = 32 << 20;
/// How long nothing is accepted after that failed: mostly there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A request that came whole, from somebody who may send.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The path behind that of the node.
    pub(super) name: String,
    pub(super) peer: SocketAddr,
    pub(super) body: Vec<u8>,
    /// Whether its content type says that each line is a message.
    pub(super) is_lines: bool,
    /// Told what became of it. Dropped untold: it is not kept.
    pub(super) answer: oneshot::Sender<Answer>,
    /// Counts as waiting as long as it lives.
    pub(super) weight: Weight,
}

/// The bytes of a request among those that wait.
#[derive(Debug)]
pub(super) struct Weight {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What requests must be like, and where they go.
pub(super) struct Desk {
    pub(super) guard: Guard,
    pub(super) path: String,
    pub(super) largest: usize,
    pub(super) timeout: Duration,
    pub(super) connections: usize,
    pub(super) give: mpsc::Sender<Delivery>,
    pub(super) waiting: Arc<AtomicUsize>,
}

impl Desk {
    /// Room for so many bytes; `None` where too much waits.
    pub(super) fn weigh(&self, bytes: usize) -> Option<Weight> {
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let weight = Weight { waiting: self.waiting.clone(), bytes };
        (before + bytes <= BYTES_MAX).then_some(weight)
    }
}

/// See the module.
pub(super) struct Door {
    listener: Mutex<Option<std::net::TcpListener>>,
    desk: Mutex<Option<Arc<Desk>>>,
    accepting: Mutex<Option<AbortHandle>>,
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What lies in these is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    /// The socket that listens there: the one a node of this host holds, or a new one.
    pub(super) fn lease(address: SocketAddr, leases: &Leases) -> Result<Arc<Door>, String> {
        leases.lease(&format!("tcp {address}"), || {
            let refused = |error| format!("cannot listen on `{address}`: {error}");
            let listener = std::net::TcpListener::bind(address).map_err(refused)?;
            listener.set_nonblocking(true).map_err(refused)?;
            Ok(Door {
                listener: Mutex::new(Some(listener)),
                desk: Mutex::new(None),
                accepting: Mutex::new(None),
            })
        })
    }

    #[cfg(test)]
    pub(super) fn address(&self) -> Option<SocketAddr> {
        lock(&self.listener).as_ref()?.local_addr().ok()
    }

    /// Lets requests go to this desk from now on.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub(super) fn open(self: &Arc<Self>, desk: Arc<Desk>) -> std::io::Result<()> {
        let connections = desk.connections;
        *lock(&self.desk) = Some(desk);
        let mut accepting = lock(&self.accepting);
        // A successor may allow another number of connections: those that are there stay.
        if let Some(before) = accepting.take() {
            before.abort();
        }
        let listener = match &*lock(&self.listener) {
            Some(listener) => listener.try_clone()?,
            None => return Err(std::io::Error::other("the listening socket is gone")),
        };
        let listener = TcpListener::from_std(listener)?;
        let task = tokio::spawn(accept(listener, Arc::downgrade(self), connections));
        *accepting = Some(task.abort_handle());
        Ok(())
    }

    /// Nobody takes requests any more, if it was this desk that did.
    pub(super) fn close(&self, desk: &Arc<Desk>) {
        let mut held = lock(&self.desk);
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, desk)) {
            *held = None;
        }
    }

    fn desk(&self) -> Option<Arc<Desk>> {
        lock(&self.desk).clone()
    }
}

async fn accept(listener: TcpListener, door: Weak<Door>, connections: usize) {
    let (room, limit) = (Arc::new(Semaphore::new(connections)), LogLimit::default());
    loop {
        // The semaphore is never closed.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                let why = format!("cannot accept a connection: {error}");
                if limit.admits(None, &why) {
                    tracing::warn!("{why}");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(patience) = door.upgrade().and_then(|door| door.desk()).map(|desk| desk.timeout)
        else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let door = door.clone();
        tokio::spawn(async move {
            let serve = |asked: Request<Incoming>| {
                let desk = door.upgrade().and_then(|door| door.desk());
                async move {
                    Ok::<Response<_>, std::convert::Infallible>(
                        request::serve(desk, peer, asked).await,
                    )
                }
            };
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience)
                .serve_connection(TokioIo::new(stream), service_fn(serve));
            if let Err(error) = connection.await {
                tracing::debug!(%peer, "the connection broke: {error}");
            }
            drop(place);
        });
    }
}
