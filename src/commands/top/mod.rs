//! `top`: the nodes of the running engine on a full screen, asked for once a second.

mod state;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{self, Event};
use futures::FutureExt;
use futures::future::OptionFuture;
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::cli::Global;
use crate::client::{self, Call};
use crate::signals::Signals;
use crate::terminal::Failure;

use state::State;

/// How often the engine is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long the reader of keys waits before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(50);
/// How many keys may wait.
const KEYS_MAX: usize = 64;

pub(crate) fn top(global: &Global) -> Result<ExitCode, Failure> {
    if global.json || !io::stdout().is_terminal() {
        let message = "`top` needs a terminal\n  help: `smollama status` says the same once, and with `--json` for a program";
        return Err(Failure::Failed(message.into()));
    }
    client::ask(global, async |call| {
        // Where no engine runs, the screen stays as it is.
        let status = call.engine.status().await?;
        let signals = Signals::new()?;
        let screen = Screen::open()?;
        run(call, State::new(status), screen, signals).await
    })
}

async fn run(
    call: &Call<'_>,
    mut state: State,
    mut screen: Screen,
    mut signals: Signals,
) -> Result<ExitCode, Failure> {
    let mut keys = Keys::read();
    let mut due = tokio::time::interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    due.reset();
    let mut asked: OptionFuture<_> = None.into();
    let mut is_asked = false;
    loop {
        let drawn = screen.0.draw(|frame| view::draw(frame, &mut state, call.paint));
        drawn.map_err(|error| Failure::Failed(format!("cannot draw: {error}")))?;
        tokio::select! {
            key = keys.0.recv() => match key {
                // A new size is drawn by the next round.
                Some(event) if state.ends_with(&event) => break,
                Some(_) => {}
                None => break,
            },
            _ = due.tick(), if !is_asked => {
                asked = Some(call.engine.status().fuse()).into();
                is_asked = true;
            }
            Some(answer) = &mut asked, if is_asked => {
                is_asked = false;
                state.hear(answer);
            }
            _ = signals.next() => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The whole terminal. It is given back when this goes, and when the program panics.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> Result<Screen, Failure> {
        let terminal = ratatui::try_init();
        terminal
            .map(Screen)
            .map_err(|error| Failure::Failed(format!("cannot take over the terminal: {error}")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What is typed, read by a thread of its own: a terminal cannot be waited for otherwise.
struct Keys(mpsc::Receiver<Event>, Arc<AtomicBool>);

impl Keys {
    fn read() -> Keys {
        let (sender, receiver) = mpsc::channel(KEYS_MAX);
        let ended = Arc::new(AtomicBool::new(false));
        let ends = ended.clone();
        std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let event = match event::poll(PATIENCE) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                if event.map_or(true, |event| sender.blocking_send(event).is_err()) {
                    break;
                }
            }
        });
        Keys(receiver, ended)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}
