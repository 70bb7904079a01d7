//! Programs that nodes start: a child in a process group of its own, with pipes that the runtime waits for.
//!
//! A [`Child`] is ended as a group: what it started and left running goes with it. Its number is not given to another process before that,
//! since it is not reaped before.

mod lines;
mod log;
mod program;
mod restarts;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::timeout;

pub use lines::{Line, Lines};
use log::Log;
pub use program::{CommandLine, Input, Launch, Output, Program};
pub use restarts::{Restart, Restarts};

/// How long a killed process may take to be gone; one that waits for a device takes longer, and is not waited for.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// How long after the end of a process it is waited for what it said last: something that it started may have that open still.
const A_MOMENT: Duration = Duration::from_millis(200);
/// What the thread that waits for a process needs, which is little.
const STACK: usize = 128 << 10;

/// A program that runs. Dropped, it is killed with all it started.
#[derive(Debug)]
pub struct Child {
    group: Arc<Group>,
    exit: watch::Receiver<Option<ExitStatus>>,
    /// Its standard input, where it has one and that was not closed.
    pub input: Option<pipe::Sender>,
    /// Its standard output, where it is read and was not closed.
    pub output: Option<pipe::Receiver>,
    /// What it says on standard error.
    log: Log,
}

impl Child {
    /// `log`: where what it says comes from, if not from its standard error.
    fn new(
        mut child: std::process::Child,
        log: Option<OwnedFd>,
        program: &Program,
    ) -> io::Result<Child> {
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let log = log.or(child.stderr.take().map(OwnedFd::from));
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = Arc::new(Group(Mutex::new(Process { child, id, is: Is::Running })));
        let (say, exit) = watch::channel(None);
        let awaited = group.clone();
        let thread = std::thread::Builder::new().name("child".into()).stack_size(STACK);
        if let Err(error) = thread.spawn(move || awaited.wait(&say)) {
            group.process().reap();
            return Err(error);
        }
        // From here on it is killed where something fails.
        let mut child = Child { group, exit, input: None, output: None, log: Log::none() };
        let pipe = |end| pipe::Receiver::from_owned_fd(end);
        child.log = Log::new(log.map(pipe).transpose()?, program);
        child.output = output.map(OwnedFd::from).map(pipe).transpose()?;
        child.input = input.map(OwnedFd::from).map(pipe::Sender::from_owned_fd).transpose()?;
        Ok(child)
    }

    /// How it ended; `None` while it runs.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits until it has ended.
    pub fn exit(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let mut exit = self.exit.clone();
        async move {
            let status = exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
            // The thread that waits always says something.
            status.unwrap_or_default()
        }
    }

    /// Ends it and all it started: its input is closed, it is told to end (SIGTERM), and killed once its patience is at an end. With `gently`
    /// it first has that long to end by itself, now that nothing more comes.
    pub async fn stop(&mut self, patience: Duration, gently: bool) {
        self.input = None;
        if gently && timeout(patience, self.exit()).await.is_ok() {
            let _ = timeout(A_MOMENT, self.log.end()).await;
            return;
        }
        self.output = None;
        self.group.signal(Signal::TERM);
        let exit = self.exit();
        let ends = async {
            exit.await;
            self.log.end().await;
        };
        if timeout(patience, ends).await.is_err() {
            self.kill();
            let _ = timeout(GONE_WITHIN, self.exit()).await;
        }
    }

    /// Kills it and all it started.
    pub fn kill(&self) {
        self.group.signal(Signal::KILL);
    }

    /// How it ended, with the last it said on standard error: a text that fits behind its name.
    pub async fn last_words(&mut self) -> String {
        let status = self.exit().await;
        // What it started may keep that open.
        let _ = timeout(A_MOMENT, self.log.end()).await;
        match self.log.last() {
            words if words.is_empty() => told(status),
            words => format!("{}: {words}", told(status)),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.group.end();
    }
}

/// How a process ended.
#[must_use]
pub fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// A process and the group it leads.
#[derive(Debug)]
struct Group(Mutex<Process>);

#[derive(Debug)]
struct Process {
    child: std::process::Child,
    /// Its number, which is that of its group.
    id: Option<Pid>,
    is: Is,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Running,
    /// It has ended, and keeps its number.
    Ended,
    /// Nobody wants it any more: once it has ended, it is reaped.
    Abandoned,
    /// Its number may be another's by now.
    Reaped,
}

impl Group {
    fn process(&self) -> MutexGuard<'_, Process> {
        // What lies in it is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// Kills what runs of it. It is reaped now, or as soon as it has ended.
    fn end(&self) {
        let mut process = self.process();
        process.signal(Signal::KILL);
        match process.is {
            Is::Running => process.is = Is::Abandoned,
            Is::Ended => process.reap(),
            Is::Abandoned | Is::Reaped => {}
        }
    }

    /// Waits for the process, and says how it ended.
    fn wait(&self, say: &watch::Sender<Option<ExitStatus>>) {
        let id = self.process().id;
        let status = id.and_then(wait_for).unwrap_or_default();
        let mut process = self.process();
        match process.is {
            Is::Abandoned => process.reap(),
            _ => process.is = Is::Ended,
        }
        drop(process);
        say.send_replace(Some(status));
    }
}

impl Process {
    fn signal(&self, signal: Signal) {
        if let (Some(id), true) = (self.id, self.is != Is::Reaped) {
            // Nobody may be left to hear it.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Kills what is left, and gives its number back. Where it has ended, this does not wait.
    fn reap(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        self.is = Is::Reaped;
    }
}

/// Waits until a process has ended, and leaves it its number.
fn wait_for(id: Pid) -> Option<ExitStatus> {
    loop {
        match waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => {
                let code = status.exit_status().map(|code| (code & 0xff) << 8);
                return code.or(status.terminating_signal()).map(ExitStatus::from_raw);
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
