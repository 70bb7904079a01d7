//! One transform at its place in an island: called, watched, rebuilt when it breaks.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::stats::NodeStats;
use crate::condition::Predicate;
use crate::duration::Duration;
use crate::node::{NodeError, Outputs, State, Transform};
use crate::series::SeriesId;
use crate::time::Timestamp;

/// Makes a transform anew, from the settings it was made from.
pub(super) type Rebuild = Box<dyn Fn() -> Result<Box<dyn Transform>, String> + Send>;

/// A node may break this often…
const FAILURES_MAX: usize = 5;
/// …within this time; then it is given up.
const FAILURES_WITHIN: Duration = Duration::from_mins(10);

pub(crate) struct Slot {
    pub(super) address: Arc<str>,
    pub(super) outputs: Outputs,
    pub(super) stats: Arc<NodeStats>,
    /// The condition under which an item reaches the node (`when`).
    pub(super) when: Option<Box<Predicate>>,
    node: Box<dyn Transform>,
    rebuild: Rebuild,
    /// What it is made anew from when it breaks: its state at the last cut; `None` before the first, when a new node is as good.
    saved: Option<State>,
    /// The series that were forgotten since then.
    forgotten: Vec<SeriesId>,
    /// When it was last called.
    latest: Timestamp,
    failures: VecDeque<Timestamp>,
    given_up: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.address)
    }
}

impl Slot {
    pub(super) fn new(
        address: Arc<str>,
        node: Box<dyn Transform>,
        outputs: Outputs,
        stats: Arc<NodeStats>,
        when: Option<Box<Predicate>>,
        rebuild: Rebuild,
    ) -> Slot {
        Slot {
            address,
            outputs,
            stats,
            when,
            node,
            rebuild,
            saved: None,
            forgotten: Vec::new(),
            latest: Timestamp::MIN,
            failures: VecDeque::new(),
            given_up: false,
        }
    }

    /// When the node wants to tick; never once it was given up.
    pub(super) fn next_tick(&mut self) -> Option<Timestamp> {
        for _ in 0..2 {
            if self.given_up {
                return None;
            }
            let node = &self.node;
            match catch_unwind(AssertUnwindSafe(|| node.next_tick())) {
                Ok(due) => return due,
                Err(panic) => {
                    self.stats.add_error();
                    tracing::error!(node = %self.address, "the node failed: it panicked: {}", panic_text(&*panic));
                    self.recover(self.latest);
                }
            }
        }
        None
    }

    /// The condition under which a reading does anything here, as far as one is known.
    pub(super) fn picks(&self) -> Option<&Predicate> {
        if self.when.is_some() {
            return self.when.as_deref();
        }
        let node = &self.node;
        let picks = catch_unwind(AssertUnwindSafe(|| node.picks())).ok()??;
        (!self.outputs.wants(picks.rest)).then_some(picks.by)
    }

    pub(super) fn tick_lead(&self) -> Option<Duration> {
        let node = &self.node;
        // Zero is always right.
        catch_unwind(AssertUnwindSafe(|| node.tick_lead())).unwrap_or(Some(Duration::ZERO))
    }

    /// Calls the node; a failure that needs a new node is met by making one from the last snapshot and trying once more. The error is why
    /// the call was given up.
    pub(super) fn call(
        &mut self,
        now: Timestamp,
        mut verb: impl FnMut(&mut dyn Transform, &mut Outputs) -> Result<(), NodeError>,
    ) -> Result<(), String> {
        if self.given_up {
            return Err("the node has failed and takes nothing more".into());
        }
        let mut tries = 0;
        self.latest = now;
        loop {
            let (node, outputs) = (&mut self.node, &mut self.outputs);
            let outcome = catch_unwind(AssertUnwindSafe(|| verb(&mut **node, outputs)));
            let why = match outcome {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(NodeError::Reject(why))) => {
                    self.outputs.clear();
                    self.stats.add_error();
                    return Err(why);
                }
                Ok(Err(NodeError::Retry(why) | NodeError::Fatal(why))) => why,
                Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
            };
            self.outputs.clear();
            self.stats.add_error();
            tracing::error!(node = %self.address, "the node failed: {why}");
            if !self.recover(now) || tries == 1 {
                return Err(why);
            }
            tries += 1;
        }
    }

    /// Makes the node anew. False when it was given up.
    fn recover(&mut self, now: Timestamp) -> bool {
        let rebuilt = match too_often(&mut self.failures, now) {
            Some(why) => Err(why),
            None => (self.rebuild)().and_then(|mut node| {
                if let Some(saved) = &self.saved {
                    restore(&mut *node, saved)?;
                    if !self.forgotten.is_empty() {
                        forget_again(&mut *node, now, &self.forgotten, &mut self.outputs)?;
                    }
                }
                Ok(node)
            }),
        };
        match rebuilt {
            Ok(node) => {
                self.node = node;
                true
            }
            Err(why) => {
                tracing::error!(node = %self.address, "the node is given up: {why}");
                self.given_up = true;
                self.stats.set_failed();
                false
            }
        }
    }

    /// Replaces the node by a new one that is given its state.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        let failed = |why: String| format!("`{}` does not survive a restart: {why}", self.address);
        let state = self.node.snapshot().map_err(|error| failed(error.to_string()))?;
        let mut node = (self.rebuild)().map_err(failed)?;
        node.restore(&state).map_err(|error| failed(error.to_string()))?;
        self.node = node;
        Ok(())
    }

    /// The node's state as it is; the last one kept where the node cannot say, or was given up.
    pub(super) fn state(&self) -> Option<State> {
        if self.given_up {
            return self.saved.clone();
        }
        let node = &self.node;
        match catch_unwind(AssertUnwindSafe(|| node.snapshot())) {
            Ok(Ok(state)) => return Some(state),
            Ok(Err(error)) => tracing::error!(node = %self.address, "no snapshot: {error}"),
            Err(_) => tracing::error!(node = %self.address, "no snapshot: it panicked"),
        }
        self.saved.clone()
    }

    /// Keeps a state: what the node is made anew from when it breaks.
    pub(super) fn keep(&mut self, state: Option<State>) {
        self.saved = state;
        self.forgotten.clear();
    }

    /// Lets the node drop what it keeps of series, and add those that it made from them.
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        silent: &mut Vec<SeriesId>,
    ) -> Result<(), String> {
        if let Some(when) = &mut self.when {
            when.forget(silent);
        }
        if self.given_up {
            return Ok(());
        }
        let known = silent.len();
        let done = self.call(now, |node, out| {
            silent.truncate(known);
            node.forget(now, silent, out)
        });
        if self.saved.is_some() {
            self.forgotten.extend(&silent[..known]);
        }
        done
    }
}

/// Gives a new node the state of another.
///
/// # Errors
/// It does not take it. What it is now is neither the one nor the other.
pub(super) fn restore(node: &mut dyn Transform, state: &State) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| node.restore(state))) {
        Ok(restored) => restored.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("it panicked: {}", panic_text(&*panic))),
    }
}

/// Lets a node that was given an earlier state drop what it had dropped since. What it emits of that it had emitted.
fn forget_again(
    node: &mut dyn Transform,
    now: Timestamp,
    forgotten: &[SeriesId],
    outputs: &mut Outputs,
) -> Result<(), String> {
    let mut silent = forgotten.to_vec();
    let done = catch_unwind(AssertUnwindSafe(|| node.forget(now, &mut silent, outputs)));
    outputs.clear();
    match done {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("it panicked: {}", panic_text(&*panic))),
    }
}

/// Notes one more failure; says so when there were too many.
pub(super) fn too_often(failures: &mut VecDeque<Timestamp>, now: Timestamp) -> Option<String> {
    failures.retain(|at| now.since(*at) < FAILURES_WITHIN);
    failures.push_back(now);
    (failures.len() >= FAILURES_MAX)
        .then(|| format!("it failed {FAILURES_MAX} times within {FAILURES_WITHIN}"))
}

/// The text of a caught panic.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no reason given"
    }
}
