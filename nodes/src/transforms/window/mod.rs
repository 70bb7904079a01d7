//! `window`: gathers readings into spans of time with a summary per series.

mod count;
mod emitter;
mod session;
mod settings;
pub(in crate::transforms) mod spans;
mod stored;
#[cfg(test)]
mod tests;
mod time;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::ItemKind;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, Transform};
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::{
    Carries, InputPort, NodeConfig, OutputPort, Problem, Profile, Section,
};
use smollama_engine::window::Statistic;

use self::count::CountWindows;
use self::emitter::Emitter;
use self::session::SessionWindows;
pub use self::settings::{Align, Step};
use self::spans::Spans;
use self::time::TimeWindows;

/// Gathers readings into windows: spans of time with count, least, greatest, mean, standard deviation, first and last value of each
/// series.
///
/// Exactly one of three settings says what a window is. `length: 1m` makes windows of that span, one after another (tumbling) or,
/// with a shorter `step`, overlapping (sliding); they begin at whole multiples of the step, in UTC, or in the host's time zone
/// where they last whole days. `gap: 5m` makes a window (a session) of readings that follow one another, and ends it when the
/// series pauses that long. `count: 100` makes a window of so many readings. Sessions and counts are kept for each series by itself.
///
/// **When a window closes.** Time is what the readings say, and each series has its own: a series is past a span when it has a
/// reading at or after the span's end plus `lateness`. A span is emitted, with all its series in one window, as soon as every
/// series with readings in it is past it. A series that stops would hold it back; so it is emitted in any case when its end and
/// `lateness` are over by the host's clock and nothing came for it for `idle`. When the input ends, everything open is emitted,
/// with cause `end`.
///
/// **What comes late.** A reading for a span that its own series is past goes to port `late`. A series that comes later than the
/// others for an old span is not late (a recording sorted by series is read so): it opens the span again, and a further window
/// of the same span comes, with what was not in the first. So does a reading that comes after `idle` has closed its window.
/// With `count`, a reading older than the last of its series is late. A reading dated far ahead closes what its series has
/// open; what then comes at the right time is late. So is a reading whose time no calendar holds (thousands of years away).
///
/// **Memory** is bounded: at most 1,000 windows open per series, which the check holds against the settings; and at most 500,000
/// summaries in open windows that series share, after which the oldest window is emitted early.
///
/// A series that gives its slot back, as it was silent for a day and the host has no room for new ones, leaves the windows it is in: what
/// they have of it comes in a window of its own, with cause `end`.
///
/// **When its settings change** while it runs, what was gathered goes on wherever it can: in the open windows, where `length` and
/// `step` (or `gap`, or `step` of `count`) stay as they are, whatever else changes; otherwise in the window by the new settings that has all
/// of an open window's readings of a series. Sums cannot be cut; so where no window has them all, the open one is emitted at once as it
/// is, with cause `end`. No reading is lost, and none is in two windows that do not overlap.
///
/// Ports: `main` the windows; `values` the same as readings, one per series and figure, dated at the window's end, with the
/// label `stat` and sources of their own (`as`, and the input's type and id below it); `late` the readings that came too late.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WindowConfig {
    /// How long a window is: `1m`. Windows of whole days are calendar days of the host's time zone: 23 or 25 hours when its clocks
    /// change.
    pub length: Option<Duration>,
    /// How far apart windows begin: a span of time with `length`, a number of readings with `count`. Default: as long as the
    /// window, so that windows do not overlap.
    pub step: Option<Step>,
    /// Where windows begin: `utc`, at multiples of the step since 1970; or `local`, at midnight in the host's time zone (Monday, where the
    /// step is whole weeks) and at multiples of the step after it. `local` is for steps of whole days, and for those of 15
    /// minutes or more that divide a day. Default: `local` for whole days, `utc` otherwise.
    pub align: Option<Align>,
    /// A window ends when its series pauses this long.
    pub gap: Option<Duration>,
    /// With `gap`: the longest a window can be; then the next begins. Default: no limit, a series that never pauses makes one
    /// window when the input ends.
    pub max_length: Option<Duration>,
    /// A window is so many readings of one series.
    pub count: Option<u32>,
    /// How long after its end a window still takes readings that come out of order, by the times of its own series. Default: `0s`.
    pub lateness: Duration,
    /// A window whose time is over is emitted when nothing came for it this long, by the host's clock. Default: `10s`.
    pub idle: Option<Duration>,
    /// With `length`: whether all series of a span are in one window, or each in a window of its own, which comes as soon as that
    /// series is past. Default: `true`.
    pub group: Option<bool>,
    /// Which figures come on port `values`. Default: `mean`.
    pub values: OneOrMany<Statistic>,
}

const VALUES: usize = 1;
const LATE: usize = 2;

/// How many windows a series may have open at a time.
const OPEN_PER_SERIES_MAX: i64 = 1_000;

/// How many summaries may wait in windows that series share, those still growing included. A host of 100,000 series has room for
/// two each and as much again and more; a summary is about 150 bytes.
const SUMMARIES_MAX: usize = 500_000;

const IDLE: Duration = Duration::from_secs(10);

impl NodeConfig for WindowConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "window";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile {
            inputs: vec![InputPort::main(&[ItemKind::Readings])],
            stateful: true,
            outputs: vec![OutputPort::main(ItemKind::Windows)],
            ..Profile::default()
        }
        .output("values", Carries::Kind(ItemKind::Readings))
        .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        settings::problems(self)
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let emitter = Emitter::new(context.clone(), &self.values);
        let idle = self.idle.unwrap_or(IDLE);
        let node: Box<dyn Transform> = if let Some(length) = self.length {
            let step = match self.step {
                Some(Step::Time(step)) => step,
                _ => length,
            };
            let spans = Spans::new(length, step, self.align, &context.host.timezone);
            let group = self.group.unwrap_or(true);
            Box::new(TimeWindows::new(spans, self.lateness, idle, group, emitter))
        } else if let Some(gap) = self.gap {
            let longest = self.max_length;
            Box::new(SessionWindows::new(gap, longest, self.lateness, idle, emitter))
        } else if let Some(count) = self.count {
            let step = match self.step {
                Some(Step::Count(step)) => step,
                _ => count,
            };
            Box::new(CountWindows::new(count, step, emitter))
        } else {
            return Err(settings::nothing_given());
        };
        Ok(Node::Transform(node))
    }
}
