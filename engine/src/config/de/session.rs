//! What the attempts at one value share.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    hash::{BuildHasher as _, Hasher as _},
};

use foldhash::fast::FixedState;

use crate::diagnostic::{Diagnostic, KEPT_MAX, Rule, Span};

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
    /// Where values stand that were read as secrets.
    secrets: RefCell<BTreeSet<Span>>,
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
        self.report_once(diagnostic.rule, diagnostic.primary.span, || diagnostic);
    }

    /// Reports what has not been reported in an earlier attempt.
    pub(super) fn report_once(&self, rule: &Rule, span: Span, word: impl FnOnce() -> Diagnostic) {
        let mut reported = self.reported.borrow_mut();
        if reported.len() < KEPT_MAX && reported.insert((span, rule.id)) {
            self.diagnostics.borrow_mut().push(word());
        }
    }

    /// Counts looks at values that cost about as much as reading one.
    pub(super) fn visit(&self, values: usize) {
        self.visits.set(self.visits.get().saturating_add(values));
    }

    pub(super) fn leave_out(&self, path: Path) {
        self.left_out.borrow_mut().insert(path);
        self.progress.set(true);
    }

    /// Whether a value has been left out; counts the look at it.
    pub(super) fn is_left_out(&self, path: Path) -> bool {
        self.visit(1);
        self.left_out.borrow().contains(&path)
    }

    /// A value is read as a secret, however it was written.
    pub(super) fn hide(&self, span: Span) {
        self.secrets.borrow_mut().insert(span);
    }

    /// What was reported, and where secrets stand.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, BTreeSet<Span>) {
        (self.diagnostics.into_inner(), self.secrets.into_inner())
    }
}
