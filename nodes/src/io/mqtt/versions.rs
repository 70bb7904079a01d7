//! Which version of the protocol a broker is spoken to in.

use super::link::{Lost, Version, Why};

/// Which version of the protocol is spoken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    now: Version,
    /// The broker may be asked in another one.
    either: bool,
    /// The version was changed, and not yet proved right.
    changed: bool,
}

impl Versions {
    pub(super) const fn new(now: Version, either: bool) -> Versions {
        Versions { now, either, changed: false }
    }

    pub(super) const fn now(&self) -> Version {
        self.now
    }

    /// A connection ended. True where the broker did not know the version, and the other one is worth a try at once.
    pub(super) fn lost(&mut self, lost: &Lost) -> bool {
        if lost.why != Why::Version || !self.either {
            self.changed = false;
            return false;
        }
        self.now = match self.now {
            Version::V5 => Version::V4,
            Version::V4 => Version::V5,
        };
        self.changed = !self.changed;
        self.changed
    }
}
