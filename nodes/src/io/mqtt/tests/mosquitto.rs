//! A real broker for a test: mosquitto on a free port of this machine.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs as long as it lives.
pub(crate) struct Mosquitto {
    child: Option<Child>,
    pub(crate) port: u16,
    config: String,
    dir: TempDir,
}

/// What the promises need of a broker: it keeps what it took, and forgets nothing of what waits.
pub(crate) const KEEPS: &str =
    "allow_anonymous true\npersistence true\nautosave_interval 1\nmax_queued_messages 0\n";
/// A broker that forgets everything when it ends.
pub(crate) const FORGETS: &str = "allow_anonymous true\npersistence false\nmax_queued_messages 0\n";

impl Mosquitto {
    /// Starts one with these settings beside its port.
    pub(crate) fn start(config: &str) -> Mosquitto {
        let mut broker = Mosquitto {
            child: None,
            port: free_port(),
            config: config.to_owned(),
            dir: TempDir::new().unwrap(),
        };
        broker.go_on();
        broker
    }

    /// Starts it again, on the same port and with what it kept.
    pub(crate) fn go_on(&mut self) {
        let path = self.dir.path().join("mosquitto.conf");
        let (port, dir) = (self.port, self.dir.path().display());
        let text =
            format!("listener {port} 127.0.0.1\npersistence_location {dir}/\n{}", self.config);
        std::fs::write(&path, text).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new(program())
            .args(["-v", "-c"])
            .arg(&path)
            .stdout(log.try_clone().unwrap())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("mosquitto is needed for this test: apt-get install mosquitto");
        self.child = Some(child);
        let give_up = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended =
                self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
            assert!(!ended && Instant::now() < give_up, "mosquitto: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a crash would, or politely, so that it keeps what it can.
    pub(crate) fn end(&mut self, politely: bool) {
        let Some(mut child) = self.child.take() else { return };
        if politely {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        } else {
            child.kill().unwrap();
        }
        child.wait().unwrap();
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What it said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.end(false);
    }
}

fn program() -> &'static str {
    // Debian puts it where not every user's path looks.
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
