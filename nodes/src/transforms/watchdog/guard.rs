//! What is known of one series, and what is wrong with it.

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::time::Timestamp;

use super::settings::Rule;
use crate::transforms::cadence::Cadence;
use crate::transforms::cadence::MissingAfter;

/// A deadline that is noticed so much later was not waited for: the host was away, or its clock was set.
const AWAY: Duration = Duration::from_mins(1);
/// So many readings in a row that agree with one another are believed, however far they jumped.
const AGREEING: u8 = 3;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing comes.
    Silent,
    /// The value does not move.
    Stuck,
    /// The value moved further than it can.
    Jump,
    /// The value cannot be.
    Impossible,
}

impl Fault {
    pub(super) const ALL: [Fault; 4] =
        [Fault::Silent, Fault::Stuck, Fault::Jump, Fault::Impossible];
}

/// What is wrong, of each [`Fault`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Faults([bool; 4]);

impl Faults {
    pub(super) fn has(self, fault: Fault) -> bool {
        self.0[fault as usize]
    }
    fn set(&mut self, fault: Fault, is: bool) {
        self.0[fault as usize] = is;
    }
}

/// One series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Guard {
    /// The time of the last reading.
    pub(super) last: Timestamp,
    /// When it came, by the clock.
    pub(super) heard: Timestamp,
    /// The last value, and since when it has been the same.
    pub(super) value: Value,
    pub(super) since: Timestamp,
    /// The last number that was believed.
    pub(super) believed: Option<f64>,
    /// The last number that jumped, and how many in a row agree with it.
    doubted: Option<(f64, u8)>,
    cadence: Cadence,
    pub(super) faults: Faults,
    /// The time of the last text: none goes back behind it.
    pub(super) latest: Timestamp,
    /// How many texts there were.
    pub(super) texts: u64,
    /// Which rule holds.
    #[serde(skip)]
    pub(super) rule: usize,
    /// When it is looked at next without a reading.
    #[serde(skip)]
    pub(super) queued: Option<Timestamp>,
}

impl Guard {
    /// Before the first reading.
    pub(super) fn new(reading: &Reading, clock: Timestamp, rule: usize) -> Guard {
        Guard {
            last: reading.time,
            heard: clock,
            value: reading.value.clone(),
            since: reading.time,
            believed: None,
            doubted: None,
            cadence: Cadence::default(),
            faults: Faults::default(),
            latest: reading.time,
            texts: 0,
            rule,
            queued: None,
        }
    }

    /// Takes a reading that is not older than the last one. What was wrong before is left in [`Guard::faults`] by the caller's copy.
    #[inline]
    pub(super) fn hear(&mut self, rule: &Rule, reading: &Reading, clock: Timestamp) {
        if rule.silent_after == Some(MissingAfter::Learned) {
            self.cadence.note(clock.since(self.heard));
        }
        if self.value != reading.value {
            self.value.clone_from(&reading.value);
            self.since = reading.time;
        }
        (self.last, self.heard) = (reading.time, self.heard.max(clock));
        let stays = reading.time.since(self.since);
        self.faults.set(Fault::Silent, false);
        self.faults.set(Fault::Stuck, rule.stuck_after.is_some_and(|span| stays >= span));
        let number = reading.value.as_f64();
        let impossible =
            rule.possible.zip(number).is_some_and(|(range, number)| !range.holds(number));
        self.faults.set(Fault::Impossible, impossible);
        // What cannot be says nothing of where the value is.
        if let Some(number) = number.filter(|_| !impossible) {
            let jumps = rule.jump.is_some_and(|jump| self.jumps(number, jump));
            self.faults.set(Fault::Jump, jumps);
            if !jumps {
                (self.believed, self.doubted) = (Some(number), None);
            }
        }
    }

    /// Whether a number is further from the last one that was believed than can be, and those after it do not say the same.
    fn jumps(&mut self, number: f64, jump: f64) -> bool {
        let near = |other: f64| (number - other).abs() <= jump;
        if self.believed.is_none_or(near) {
            return false;
        }
        let agreeing = match self.doubted {
            Some((doubted, agreeing)) if near(doubted) => agreeing + 1,
            _ => 1,
        };
        self.doubted = Some((number, agreeing));
        agreeing < AGREEING
    }

    /// Whether the last reading can be believed.
    #[inline]
    pub(super) fn is_believable(&self) -> bool {
        !self.faults.has(Fault::Jump) && !self.faults.has(Fault::Impossible)
    }

    /// When it counts as silent.
    pub(super) fn silence_due(&self, rule: &Rule) -> Option<Timestamp> {
        if self.faults.has(Fault::Silent) {
            return None;
        }
        let span = match rule.silent_after? {
            MissingAfter::After(span) => span,
            MissingAfter::Learned => self.cadence.missing_after()?,
        };
        Some(self.heard.saturating_add(span)).filter(|due| *due < Timestamp::MAX)
    }

    /// Looks whether it has fallen silent by `now`.
    pub(super) fn elapse(&mut self, rule: &Rule, now: Timestamp) -> Option<Timestamp> {
        let due = self.silence_due(rule).filter(|due| *due <= now)?;
        if now.since(due) > AWAY {
            // Nobody listened, so nobody knows whether it was silent.
            self.heard = now;
            return None;
        }
        self.faults.set(Fault::Silent, true);
        Some(due)
    }

    /// Goes on under a rule that may ask for less.
    pub(super) fn fit(&mut self, rule: &Rule) {
        let asked = [
            (Fault::Silent, rule.silent_after.is_some()),
            (Fault::Stuck, rule.stuck_after.is_some()),
            (Fault::Jump, rule.jump.is_some()),
            (Fault::Impossible, rule.possible.is_some()),
        ];
        for (fault, _) in asked.into_iter().filter(|(_, asked)| !asked) {
            self.faults.set(fault, false);
        }
    }
}
