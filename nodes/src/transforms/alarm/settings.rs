//! What users set, and what is wrong with it.

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::condition::{Literal, TimeOfDay};
use smollama_engine::duration::Duration;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;

use super::news;
use super::quiet;
use crate::transforms::cadence::MissingAfter;

/// Rings when a value is where it should not be for too long, and when a source falls silent. Each series has a state of its own.
///
/// One condition says when it rings: `above`, `below`, `outside`, `equals` or `changed`; with none of them only silence rings. It
/// rings once the condition has held `for` so long: the last value holds until the next one comes. It clears when a value is past the clear
/// level, and has been for `clear_for`; between the two levels it stays as it is, so that a value at the brink does not ring and
/// clear over and over.
///
/// Levels are in the unit of the series. Where a number is asked for and the value is none (a text such as `unavailable`), the reading goes to port
/// `dropped` and is no sign of life either: `missing_after` sees through a sensor that only says that it has nothing to say. A
/// series is watched from its first reading on; a source that never spoke is unknown here. A last value that is no reading (a retained message of MQTT) is
/// what `changed` compares the first reading with; it rings nothing, and is no sign of life.
///
/// Port `main` says of each series whether it rings, on its first reading and then on each change: `true` while the condition rings, the source is silent,
/// or flapping is held down. Such a reading is of type `as` (default `pipeline.node`) and has the input's `type/id` as its id.
/// Port `news` has texts for people: of kind `anomaly` when it rings, reminds, falls silent or flaps, and of kind `status` when it
/// clears or speaks again. In quiet hours nothing comes on `news`; when they end, what is still to be told is told.
///
/// Silence, reminders and quiet hours go by the host's clock, everything else by the readings' own times. Where the host itself was away, silence
/// is counted from when it is back. An alarm that goes on reminds a thousand times at most, and no longer than the host
/// keeps the series: one that was silent for a day makes room for others where room is lacking.
///
/// **When its settings change** while it runs, all is kept: what rings goes on ringing, unless its last value does not by the new settings.
///
/// Ports: `main` on and off; `news` what there is to tell; `dropped` readings without a number where one is asked for; `late` those that are
/// older than the last one of their series, which change nothing here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmConfig {
    /// Rings when the value is more than this.
    pub above: Option<f64>,
    /// Rings when the value is less than this.
    pub below: Option<f64>,
    /// Rings when the value is less than the first number or more than the second: `[2, 8]`.
    pub outside: Option<[f64; 2]>,
    /// Rings when the value is this number, text, `true` or `false`, or one of several: `open`, `[open, ajar]`.
    pub equals: OneOrMany<Literal>,
    /// Rings when the value is another than the one before, and clears when it has stayed the same for `clear_for`. Default: `false`.
    pub changed: bool,
    /// With `above`: clears when the value is less than this. Default: clears when it is no longer above.
    pub clear_below: Option<f64>,
    /// With `below`: clears when the value is more than this. Default: clears when it is no longer below.
    pub clear_above: Option<f64>,
    /// With `outside`: clears when the value is from the first number to the second: `[3, 7]`. Default: clears when it is no longer
    /// outside.
    pub clear_inside: Option<[f64; 2]>,
    /// How long the condition must hold before it rings: `10m`. Default: `0s`, at once.
    #[serde(rename = "for")]
    pub hold: Duration,
    /// How long the value must be past the clear level before it clears. Default: `0s`, at once; with `changed`, `1m`.
    pub clear_for: Option<Duration>,
    /// Tells it again so often while it rings: `1h`. Default: it is told once.
    pub remind: Option<Duration>,
    /// Rings when nothing came of a series for so long: `30m`, or `learned`: three times the longest pause that is usual for it, once
    /// eight are known, and never less than 10 s. Default: silence does not ring.
    pub missing_after: Option<MissingAfter>,
    /// Spans of the day in which nothing is told, in the host's time zone: `"22:00-07:00"`. What still rings when they end is told then. Port
    /// `main` knows no quiet. Default: none.
    pub quiet: OneOrMany<TimeOfDay>,
    /// What goes on and off too often is told once and counts as ringing until it has been calm for `within`. Default: every
    /// change is told.
    pub flapping: Option<Flapping>,
    /// What is told, as a template. It can speak of `source`, `value`, `unit`, `labels`, `event` (`ring`, `remind`, `missing`, `flapping`,
    /// `clear`, `back`), `says` (what happened, in a few words), `lasted` (since when it rings: `2h10m`), `kind`, `time`, `host` and `alarm` (the node's address).
    /// Default: `"{{ source }} {{ says }}"`.
    pub text: Option<String>,
}

/// When changes are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flapping {
    /// So many times on or off: `6` is three alarms.
    #[schemars(range(min = 3, max = 1000))]
    pub changes: u32,
    /// In so long.
    pub within: Duration,
}

/// How long a `changed` value must stay the same where nothing else is said.
const CALM: Duration = Duration::from_mins(1);

impl AlarmConfig {
    /// How long a value must be past the clear level.
    pub(super) fn clear_hold(&self) -> Duration {
        self.clear_for.unwrap_or(if self.changed { CALM } else { Duration::ZERO })
    }

    /// The conditions that are given, by the settings' names.
    fn conditions(&self) -> Vec<&'static str> {
        let given = [
            ("above", self.above.is_some()),
            ("below", self.below.is_some()),
            ("outside", self.outside.is_some()),
            ("equals", !self.equals.is_empty()),
            ("changed", self.changed),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let conditions = self.conditions();
        match conditions.as_slice() {
            [] if self.missing_after.is_none() => problems
                .push(Problem::at("", "asks for nothing, so it never rings").help(
                    "give one of above, below, outside, equals, changed, or `missing_after`",
                )),
            [first, second, ..] => {
                let message = format!("`{first}` and `{second}` are two conditions");
                let help = match (self.above, self.below) {
                    (Some(above), Some(below)) if below <= above => {
                        format!("write `outside: [{below}, {above}]`")
                    }
                    _ => "an alarm has one; make two alarms".into(),
                };
                problems.push(Problem::at(*second, message).help(help));
            }
            _ => {}
        }
        self.check_levels(&mut problems);
        self.check_spans(conditions.is_empty(), &mut problems);
        if quiet::is_the_whole_day(&self.quiet) {
            problems.push(
                Problem::at("quiet", "the whole day is quiet, so nothing is ever told")
                    .help("leave out `quiet`, or read only port `main`"),
            );
        }
        if let Some(text) = &self.text {
            problems.extend(news::problems("text", text));
        }
        problems
    }

    fn check_levels(&self, problems: &mut Vec<Problem>) {
        let belongs = [
            ("clear_below", self.clear_below.is_some(), "above", self.above.is_some()),
            ("clear_above", self.clear_above.is_some(), "below", self.below.is_some()),
            ("clear_inside", self.clear_inside.is_some(), "outside", self.outside.is_some()),
        ];
        for (name, given, to, there) in belongs {
            if given && !there {
                let message = format!("`{name}` is the clear level of `{to}`, which is not given");
                problems.push(Problem::at(name, message).help(format!("give `{to}` too")));
            }
        }
        if let (Some(above), Some(clear)) = (self.above, self.clear_below)
            && clear > above
        {
            let message = format!("{clear} is more than `above`, {above}: it would ring and clear");
            problems.push(Problem::at("clear_below", message).help("clear at a lower level"));
        }
        if let (Some(below), Some(clear)) = (self.below, self.clear_above)
            && clear < below
        {
            let message = format!("{clear} is less than `below`, {below}: it would ring and clear");
            problems.push(Problem::at("clear_above", message).help("clear at a higher level"));
        }
        let spans = [("outside", self.outside), ("clear_inside", self.clear_inside)];
        for (name, span) in spans {
            if let Some([low, high]) = span
                && low > high
            {
                let message = format!("{low} is more than {high}");
                problems.push(Problem::at(name, message).help("swap them"));
            }
        }
        if let (Some([low, high]), Some([clear_low, clear_high])) =
            (self.outside, self.clear_inside)
            && (clear_low < low || clear_high > high)
        {
            let message = "reaches beyond `outside`: it would ring and clear";
            problems.push(
                Problem::at("clear_inside", message).help(format!("stay from {low} to {high}")),
            );
        }
        let numbers = [
            ("above", self.above),
            ("below", self.below),
            ("clear_below", self.clear_below),
            ("clear_above", self.clear_above),
        ];
        let pairs = spans.into_iter().flat_map(|(name, span)| {
            span.into_iter().flatten().map(move |number| (name, Some(number)))
        });
        for (name, number) in numbers.into_iter().chain(pairs) {
            if number.is_some_and(|number| !number.is_finite()) {
                problems.push(
                    Problem::at(name, "no value ever reaches that level")
                        .help("give a number such as -15"),
                );
            }
        }
    }

    fn check_spans(&self, only_silence: bool, problems: &mut Vec<Problem>) {
        let mut wrong = |field: &str, message: &str, help: &str| {
            problems.push(Problem::at(field, message).help(help));
        };
        if only_silence {
            let given = [("for", !self.hold.is_zero()), ("clear_for", self.clear_for.is_some())];
            for (name, _) in given.into_iter().filter(|(_, given)| *given) {
                let message = format!("there is no condition that `{name}` could be about");
                wrong(name, &message, "give one of above, below, outside, equals, changed");
            }
        }
        if self.changed && !self.hold.is_zero() {
            wrong("for", "a change takes no time, so it cannot hold", "did you mean `clear_for`?");
        }
        if self.changed && self.clear_hold().is_zero() {
            let message = "with `changed` it would clear in the instant in which it rings";
            wrong("clear_for", message, "give a time, such as 1m");
        }
        if self.remind == Some(Duration::ZERO) {
            wrong("remind", "the time between two reminders is longer than nothing", "write `1h`");
        }
        if self.missing_after == Some(MissingAfter::After(Duration::ZERO)) {
            let message = "a source is always silent between two readings";
            wrong("missing_after", message, "give a few times its usual pause, or `learned`");
        }
        if let Some(Flapping { changes, within }) = self.flapping {
            if !(3..=1000).contains(&changes) {
                let message = format!("{changes} changes; it must be from 3 to 1000");
                wrong("flapping.changes", &message, "6 is three alarms");
            }
            if within.is_zero() {
                wrong("flapping.within", "nothing changes in no time", "write `30m`");
            }
        }
    }
}
