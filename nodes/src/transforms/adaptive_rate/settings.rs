//! What users set, and what it comes to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::registry::Problem;

use super::budget::Budget;

/// Decides when somebody should look: gathers readings in windows, and closes a window at once when there is news, seldom
/// while all is calm, more often while it is not.
///
/// Put a scoring node (`novelty`) before it and an agent behind it. All readings since the last window are in the next one,
/// with a summary for each series. A window closes
///
/// - as `urgent`, with the very reading that is news (score 1 or more) as its last;
/// - as `heartbeat`, when nothing was news for a while. Each period decides about the next: after a calm one the time to the
///   next heartbeat is stretched, after a volatile one shrunk, between `min` and `max`;
/// - as `end`, when the input ends.
///
/// Never more windows close than the `budget` allows, so whatever a model behind it costs is bounded. When the budget is
/// used up, news waits in the window, which closes as `urgent` as soon as the budget allows it. Heartbeats count too,
/// but leave a quarter of the budget to news.
///
/// A period without readings has no window, and the heartbeats go on in their rhythm. The first period begins with the first reading.
/// Times are those of the readings. A reading that comes at the instant of a heartbeat is in the next window.
///
/// Whether a period was calm or volatile follows from the highest score of each series in it, taken together as `aggregate` says: below
/// `calm` is calm, from `volatile` on is volatile. Between the two, and if no reading was scored, the pace stays.
///
/// With `plan: original` it keeps the schedule that this software's predecessor planned, and needs no scoring node: each series' volatility is
/// the coefficient of variation of its last 10 readings (of on and off: the share of changes; of a counter: that of its rate), as `volatility` measures it, over
/// 0.5. There are no urgent windows. On labelled recordings it asks for 1.6 times as many calls as a clock that rings
/// every 15 minutes, and finds no more than chance does; that is why it is not the default.
///
/// **When its settings change** while it runs, the open window keeps its readings, and the time between heartbeats stays what it has come
/// to, within the new `min` and `max`: `start` is for a node that begins. What now is due, or fits a larger budget, closes at once. What
/// the last periods said counts no longer towards `hysteresis` when they would be judged otherwise now.
///
/// Ports: `main` has the windows; `late` the readings that are older than the last one of their series, or that come more than `lateness`
/// after their window has closed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveRateConfig {
    /// The schedule whose defaults are used: `news` or `original`. Default: news.
    pub plan: PlanName,
    /// The time to the first heartbeat. Default: 1h; of the original plan 15m.
    pub start: Option<Duration>,
    /// The shortest time between heartbeats. Default: 5m.
    pub min: Option<Duration>,
    /// The longest time between heartbeats. Default: 6h; of the original plan 1h.
    pub max: Option<Duration>,
    /// By what the time between heartbeats is multiplied after a calm period. Default: 1.5.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub stretch: Option<f64>,
    /// By what the time between heartbeats is multiplied after a volatile period. Default: 0.5.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub shrink: Option<f64>,
    /// A period below this is calm. Default: 0.5; with `aggregate: share` 0.1; of the original plan 0.2, which is a
    /// coefficient of variation of 0.1.
    #[schemars(range(min = 0.0))]
    pub calm: Option<f64>,
    /// A period at or above this is volatile. Default: 1; with `aggregate: share` 0.5.
    #[schemars(range(min = 0.0))]
    pub volatile: Option<f64>,
    /// How many periods in a row must say the same before the pace changes, and again before it changes further. Default: 1; of the
    /// original plan 3.
    #[schemars(range(min = 1))]
    pub hysteresis: Option<u32>,
    /// How the series' scores are taken together: `max`, `mean` or `share`. Default: max.
    pub aggregate: Aggregate,
    /// How much some sources count; the first entry that matches is used, all others count 1. Default: none.
    pub weights: Vec<Weight>,
    /// Whether news closes the window at once. Default: true; of the original plan false.
    pub urgent: Option<bool>,
    /// How many windows may close. Default: 12 per hour and 100 per day; of the original plan 288 per day.
    pub budget: Option<Budget>,
    /// How long after its window has closed a reading is still taken, into the next window. Default: 1m.
    pub lateness: Option<Duration>,
}

/// A schedule with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanName {
    /// Seldom, and at once when a reading's score says news.
    #[default]
    News,
    /// As the predecessor planned: by the coefficient of variation, never at once.
    Original,
}

/// How scores of several series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// The highest score times its weight.
    #[default]
    Max,
    /// The mean of the scores by weight.
    Mean,
    /// The share of series, by weight, with a score of 1 or more.
    Share,
}

/// How much some sources count.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// The sources, such as `system:**`.
    #[serde(rename = "match")]
    pub pattern: Glob,
    /// The weight. Sources of weight 0 have no say: they are in the windows, but neither set the pace nor close a window.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub weight: f64,
}

/// The settings with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) start: Duration,
    pub(super) min: Duration,
    pub(super) max: Duration,
    pub(super) stretch: f64,
    pub(super) shrink: f64,
    pub(super) calm: f64,
    pub(super) volatile: f64,
    pub(super) hysteresis: u32,
    pub(super) aggregate: Aggregate,
    pub(super) urgent: bool,
    pub(super) budget: Budget,
    /// What of the budget heartbeats may use.
    pub(super) heartbeats: Budget,
    pub(super) lateness: Duration,
    /// Whether this node measures volatility itself.
    pub(super) measures: bool,
}

impl AdaptiveRateConfig {
    /// What the settings come to. A default gives way to what the user wrote: with `max: 30m`, `start` is at most that.
    pub(super) fn resolve(&self) -> Plan {
        let original = self.plan == PlanName::Original;
        let pick = |news, planned| if original { planned } else { news };
        let mut max = self.max.unwrap_or(Duration::from_hours(pick(6, 1)));
        if self.max.is_none() {
            max = max.max(self.start.unwrap_or(max)).max(self.min.unwrap_or(max));
        }
        let mut min = self.min.unwrap_or(Duration::from_mins(5));
        if self.min.is_none() {
            min = min.min(max).min(self.start.unwrap_or(max));
        }
        let start = Duration::from_mins(pick(60, 15)).min(max).max(min);
        let urgent = self.urgent.unwrap_or(!original);
        let budget = self
            .budget
            .unwrap_or(Budget { per_day: if original { 288 } else { 100 }, ..Budget::default() });
        let share = self.aggregate == Aggregate::Share;
        let calm = if share {
            0.1
        } else if original {
            0.2
        } else {
            0.5
        };
        Plan {
            start: self.start.unwrap_or(start),
            min,
            max,
            stretch: self.stretch.unwrap_or(1.5),
            shrink: self.shrink.unwrap_or(0.5),
            calm: self.calm.unwrap_or(calm),
            volatile: self.volatile.unwrap_or(if share { 0.5 } else { 1.0 }),
            hysteresis: self.hysteresis.unwrap_or(if original { 3 } else { 1 }),
            aggregate: self.aggregate,
            urgent,
            budget,
            heartbeats: if urgent { budget.without_reserve() } else { budget },
            lateness: self.lateness.unwrap_or(Duration::from_mins(1)),
            measures: original,
        }
    }

    /// All that is wrong.
    pub(super) fn check(&self) -> Vec<Problem> {
        let plan = self.resolve();
        let mut problems = plan.check_times();
        let mut wrong = |field: &str, message: String, help: &str| {
            problems.push(Problem::at(field, message).help(help));
        };
        if !(1.0..=100.0).contains(&plan.stretch) {
            let message = format!("`stretch` is {}; it must be from 1 to 100", plan.stretch);
            wrong("stretch", message, "1 keeps the pace, 1.5 looks half as often again");
        }
        if !(0.01..=1.0).contains(&plan.shrink) {
            let message = format!("`shrink` is {}; it must be from 0.01 to 1", plan.shrink);
            wrong("shrink", message, "1 keeps the pace, 0.5 looks twice as often");
        }
        if !(0.0 <= plan.calm && plan.calm <= plan.volatile && plan.volatile.is_finite()) {
            let (calm, volatile) = (plan.calm, plan.volatile);
            let message = format!("`calm` ({calm}) must not be above `volatile` ({volatile})");
            wrong("calm", message, "between the two the pace stays");
        }
        if plan.hysteresis == 0 {
            wrong("hysteresis", "`hysteresis` is 0".into(), "1 lets each period decide");
        }
        for (index, one) in self.weights.iter().enumerate() {
            if !(0.0..=1e6).contains(&one.weight) {
                let message = format!("`weight` is {}; it must be from 0 to 1000000", one.weight);
                wrong(&format!("weights.{index}.weight"), message, "0 gives a source no say");
            }
        }
        problems
    }
}

impl Plan {
    fn check_times(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String, help: &str| {
            problems.push(Problem::at(field, message).help(help));
        };
        let Plan { start, min, max, .. } = self;
        if *min < Duration::from_secs(1) {
            wrong("min", format!("`min` is {min}; it must be at least 1s"), "5m is usual");
        } else if min > max {
            wrong("min", format!("`min` ({min}) is longer than `max` ({max})"), "swap them");
        } else if !(min..=max).contains(&start) {
            let message =
                format!("`start` ({start}) is not between `min` ({min}) and `max` ({max})");
            wrong("start", message, "leave it out, or change `min` or `max`");
        }
        let limits = [
            ("per_hour", Duration::from_hours(1), self.budget.per_hour, self.heartbeats.per_hour),
            ("per_day", Duration::from_hours(24), self.budget.per_day, self.heartbeats.per_day),
        ];
        for (field, span, limit, heartbeats) in limits {
            let field = format!("budget.{field}");
            if !(1..=10_000).contains(&limit) {
                let message = format!("`{field}` is {limit}; it must be from 1 to 10000");
                wrong(&field, message, "it bounds how often a model behind this node is asked");
            } else if problems_free(min, max)
                && span.as_micros() / max.as_micros() > i64::from(heartbeats)
            {
                let needs = span.as_micros() / max.as_micros();
                let message = format!(
                    "a heartbeat at least every {max} (`max`) needs {needs} windows; \
                     `{field}` leaves {heartbeats} for heartbeats"
                );
                wrong(&field, message, "raise it, or lengthen `max`; a quarter is kept for news");
            }
        }
        problems
    }
}

/// Whether the times can be reckoned with.
fn problems_free(min: &Duration, max: &Duration) -> bool {
    *min >= Duration::from_secs(1) && min <= max
}
