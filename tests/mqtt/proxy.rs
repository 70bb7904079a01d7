//! What lies between a broker and its clients: it passes everything on, or cuts, or holds, or lets through a little at a time.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it treats what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Way {
    /// Everything goes through.
    Open,
    /// Connections stay, new ones are accepted, and nothing goes through: as if packets were lost.
    Held,
    /// A few bytes at a time.
    Trickle,
}

/// Bytes that go through at a time, and how long the next ones wait.
const TRICKLE: (usize, Duration) = (256, Duration::from_millis(20));
/// How often a connection looks whether it was cut.
const LOOK: Duration = Duration::from_millis(10);

/// A proxy on a port of its own, for as long as it lives.
pub(super) struct Proxy {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    way: AtomicU8,
    /// How many connections there ever were.
    made: AtomicUsize,
    /// Connections of an earlier one were cut.
    epoch: AtomicU64,
    /// The epochs of the directions that are open: two for each connection.
    open: Mutex<Vec<u64>>,
    /// No new connections are taken once this is gone.
    listener: Mutex<Option<SocketAddr>>,
}

impl Shared {
    /// A direction has.
    fn ended(&self, epoch: u64) {
        let mut open = self.open.lock().expect("nobody failed");
        if let Some(place) = open.iter().position(|one| *one == epoch) {
            open.swap_remove(place);
        }
    }
}

impl Proxy {
    /// In front of this port.
    pub(super) fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the test");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        *shared.listener.lock().expect("nobody failed") = Some(address);
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.listener.lock().expect("nobody failed").is_none() {
                    return;
                }
                // A broker that is away hangs up.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                accepting.made.fetch_add(1, Ordering::SeqCst);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let _ = (from.set_nodelay(true), from.set_read_timeout(Some(LOOK)));
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let shared = Arc::clone(&accepting);
                    let epoch = shared.epoch.load(Ordering::SeqCst);
                    shared.open.lock().expect("nobody failed").push(epoch);
                    std::thread::spawn(move || {
                        pass(&from, &to, &shared, epoch);
                        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                        shared.ended(epoch);
                    });
                }
            }
        });
        Proxy { port: address.port(), shared }
    }

    /// From now on, and for connections that are there, too.
    pub(super) fn set(&self, way: Way) {
        self.shared.way.store(way as u8, Ordering::SeqCst);
    }

    /// How many connections there ever were.
    pub(super) fn made(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// How many connections there are that were not cut.
    pub(super) fn connections(&self) -> usize {
        let epoch = self.shared.epoch.load(Ordering::SeqCst);
        let open = self.shared.open.lock().expect("nobody failed");
        open.iter().filter(|one| **one == epoch).count() / 2
    }

    /// Cuts all connections, with whatever is under way in them.
    pub(super) fn cut(&self) {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        let address = self.shared.listener.lock().expect("nobody failed").take();
        // Wakes it up, so that it sees that it is over.
        drop(address.map(TcpStream::connect));
    }
}

/// Passes on what comes, until the connection ends or is cut.
fn pass(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared, epoch: u64) {
    let mut buffer = [0; 1 << 16];
    while shared.epoch.load(Ordering::SeqCst) == epoch {
        let way = shared.way.load(Ordering::SeqCst);
        if way == Way::Held as u8 {
            std::thread::sleep(LOOK);
            continue;
        }
        let most = if way == Way::Trickle as u8 { TRICKLE.0 } else { buffer.len() };
        match from.read(&mut buffer[..most]) {
            Ok(0) => return,
            Ok(many) if to.write_all(&buffer[..many]).is_err() => return,
            Ok(_) if most == TRICKLE.0 => std::thread::sleep(TRICKLE.1),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
