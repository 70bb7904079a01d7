//! Which version of the protocol a broker is spoken to in.

use super::link::{Lost, Version, Why};

/// Which version of the protocol is spoken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    now: Version,
    /// The one to begin with.
    first: Version,
    /// The broker may be asked in another one.
    either: bool,
}

impl Versions {
    pub(super) const fn new(first: Version, either: bool) -> Versions {
        Versions { now: first, first, either }
    }

    pub(super) const fn now(&self) -> Version {
        self.now
    }

    /// A connection ended. True where the broker seems not to know the version, and the other one is worth a try at once.
    ///
    /// Whether it knows it is a guess where it just closes the connection, as one does that is about to end. So the next row of
    /// tries begins with the first version again.
    pub(super) fn lost(&mut self, lost: &Lost) -> bool {
        let other = lost.why == Why::Version && self.either && self.now == self.first;
        self.now = match self.first {
            Version::V5 if other => Version::V4,
            Version::V4 if other => Version::V5,
            first => first,
        };
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_version_is_tried_once_and_the_first_one_again_after_that() {
        let lost = |why| Lost { why, text: String::new() };
        let mut versions = Versions::new(Version::V5, true);
        assert!(versions.lost(&lost(Why::Version)) && versions.now() == Version::V4);
        // It knows neither, or was about to end.
        assert!(!versions.lost(&lost(Why::Version)) && versions.now() == Version::V5);
        assert!(versions.lost(&lost(Why::Version)));
        assert!(!versions.lost(&lost(Why::Broken)) && versions.now() == Version::V5);
        let mut only = Versions::new(Version::V4, false);
        assert!(!only.lost(&lost(Why::Version)) && only.now() == Version::V4);
    }
}
