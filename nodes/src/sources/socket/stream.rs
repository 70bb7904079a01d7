//! A connection's two ways, over TCP or a Unix socket.

use std::io;
use std::task::{Context, Poll, ready};

use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::net::{TcpStream, UnixStream};

/// How long a connection may be silent before its other side is asked whether it is still there, and how often it is asked.
const SILENT: std::time::Duration = std::time::Duration::from_secs(60);
const ASKED: std::time::Duration = std::time::Duration::from_secs(20);

/// One connection. Both its ways can be used at the same time.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Sets what a long-lived connection of few bytes needs: what is acknowledged goes out at once, and a machine that lost its power is
    /// found out.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Stream> {
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, SILENT)?;
        sockopt::set_tcp_keepintvl(&stream, ASKED)?;
        Ok(Stream::Tcp(stream))
    }

    /// Appends what is there to the buffer's free room; 0 at the end.
    pub(super) fn poll_read(
        &self,
        task: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let read = match self {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_read_ready(task))?;
                    stream.try_read_buf(buffer)
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_read_ready(task))?;
                    stream.try_read_buf(buffer)
                }
            };
            match read {
                Err(error) if is_transient(&error) => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Writes what the other side takes at once; for the last words to one that is turned away.
    pub(super) fn try_write(&self, text: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(text),
            Stream::Unix(stream) => stream.try_write(text),
        }
    }

    pub(super) async fn write_all(&self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self {
                Stream::Tcp(stream) => stream.writable().await?,
                Stream::Unix(stream) => stream.writable().await?,
            }
            match self.try_write(text) {
                Ok(written) => text = text.get(written..).unwrap_or_default(),
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the way out, or both. The other side may have done so already, which is the same.
    pub(super) fn close(&self, both: bool) {
        let how = if both { Shutdown::Both } else { Shutdown::Write };
        let _ = match self {
            Stream::Tcp(stream) => shutdown(stream, how),
            Stream::Unix(stream) => shutdown(stream, how),
        };
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
