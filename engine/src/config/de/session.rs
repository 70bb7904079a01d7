//! What the attempts at one value share.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    hash::{BuildHasher as _, Hasher as _},
};

use foldhash::fast::FixedState;

use crate::diagnostic::{Diagnostic, Span};

/// Values looked at in all attempts together; with more errors than that buys, the rest waits for the next run.
const VISITS_MAX: usize = 4_000_000;

/// The way to a value from the root, hashed.
pub(super) type Path = u64;

/// The way to the element or entry number `index` under `path`.
pub(super) fn child(path: Path, index: usize) -> Path {
    let mut hasher = FixedState::with_seed(path).build_hasher();
    hasher.write_usize(index);
    hasher.finish()
}

#[derive(Default)]
pub(super) struct Session {
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// Attempts meet the same errors again.
    reported: RefCell<BTreeSet<(Span, &'static str)>>,
    left_out: RefCell<BTreeSet<Path>>,
    visits: Cell<usize>,
    progress: Cell<bool>,
}

impl Session {
    pub(super) fn begin_attempt(&self) {
        self.progress.set(false);
    }

    /// Whether the last attempt left something out that the next one does without.
    pub(super) fn may_retry(&self) -> bool {
        self.progress.get() && self.visits.get() < VISITS_MAX
    }

    /// Whether nothing had to be left out.
    pub(super) fn is_whole(&self) -> bool {
        self.left_out.borrow().is_empty()
    }

    pub(super) fn report(&self, diagnostic: Diagnostic) {
        if self.reported.borrow_mut().insert((diagnostic.primary.span, diagnostic.rule.id)) {
            self.diagnostics.borrow_mut().push(diagnostic);
        }
    }

    pub(super) fn leave_out(&self, path: Path) {
        self.left_out.borrow_mut().insert(path);
        self.progress.set(true);
    }

    /// Whether a value has been left out; counts the look at it.
    pub(super) fn is_left_out(&self, path: Path) -> bool {
        self.visits.set(self.visits.get() + 1);
        self.left_out.borrow().contains(&path)
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics.into_inner()
    }
}
