//! A real broker for tests.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::place::wait_until;

/// How often another port is tried, where somebody else took the one that was free.
const TRIES: usize = 5;

/// A mosquitto on a port of its own on loopback. It is killed when the test is over.
pub(crate) struct Mosquitto {
    process: Child,
    port: u16,
    /// Removed when this is.
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts one with these lines of configuration beside its port, and waits until it answers.
    pub(crate) fn start(config: &str) -> Mosquitto {
        for _ in 0..TRIES {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            if let Ok(broker) = Mosquitto::at(free.expect("a free port").port(), config, None) {
                return broker;
            }
        }
        panic!("mosquitto does not start");
    }

    /// Starts one on this port: one that comes back. What it persists lies in this folder.
    ///
    /// # Errors
    /// What it said when it ended.
    pub(crate) fn at(
        port: u16,
        config: &str,
        persistence: Option<&Path>,
    ) -> Result<Mosquitto, String> {
        let folder = tempfile::tempdir().expect("a folder for the broker");
        let file = folder.path().join("mosquitto.conf");
        let mut text = format!("listener {port} 127.0.0.1\n{config}\n");
        if let Some(persistence) = persistence {
            text += &format!("persistence true\npersistence_location {}/\n", persistence.display());
        }
        // Started by root it would become a user who may read nothing here.
        text += "user root\n";
        std::fs::write(&file, text).expect("its configuration");
        let log = folder.path().join("log");
        let said = std::fs::File::create(&log).expect("its log");
        let mut command = Command::new(program("mosquitto"));
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let mut process = command.spawn().expect("mosquitto (scripts/test.sh installs it)");
        let mut ended = false;
        wait_until("mosquitto answers", || {
            ended = process.try_wait().expect("its state").is_some();
            ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        if ended {
            return Err(std::fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(Mosquitto { process, port, _folder: folder })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A file of passwords with one user.
pub(crate) fn password_file(folder: &Path, user: &str, password: &str) -> PathBuf {
    let path = folder.join("passwords");
    let mut command = Command::new(program("mosquitto_passwd"));
    let made = command.arg("-b").arg("-c").arg(&path).args([user, password]).status();
    assert!(made.expect("mosquitto_passwd").success());
    path
}

/// Where services are is not on everyone's path.
fn program(name: &str) -> PathBuf {
    let service = Path::new("/usr/sbin").join(name);
    if service.is_file() { service } else { name.into() }
}
