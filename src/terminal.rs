//! What the person in front of the machine sees: results on standard output, everything else on standard error.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use smollama_engine::context::Console;
use smollama_engine::control::{ControlError, ErrorKind};
use smollama_engine::diagnostic::{Diagnostics, Files};
use smollama_supervisor::Logs;
use tokio::sync::Notify;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Colour, Global, LogFormat};
use crate::text::plain;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed: exit code 1.
    Failed(String),
    /// The input is wrong, and what is wrong has been shown: exit code 2.
    BadInput,
    /// What was asked for cannot be meant: exit code 2.
    Wrong(String),
    /// Nobody reads standard output any more: not an error.
    OutputClosed,
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Failure::Failed(_) => ExitCode::from(1),
            Failure::BadInput | Failure::Wrong(_) => ExitCode::from(2),
            Failure::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<ControlError> for Failure {
    /// What is wrong with pipelines is shown at once.
    fn from(error: ControlError) -> Failure {
        if let Some(text) = &error.text {
            let lines: Vec<_> = text.trim_end().lines().map(plain).collect();
            say(&lines.join("\n"));
        }
        let mut why = plain(&error.message).into_owned();
        if let Some(help) = &error.help {
            why += &format!("\n  help: {}", plain(help));
        }
        match error.kind {
            ErrorKind::BadInput if error.text.is_some() => Failure::BadInput,
            ErrorKind::BadInput | ErrorKind::NotFound => Failure::Wrong(why),
            _ => Failure::Failed(why),
        }
    }
}

static COLOUR: OnceLock<Colour> = OnceLock::new();

/// Sets up colour and logging.
pub(crate) fn init(global: &Global) {
    COLOUR.get_or_init(|| global.color);
    let shown = tracing_subscriber::fmt::layer().with_writer(|| Log(Vec::new()));
    let colour = stderr_colour();
    let logs = logs();
    let asked = logs.filter(global.log_level.clone());
    let registry = tracing_subscriber::registry().with(logs.layer());
    match global.log_format {
        LogFormat::Text => {
            let shown = shown.with_ansi(colour).with_target(false);
            registry.with(shown.with_filter(asked)).init();
        }
        LogFormat::Json => registry.with(shown.json().with_filter(asked)).init(),
    }
}

static LOGS: OnceLock<Arc<Logs>> = OnceLock::new();

/// The log of this process.
pub(crate) fn logs() -> Arc<Logs> {
    LOGS.get_or_init(Logs::new).clone()
}

/// Shows why an engine did not do something.
pub(crate) fn control_error(error: &ControlError) -> Failure {
    Failure::from(error.clone())
}

fn wants_colour(stream: &impl IsTerminal) -> bool {
    match COLOUR.get().copied().unwrap_or(Colour::Auto) {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            stream.is_terminal()
                && std::env::var_os("NO_COLOR").is_none()
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

pub(crate) fn stdout_colour() -> bool {
    wants_colour(&io::stdout())
}
pub(crate) fn stderr_colour() -> bool {
    wants_colour(&io::stderr())
}

/// Writes a result.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Writes a result that came as bytes.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Says something that is not a result.
pub(crate) fn say(text: &str) {
    screen().above(|out| {
        let _ = out.write_all(text.as_bytes());
        let _ = out.write_all(b"\n");
    });
}

/// Says why a command failed.
pub(crate) fn error(failure: &Failure) {
    if let Failure::Failed(why) | Failure::Wrong(why) = failure {
        let (on, off) = if stderr_colour() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        say(&format!("{on}error{off}: {why}"));
    }
}

/// How wide the terminal is that results go to; `None` if they go elsewhere.
pub(crate) fn width() -> Option<usize> {
    let size = io::stdout().is_terminal().then(crossterm::terminal::size)?;
    size.ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Whether somebody sees what is drawn while something takes long.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether somebody is there to answer.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether to go on. Anything but a yes is a no.
pub(crate) fn confirmed(question: &str) -> bool {
    let mut err = io::stderr().lock();
    let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
    drop(err);
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// Shows what is wrong with the input, on standard error. The error is that there were errors.
pub(crate) fn diagnostics(found: &Diagnostics, files: &Files) -> Result<(), Failure> {
    if !found.is_empty() {
        say(found.render(files, stderr_colour()).trim_end());
    }
    if found.has_errors() { Err(Failure::BadInput) } else { Ok(()) }
}

/// The lines at the bottom of the terminal that are drawn again and again, and what is written above them. One per process.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    drawn: Mutex<Vec<String>>,
}

/// The one screen.
pub(crate) fn screen() -> &'static Screen {
    static SCREEN: OnceLock<Screen> = OnceLock::new();
    SCREEN.get_or_init(Screen::default)
}

impl Screen {
    /// Writes to standard error above the drawn lines.
    fn above(&self, write: impl FnOnce(&mut dyn Write)) {
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stderr().lock();
        let _ = out.write_all(wipe(drawn.len()).as_bytes());
        write(&mut out);
        let _ = out.write_all(joined(&drawn).as_bytes());
        let _ = out.flush();
    }

    /// Draws lines at the bottom of standard error, in place of those drawn before.
    pub(crate) fn draw(&self, lines: Vec<String>) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stderr().lock();
        let text = format!("{}{}", wipe(drawn.len()), joined(&lines));
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
        *drawn = lines;
    }

    /// Writes to standard output. Where that is the same terminal, above the drawn lines.
    fn print(&self, bytes: &[u8]) -> io::Result<()> {
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        if drawn.is_empty() || !io::stdout().is_terminal() {
            out.write_all(bytes)?;
            return out.flush();
        }
        let mut err = io::stderr().lock();
        let _ = err.write_all(wipe(drawn.len()).as_bytes());
        let _ = err.flush();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        let _ = err.write_all(joined(&drawn).as_bytes());
        let _ = err.flush();
        written
    }
}

/// Moves to the first of so many lines and clears all below.
fn wipe(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}F\x1b[J") }
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// One log line at a time, above the drawn lines.
struct Log(Vec<u8>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        screen().above(|out| {
            let _ = out.write_all(&self.0);
        });
    }
}

/// Standard output as the console of the host. When its reader goes away, whoever runs the graph is told, once.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    closed: Arc<Notify>,
}

impl Stdout {
    /// Is notified when nobody reads any more.
    pub(crate) fn closed(&self) -> Arc<Notify> {
        self.closed.clone()
    }
}

impl Console for Stdout {
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let written = screen().print(lines);
        if matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.notify_one();
            return Ok(());
        }
        written
    }

    fn colour(&self) -> bool {
        stdout_colour()
    }
}
