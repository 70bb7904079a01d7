//! One transform at its place in an island: called, watched, rebuilt when it breaks.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::stats::NodeStats;
use crate::condition::Predicate;
use crate::duration::Duration;
use crate::node::{NodeError, Outputs, State, Transform};
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
    pub(super) when: Option<Predicate>,
    node: Box<dyn Transform>,
    rebuild: Rebuild,
    /// The last snapshot; `None` before the first, when a new node is as good.
    saved: Option<State>,
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
        when: Option<Predicate>,
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
            failures: VecDeque::new(),
            given_up: false,
        }
    }

    /// When the node wants to tick; never once it was given up.
    pub(super) fn next_tick(&self) -> Option<Timestamp> {
        if self.given_up { None } else { self.node.next_tick() }
    }

    pub(super) fn tick_lead(&self) -> Option<Duration> {
        self.node.tick_lead()
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
                    node.restore(saved).map_err(|error| error.to_string())?;
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

    /// The node's state as it is; the last one kept where the node cannot say.
    pub(super) fn state(&self) -> Option<State> {
        let node = &self.node;
        match catch_unwind(AssertUnwindSafe(|| node.snapshot())) {
            Ok(Ok(state)) if !self.given_up => Some(state),
            _ => self.saved.clone(),
        }
    }

    /// Writes the node's state down, and keeps it for a rebuild. A node that was given up keeps its last one.
    pub(super) fn snapshot(&mut self) -> State {
        if !self.given_up {
            let node = &self.node;
            match catch_unwind(AssertUnwindSafe(|| node.snapshot())) {
                Ok(Ok(state)) => self.saved = Some(state),
                Ok(Err(error)) => tracing::error!(node = %self.address, "no snapshot: {error}"),
                Err(_) => tracing::error!(node = %self.address, "no snapshot: it panicked"),
            }
        }
        self.saved.clone().unwrap_or_default()
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
