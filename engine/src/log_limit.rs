//! Keeps what happens for each item out of the log: the first of a kind is said, and then, once a minute, how many more there were. A log on an
//! SD card wears it out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

/// How often it is said how many more there were.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// So many kinds are told apart; what comes of others is only counted. What a stranger sends decides how many there are.
const KINDS_MAX: usize = 5;
/// So much of what is said makes its kind, in characters.
const KIND_CHARS: usize = 200;

/// Which of the lines about one node, or about the host, go to the log. Clones share what was said.
///
/// The first line of a kind goes there. While more come, there is one line a minute that says how many. When none came for a minute, the next
/// is a first one again. What is still to be said is said when the last clone is dropped.
///
/// ```
/// # use std::sync::Arc;
/// # use smollama_engine::log_limit::LogLimit;
/// let (limit, node) = (LogLimit::default(), Arc::from("home/in"));
/// for line in 1..1_000 {
///     let why = format!("line {line} is no number");
///     if limit.admits(Some(&node), &why) {
///         tracing::warn!(%node, "{why}");
///         assert_eq!(line, 1);
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct LogLimit(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Where all of it is found.
    help: Option<&'static str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was said.
    kinds: Vec<String>,
    /// Since when what comes is counted.
    since: Option<Instant>,
    /// How much was not said since then, and of which node.
    more: u64,
    node: Option<Arc<str>>,
    /// Whether a task waits for the minute to end.
    awaited: bool,
}

impl LogLimit {
    /// One that says where all of it is found: a sentence.
    #[must_use]
    pub fn with_help(help: &'static str) -> LogLimit {
        LogLimit(Arc::new(Shared { help: Some(help), state: Mutex::default() }))
    }

    /// Whether a line about a node, or about the host, is to be said. One that is not is counted. Numbers and quoted texts in it do not make
    /// another kind of it.
    #[must_use]
    pub fn admits(&self, node: Option<&Arc<str>>, line: &str) -> bool {
        self.admits_of(node, line, 1)
    }

    /// The same for a line that stands for so many things.
    #[must_use]
    pub fn admits_of(&self, node: Option<&Arc<str>>, line: &str, count: u64) -> bool {
        let (now, kind) = (Instant::now(), kind(line));
        let mut state = self.0.lock();
        if state.since.is_none_or(|since| now.duration_since(since) >= SAY_EVERY) {
            match state.take_more() {
                // No task could wait for it.
                Some(more) => self.0.say(more, "since then"),
                None => state.kinds.clear(),
            }
            state.since = Some(now);
        }
        if !state.kinds.contains(&kind) && state.kinds.len() < KINDS_MAX {
            state.kinds.push(kind);
            return true;
        }
        state.more += count;
        state.node = node.cloned();
        if !state.awaited
            && let Some(since) = state.since
            && let Ok(runtime) = Handle::try_current()
        {
            state.awaited = true;
            runtime.spawn(Shared::say_at(Arc::downgrade(&self.0), since + SAY_EVERY));
        }
        false
    }
}

/// What is to be said of what was not.
struct More {
    count: u64,
    kinds: usize,
    node: Option<Arc<str>>,
}

impl State {
    fn take_more(&mut self) -> Option<More> {
        let count = std::mem::take(&mut self.more);
        (count > 0).then(|| More { count, kinds: self.kinds.len(), node: self.node.take() })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, and says how much there was meanwhile. It does not keep alive what it waits for.
    async fn say_at(shared: Weak<Shared>, end: Instant) {
        sleep_until(end).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.lock();
        state.awaited = false;
        let more = state.take_more();
        if let Some(more) = more {
            state.since = Some(Instant::now());
            drop(state);
            shared.say(more, "in the last minute");
        }
    }

    fn say(&self, more: More, when: &str) {
        let More { count, kinds, node } = more;
        let like = if kinds > 1 { "these" } else { "it" };
        let help = self.help.map(|help| format!("; {help}")).unwrap_or_default();
        match node {
            Some(node) => tracing::warn!(%node, "and {count} more like {like} {when}{help}"),
            None => tracing::warn!("and {count} more like {like} {when}{help}"),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let more = self.lock().take_more();
        if let Some(more) = more {
            self.say(more, "since then");
        }
    }
}

impl fmt::Debug for LogLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogLimit({} more)", self.0.lock().more)
    }
}

/// A line without its numbers and without what stands in quotes.
fn kind(line: &str) -> String {
    let mut open = None;
    let mut is_told = |char: &char| match open {
        Some(quote) => {
            if quote == *char {
                open = None;
            }
            false
        }
        None => {
            open = Some(*char).filter(|char| matches!(char, '`' | '"'));
            !char.is_ascii_digit()
        }
    };
    line.chars().take(KIND_CHARS).filter(|char| is_told(char)).collect()
}

#[cfg(test)]
mod tests;
