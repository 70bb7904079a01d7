//! When the next window closes, and how the pace follows what was seen. Pure time: no readings.

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;
use smollama_engine::window::Cause;

use super::budget::Spent;
use super::settings::Plan;

/// What a period says about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Direction {
    /// It was calm: look less often.
    Stretch,
    /// It was volatile: look more often.
    Shrink,
}

/// The current period and all that decides when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Schedule {
    /// The first instant of the period.
    start: Timestamp,
    /// When its heartbeat is due.
    due: Timestamp,
    /// From a heartbeat to the next.
    interval: Duration,
    /// The latest time known: of a reading, or of a window's end.
    clock: Timestamp,
    /// Whether news waits in the window for the budget.
    news: bool,
    /// What the last periods said, and how many in a row.
    trend: Option<Direction>,
    streak: u32,
    spent: Spent,
}

impl Schedule {
    pub(super) fn new(first: Timestamp, plan: &Plan) -> Schedule {
        Schedule {
            start: first,
            due: first + plan.start,
            interval: plan.start,
            clock: first,
            news: false,
            trend: None,
            streak: 0,
            spent: Spent::default(),
        }
    }

    pub(super) fn start(&self) -> Timestamp {
        self.start
    }

    pub(super) fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Takes note of the time of a reading.
    #[inline]
    pub(super) fn note(&mut self, time: Timestamp) {
        self.clock = self.clock.max(time);
    }

    /// There is news in the window. Whether it may close at once; otherwise it waits.
    pub(super) fn news(&mut self, plan: &Plan) -> bool {
        self.news = true;
        self.spent.free_from(plan.budget) <= self.clock
    }

    /// What there was in the window is gone from it, news and all.
    pub(super) fn no_news(&mut self) {
        self.news = false;
    }

    /// When and why a window that holds readings closes, unless there is more news.
    pub(super) fn next_close(&self, plan: &Plan) -> (Timestamp, Cause) {
        let heartbeat = self.due.max(self.spent.free_from(plan.heartbeats));
        if self.news {
            // Under a new budget it can have been free for long.
            let urgent = self.spent.free_from(plan.budget).max(self.clock);
            (urgent.min(heartbeat), Cause::Urgent)
        } else {
            (heartbeat, Cause::Heartbeat)
        }
    }

    /// Lets the periods pass that end up to `time` with no reading in them: their heartbeats are not heard.
    #[inline]
    pub(super) fn skip_empty(&mut self, time: Timestamp) {
        if self.due > time {
            return;
        }
        let interval = self.interval.as_micros().max(1);
        let periods = time.since(self.due).as_micros() / interval;
        self.start = self.due + Duration::from_micros(periods.saturating_mul(interval));
        self.due = self.start + self.interval;
        self.clock = self.clock.max(self.start);
    }

    /// The window has closed; the next period begins, at the pace that `said` leads to: `None` where nothing was known of this
    /// one.
    pub(super) fn close(&mut self, at: Timestamp, said: Option<Verdict>, plan: &Plan) {
        self.spent.spend(at, plan.budget);
        if let Some(Verdict(direction)) = said {
            self.follow(direction, plan);
        }
        self.start = at;
        self.due = at + self.interval;
        self.clock = self.clock.max(at);
        self.news = false;
    }

    fn follow(&mut self, direction: Option<Direction>, plan: &Plan) {
        self.streak = if direction == self.trend { self.streak.saturating_add(1) } else { 1 };
        self.trend = direction;
        let Some(direction) = direction.filter(|_| self.streak >= plan.hysteresis) else { return };
        self.streak = 0;
        let factor = match direction {
            Direction::Stretch => plan.stretch,
            Direction::Shrink => plan.shrink,
        };
        self.interval = self.interval.mul_f64(factor).clamp(plan.min, plan.max);
    }

    /// Goes on under settings that may be others than those it was begun with: at its pace, as far as that is within the new
    /// bounds. `news`: there is some in the window. `same_judgement`: what the last periods said would be said of them now.
    pub(super) fn fit(&mut self, plan: &Plan, news: bool, same_judgement: bool) {
        self.interval = self.interval.clamp(plan.min, plan.max);
        // Never before a reading that is in the window.
        self.due = (self.start + self.interval).max(self.clock);
        self.news = news && plan.urgent;
        if !same_judgement {
            (self.trend, self.streak) = (None, 0);
        }
    }
}

/// What a period said: a direction, or that all may stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict(pub(super) Option<Direction>);
