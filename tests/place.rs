//! A folder with a data directory in it, and the real binary at work there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder with a data directory in it, or beside it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder for the test");
        Place { data: folder.path().join("data"), folder }
    }

    /// With this data directory.
    pub(crate) fn at(data: PathBuf) -> Place {
        Place { data, ..Place::new() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file for the test");
    }

    /// What stands in a file; nothing where there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smollama"));
        command.args(args).arg("--data-dir").arg(&self.data).current_dir(self.folder.path());
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// What a command prints, which must succeed.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.says(&args)).expect("JSON")
    }

    /// Whether an engine runs in which nothing waits, and every node is at work.
    pub(crate) fn is_idle(&self) -> bool {
        let said = self.run(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let has_none = |what: &Value, of| what.is_null() || what[of] == 0;
        let is_idle = |node: &Value| {
            let empty = has_none(&node["queue"], "bytes") && has_none(&node["spool"], "items");
            node["state"] == "running" && empty
        };
        status["nodes"].as_array().is_some_and(|nodes| nodes.iter().all(is_idle))
    }

    /// An engine that runs `home.yaml` and answers.
    pub(crate) fn engine(&self, yaml: &str) -> Engine {
        self.write("home.yaml", yaml);
        self.start(&["run", "home.yaml", "--no-dashboard"])
    }

    pub(crate) fn start(&self, args: &[&str]) -> Engine {
        let mut engine = self.spawn(args);
        wait_until("the engine answers", || {
            engine.check_alive();
            self.run(&["status"]).status.success()
        });
        engine
    }

    /// An engine that may not answer yet. What it says is added to `engine.log`.
    pub(crate) fn spawn(&self, args: &[&str]) -> Engine {
        self.spawn_with(args, &[])
    }

    pub(crate) fn spawn_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Engine {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        self.run_in_background(command)
    }

    /// The same by a command that was made elsewhere.
    pub(crate) fn run_in_background(&self, mut command: Command) -> Engine {
        let log = self.path("engine.log");
        let said = fs::File::options().create(true).append(true).open(&log).expect("a log");
        command.stdout(Stdio::null()).stderr(said);
        Engine { process: command.spawn().expect("the binary runs"), log }
    }

    /// Leaves the folder where it is, for whoever wants to know why a test failed.
    pub(crate) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }
}

/// An engine that ends when the test is over.
pub(crate) struct Engine {
    pub(crate) process: Child,
    log: PathBuf,
}

impl Engine {
    /// Fails with what it said when it is no more.
    pub(crate) fn check_alive(&mut self) {
        let ended = self.process.try_wait().expect("its state");
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        assert!(ended.is_none(), "the engine ended: {}", log());
    }

    pub(crate) fn stop(&mut self) {
        signal(&self.process, "TERM");
        let ended = self.ends();
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        assert!(ended.success(), "it did not stop well: {}", log());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the engine ends", || {
            ended = self.process.try_wait().expect("its state");
            ended.is_some()
        });
        ended.expect("it has ended")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is there to be killed");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It has ended already where the test stopped it.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits for a condition; the time-out only bounds how long a failing test hangs.
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_long_until(Duration::from_secs(60), what, condition);
}

/// As [`wait_until`], for what may rightly take longer.
pub(crate) fn wait_long_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal was sent");
}
