//! The listening socket, and the connections that came over it. The host leases it, so that a node which takes the place of another takes
//! over all of it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use smollama_engine::lease::Leases;
use tokio::net::{TcpListener, UnixListener};

use super::config::{Address, Mode};
use super::connection::Connection;
use super::stream::Stream;

/// See the module.
#[derive(Debug)]
pub(super) struct Listening(Mutex<Held>);

/// What a node works with while it has it.
#[derive(Debug)]
pub(super) struct Held {
    listener: Listener,
    pub(super) connections: Vec<Connection>,
    /// All streams that are in use: also those that are only still told what is kept.
    open: Vec<Weak<Stream>>,
    /// The Unix socket's file.
    file: Option<SocketFile>,
}

/// A listener becomes one of the runtime's where it is first used.
#[derive(Debug)]
enum Listener {
    IdleTcp(std::net::TcpListener),
    IdleUnix(StdUnixListener),
    Tcp(TcpListener),
    Unix(UnixListener),
    /// It could not become one.
    Broken,
}

/// A socket's place in the file system, which goes with it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and number, to know it by.
    identity: (u64, u64),
}

impl Listening {
    /// The socket that listens there: the one a node of this host holds, or a new one.
    pub(super) fn lease(address: &Address, leases: &Leases) -> Result<Arc<Listening>, String> {
        let open = || {
            let held = match address {
                Address::Tcp(address) => {
                    let listener = std::net::TcpListener::bind(address)
                        .map_err(|error| format!("cannot listen on `{address}`: {error}"))?;
                    Held::new(Listener::IdleTcp(listener), None)
                }
                Address::Unix(path, mode) => {
                    let (listener, file) = bind_unix(path, *mode).map_err(|error| {
                        format!("cannot listen on `{}`: {error}", path.display())
                    })?;
                    Held::new(Listener::IdleUnix(listener), Some(file))
                }
            };
            Ok(Listening(Mutex::new(held)))
        };
        leases.lease(&key(address), open)
    }

    /// For the node whose turn it is.
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        // A panic leaves connections whole or gone.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("tcp {address}"),
        Address::Unix(path, _) => format!("unix {}", path.display()),
    }
}

impl Held {
    fn new(listener: Listener, file: Option<SocketFile>) -> Held {
        Held { listener, connections: Vec::new(), open: Vec::new(), file }
    }

    /// The port, where it is TCP: the system's choice if the settings said 0.
    #[cfg(test)]
    pub(super) fn tcp_address(&self) -> Option<std::net::SocketAddr> {
        match &self.listener {
            Listener::IdleTcp(listener) => listener.local_addr().ok(),
            Listener::Tcp(listener) => listener.local_addr().ok(),
            _ => None,
        }
    }

    /// Gives the Unix socket the permissions that the settings say now.
    pub(super) fn permit(&self, address: &Address) -> io::Result<()> {
        match (address, &self.file) {
            (Address::Unix(_, mode), Some(file)) => permit(&file.path, *mode),
            _ => Ok(()),
        }
    }

    /// The next connection, and who it is with.
    pub(super) fn poll_accept(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, Arc<str>)>> {
        self.listener.start()?;
        match &self.listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(task))?;
                Poll::Ready(Stream::tcp(stream).map(|stream| (stream, peer.to_string().into())))
            }
            Listener::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(task))?;
                Poll::Ready(Ok((Stream::Unix(stream), "unix".into())))
            }
            _ => Poll::Ready(Err(io::Error::other("the listening socket is gone"))),
        }
    }

    /// Counts a stream as open, or gives it back where there are as many as there may be.
    pub(super) fn admit(&mut self, stream: Stream, most: usize) -> Result<Arc<Stream>, Stream> {
        self.open.retain(|open| open.strong_count() > 0);
        if self.open.len() >= most {
            return Err(stream);
        }
        let stream = Arc::new(stream);
        self.open.push(Arc::downgrade(&stream));
        Ok(stream)
    }
}

impl Listener {
    fn start(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Listener::Broken) {
            Listener::IdleTcp(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
            Listener::IdleUnix(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?)
            }
            listener => listener,
        };
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have put its own in this place.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens under a name that nobody listens under. The socket has its permissions before it has its name.
fn bind_unix(path: &Path, mode: Mode) -> io::Result<(StdUnixListener, SocketFile)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    refuse_taken(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push("~");
    let fresh = PathBuf::from(name);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdUnixListener::bind(&fresh)?;
    let moved = permit(&fresh, mode)
        .and_then(|()| identity(&fresh))
        .and_then(|identity| fs::rename(&fresh, path).map(|()| identity));
    match moved {
        Ok(identity) => Ok((listener, SocketFile { path: path.to_owned(), identity })),
        Err(error) => {
            let _ = fs::remove_file(&fresh);
            Err(error)
        }
    }
}

fn refuse_taken(path: &Path) -> io::Result<()> {
    let taken = |message| Err(io::Error::new(io::ErrorKind::AddrInUse, message));
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => taken("there is a file that is no socket"),
        Ok(_) => match StdUnixStream::connect(path) {
            Ok(_) => taken("another program listens there"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn permit(path: &Path, mode: Mode) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode.0))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
