//! One series on port `gate`.

use serde::{Deserialize, Serialize};
use smollama_engine::condition::ValueTest;
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::time::Timestamp;

use super::settings::{GateConfig, Unknown};

/// The settings of a gate, ready to be used.
#[derive(Debug)]
pub(super) struct Rules {
    opens: ValueTest,
    hold_off: Duration,
    hold: Duration,
    stale_after: Option<Duration>,
    pub(super) unknown_is_open: bool,
}

impl Rules {
    pub(super) fn new(config: &GateConfig) -> Rules {
        Rules {
            opens: config.condition().compiled(),
            hold_off: config.hold_off,
            hold: config.hold,
            stale_after: config.stale_after,
            unknown_is_open: config.unknown == Unknown::Open,
        }
    }
}

/// How a series stands at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// It is not stale.
    pub(super) known: bool,
    /// It is known, and holds the gate open.
    pub(super) open: bool,
}

/// The last value of a series, and what it says at any time until the next one: that follows from this alone, so it does not matter
/// when it was looked at before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Signal {
    /// The last reading: its time, when it took effect, its value.
    last: Timestamp,
    heard: Timestamp,
    value: Value,
    /// Whether that value meets the condition, and since when that is so.
    meets: bool,
    since: Timestamp,
    /// Whether the gate was held open before, which it stays until `for` or `hold` is over.
    was_open: bool,
    /// How it stood when it was looked at last.
    #[serde(skip)]
    pub(super) standing: Standing,
    /// When it is looked at next without a reading.
    #[serde(skip)]
    pub(super) queued: Option<Timestamp>,
}

impl Signal {
    pub(super) fn new(rules: &Rules, reading: &Reading, clock: Timestamp) -> Signal {
        Signal {
            last: reading.time,
            heard: clock,
            value: reading.value.clone(),
            meets: rules.opens.value(&reading.value),
            since: clock,
            was_open: rules.unknown_is_open,
            standing: Standing::default(),
            queued: None,
        }
    }

    pub(super) fn last(&self) -> Timestamp {
        self.last
    }
    pub(super) fn heard(&self) -> Timestamp {
        self.heard
    }

    /// Takes a reading that is not older than the last one.
    pub(super) fn hear(&mut self, rules: &Rules, reading: &Reading, clock: Timestamp) {
        let meets = rules.opens.value(&reading.value);
        if self.is_stale(rules, clock) {
            (self.meets, self.since, self.was_open) = (meets, clock, rules.unknown_is_open);
        } else if meets != self.meets {
            self.was_open = self.is_open(rules, clock);
            (self.meets, self.since) = (meets, clock);
        }
        (self.last, self.heard) = (reading.time, clock);
        self.value.clone_from(&reading.value);
    }

    /// Judges the last value by settings that may be others: what it says is so since it came.
    pub(super) fn judge_anew(&mut self, rules: &Rules) {
        let meets = rules.opens.value(&self.value);
        if meets != self.meets {
            self.was_open = self.is_open(rules, self.heard);
            (self.meets, self.since) = (meets, self.heard);
        }
    }

    /// How it stands at a time.
    pub(super) fn standing_at(&self, rules: &Rules, clock: Timestamp) -> Standing {
        let known = !self.is_stale(rules, clock);
        Standing { known, open: known && self.is_open(rules, clock) }
    }

    /// When it next stands otherwise without a reading.
    pub(super) fn due(&self, rules: &Rules, clock: Timestamp) -> Option<Timestamp> {
        let stale = self.stale_at(rules);
        let turns = (self.meets != self.was_open).then(|| self.settled_at(rules));
        stale.into_iter().chain(turns).filter(|due| *due > clock).min()
    }

    fn stale_at(&self, rules: &Rules) -> Option<Timestamp> {
        rules.stale_after.map(|span| self.heard.saturating_add(span))
    }

    fn is_stale(&self, rules: &Rules, clock: Timestamp) -> bool {
        self.stale_at(rules).is_some_and(|stale| stale <= clock)
    }

    /// When what the value says has been so for long enough.
    fn settled_at(&self, rules: &Rules) -> Timestamp {
        self.since.saturating_add(if self.meets { rules.hold_off } else { rules.hold })
    }

    fn is_open(&self, rules: &Rules, clock: Timestamp) -> bool {
        if self.settled_at(rules) <= clock { self.meets } else { self.was_open }
    }
}
