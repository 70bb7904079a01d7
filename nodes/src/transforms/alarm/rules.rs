//! The settings of an alarm, ready to be used.

use smollama_engine::duration::Duration;

use super::level::{Bands, Level};
use super::settings::{AlarmConfig, Flapping};
use crate::transforms::cadence;
use crate::transforms::cadence::MissingAfter;

/// What a series is judged by.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) level: Level,
    pub(super) bands: Bands,
    pub(super) hold: Duration,
    pub(super) clear_hold: Duration,
    pub(super) remind: Option<Duration>,
    pub(super) missing: Option<MissingAfter>,
    pub(super) flapping: Option<Flapping>,
}

impl Rules {
    pub(super) fn new(config: &AlarmConfig) -> Rules {
        let level = Level::new(config);
        Rules {
            bands: Bands::new(&level),
            level,
            hold: config.hold,
            clear_hold: config.clear_hold(),
            remind: config.remind,
            missing: config.missing_after,
            flapping: config.flapping,
        }
    }

    /// The shortest time between a reading and a deadline that it sets.
    pub(super) fn shortest(&self) -> Option<Duration> {
        let missing = self.missing.map(|missing| match missing {
            MissingAfter::After(span) => span,
            MissingAfter::Learned => cadence::SHORTEST,
        });
        let held = [self.hold, self.clear_hold].into_iter().filter(|hold| !hold.is_zero());
        let spans = held.chain(self.remind).chain(missing);
        spans.chain(self.flapping.map(|flapping| flapping.within)).min()
    }
}
