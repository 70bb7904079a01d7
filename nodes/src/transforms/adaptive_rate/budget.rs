//! How many windows may close in an hour and in a day: what bounds the calls of a model behind them.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;

/// How many windows may close in any span of an hour, and of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// In any 60 minutes. Default: 12.
    #[schemars(range(min = 1, max = 10_000))]
    pub per_hour: u32,
    /// In any 24 hours. Default: 100.
    #[schemars(range(min = 1, max = 10_000))]
    pub per_day: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { per_hour: 12, per_day: 100 }
    }
}

impl Budget {
    /// What heartbeats may use: a quarter is kept for news, so that a restless day cannot leave none for it.
    pub(super) fn without_reserve(self) -> Budget {
        let keep = |limit: u32| limit - limit / 4;
        Budget { per_hour: keep(self.per_hour), per_day: keep(self.per_day) }
    }
}

/// When the last windows closed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spent(VecDeque<Timestamp>);

impl Spent {
    /// Notes a window; of more than the budget could ask for, the oldest are forgotten.
    pub(super) fn spend(&mut self, at: Timestamp, budget: Budget) {
        self.0.push_back(at);
        while self.0.len() > budget.per_hour.max(budget.per_day) as usize {
            self.0.pop_front();
        }
    }

    /// From when on one more window fits into the budget.
    pub(super) fn free_from(&self, budget: Budget) -> Timestamp {
        let hour = self.fits(budget.per_hour, Duration::from_hours(1));
        hour.max(self.fits(budget.per_day, Duration::from_hours(24)))
    }

    fn fits(&self, limit: u32, span: Duration) -> Timestamp {
        // There is room once the window so many back is as old as the span.
        let back = self.0.len().checked_sub(limit as usize).and_then(|at| self.0.get(at));
        back.map_or(Timestamp::MIN, |&at| at.saturating_add(span))
    }
}
