//! Listens, and bounds what a connection can cost.

mod connection;
mod door;
mod socket;
mod stall;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::config::http::HttpConfig;
use smollama_engine::context::Host;
use smollama_engine::control::Control;
use smollama_engine::disk::Disk;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Gate, ListenError, Site, Tokens, check_listen};
use crate::api::{App, router};
use crate::audit::Audit;
use door::Door;
#[cfg(test)]
pub(crate) use door::SEATS;
pub use socket::SOCKET_NAME;
pub(crate) use socket::connect;

/// How long a stop waits for changes under way.
const CHANGES_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a stop waits for answers under way.
const ANSWERS_TIME_MAX: Duration = Duration::from_secs(2);
/// How often refusals that were counted become rows.
const SETTLE_EVERY: Duration = Duration::from_secs(60);

/// What a server needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the control socket, the token and the audit lie. It exists and nobody else serves it: its lock is held.
    pub data_dir: PathBuf,
    /// The way to the audit.
    pub disk: Arc<dyn Disk>,
    /// The time of rows of the audit.
    pub clock: Arc<dyn Clock>,
    /// `http` of `config.yaml`, with what the command line said.
    pub http: HttpConfig,
}

impl Options {
    /// For a host.
    #[must_use]
    pub fn new(host: &Host, http: HttpConfig) -> Options {
        Options {
            data_dir: host.data_dir.clone(),
            disk: host.disk.clone(),
            clock: Arc::new(SystemClock::default()),
            http,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address would let other machines in.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No token.
    #[error("cannot use the token: {0}")]
    Token(#[source] io::Error),
    /// No control socket.
    #[error("cannot make the control socket {path}: {error}", path = path.display())]
    Socket {
        /// Where it would lie.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No port.
    #[error(
        "cannot listen on {address}: {error}\n  help: choose another port with `--port`, or none with `--no-dashboard`"
    )]
    Port {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// A server at work. Dropped without [`Server::stop`] it goes on until the runtime ends.
pub struct Server {
    app: Arc<App>,
    socket: PathBuf,
    address: Option<SocketAddr>,
    connections: TaskTracker,
    cut: CancellationToken,
}

impl Server {
    /// Opens the control socket and, unless the settings say otherwise, a port, and answers for an engine.
    ///
    /// # Errors
    /// See [`StartError`]; nothing listens then.
    pub async fn start(control: Arc<dyn Control>, options: Options) -> Result<Server, StartError> {
        let Options { data_dir, disk, clock, http } = options;
        let address = SocketAddr::new(http.host.0, http.port);
        let mut tokens = None;
        let mut port = None;
        if http.enabled {
            check_listen(address.ip(), http.token.is_some())?;
            tokens = Some(Tokens::open(&data_dir, &http).map_err(StartError::Token)?);
            let bound = TcpListener::bind(address).await;
            port = Some(bound.map_err(|error| StartError::Port { address, error })?);
        }
        let path = data_dir.join(SOCKET_NAME);
        let socket = socket::bind(&data_dir)
            .map_err(|error| StartError::Socket { path: path.clone(), error })?;
        let address = port.as_ref().and_then(|port| port.local_addr().ok());
        let owner = rustix::process::geteuid().as_raw();
        let gate = Gate::new(owner, tokens, Site::new(&http.hosts));
        let app = App::new(control, gate, Audit::new(&data_dir, &disk, clock));
        let server = Server {
            app: app.clone(),
            socket: path,
            address,
            connections: TaskTracker::new(),
            cut: CancellationToken::new(),
        };
        let door = Door {
            router: router(app.clone()),
            app: app.clone(),
            connections: server.connections.clone(),
            cut: server.cut.clone(),
        };
        server.connections.spawn(door.clone().unix(socket));
        if let Some(port) = port {
            server.connections.spawn(door.tcp(port));
        }
        server.connections.spawn(settle(app));
        Ok(server)
    }

    /// The address it listens on, when it listens on one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where the control socket lies.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes no more requests, ends streams, waits for changes and answers under way, and removes the control socket.
    pub async fn stop(self) {
        let _ = std::fs::remove_file(&self.socket);
        self.app.closing.cancel();
        self.app.changes.close();
        if tokio::time::timeout(CHANGES_TIME_MAX, self.app.changes.wait()).await.is_err() {
            tracing::warn!("a change is still under way; its audit row may be missing");
        }
        self.connections.close();
        // An answer nobody takes, a request that never ends: cut off.
        let _ = tokio::time::timeout(ANSWERS_TIME_MAX, self.connections.wait()).await;
        self.cut.cancel();
        self.connections.wait().await;
        self.app.audit.settle(true).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("Server");
        server.field("socket", &self.socket).field("address", &self.address).finish_non_exhaustive()
    }
}

/// Writes counted refusals once a minute, so that a flood shows while it lasts.
async fn settle(app: Arc<App>) {
    while app.closing.run_until_cancelled(tokio::time::sleep(SETTLE_EVERY)).await.is_some() {
        app.audit.settle(false).await;
    }
}
