//! A real broker for tests: mosquitto on a free port of loopback. The tests of the nodes have this file, too.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What the promises need of a broker: it keeps what it took, and forgets nothing of what waits.
pub(crate) const KEEPS: &str =
    "allow_anonymous true\npersistence true\nautosave_interval 1\nmax_queued_messages 0\n";
/// A broker that forgets everything when it ends.
pub(crate) const FORGETS: &str = "allow_anonymous true\npersistence false\nmax_queued_messages 0\n";

/// How often another port is tried, where somebody else took the one that was free.
const TRIES: usize = 5;

/// A broker; killed when the test is over.
pub(crate) struct Mosquitto {
    child: Option<Child>,
    pub(crate) port: u16,
    config: String,
    /// What it persists, and what it said. Removed when this is.
    pub(crate) folder: TempDir,
}

impl Mosquitto {
    /// Starts one with these lines of configuration beside its port, and waits until it answers.
    pub(crate) fn start(config: &str) -> Mosquitto {
        let folder = TempDir::new().expect("a folder for the broker");
        let mut broker = Mosquitto { child: None, port: 0, config: config.to_owned(), folder };
        for _ in 0..TRIES {
            broker.port = free_port();
            if broker.answers() {
                return broker;
            }
        }
        panic!("mosquitto does not start: {}", broker.said());
    }

    /// Starts it again, on the same port and with what it kept.
    pub(crate) fn go_on(&mut self) {
        assert!(self.answers(), "mosquitto does not start again: {}", self.said());
    }

    /// Starts it. False where it ended at once.
    fn answers(&mut self) -> bool {
        let (port, folder) = (self.port, self.folder.path());
        let file = folder.join("mosquitto.conf");
        // Started by root it would become a user who may read nothing here.
        let text = format!(
            "listener {port} 127.0.0.1\npersistence_location {}/\nuser root\n{}\n",
            folder.display(),
            self.config
        );
        std::fs::write(&file, text).expect("its configuration");
        let log = File::options().create(true).append(true).open(folder.join("log"));
        let log = log.expect("its log");
        let mut command = Command::new(program("mosquitto"));
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().expect("mosquitto (scripts/test.sh installs it)");
        let began = Instant::now();
        while child.try_wait().expect("its state").is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                self.child = Some(child);
                return true;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "mosquitto: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Ends it as a crash would, or politely, so that it keeps what it can.
    pub(crate) fn end(&mut self, politely: bool) {
        if self.child.is_none() {
            return;
        }
        self.signal(if politely { Signal::TERM } else { Signal::KILL });
        if let Some(mut child) = self.child.take() {
            child.wait().expect("it ends");
        }
    }

    /// Sends it a signal: stopped, it is like a host that hangs.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it runs");
    }

    /// What it said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Not `end`: that a test fails is said once.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a program of the broker is: that of services is not on everyone's path.
fn program(name: &str) -> PathBuf {
    let service = Path::new("/usr/sbin").join(name);
    if service.is_file() { service } else { name.into() }
}

/// One that nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    free.expect("a free port").port()
}
