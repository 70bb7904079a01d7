//! What users set, and what is wrong with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::condition::{Condition, ValueCondition};
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;
use smollama_engine::unit::{self, NoConversion, TimeUnit};

/// Makes a new quantity of each series: a difference, a rate, an average, a sum over time, a time in a state, or a count.
///
/// One setting says which: `difference`, `rate`, `moving_average`, `exponential_average`, `integral`, `time_in` or `count`. The first five say something
/// with each reading, dated as it is, but for what needs two of them; `time_in` and `count` say something once a `period`, at its end, of each series that is
/// known, whether something came of it or not. When the input ends, they say what there is of the period so far.
///
/// What comes out is of type `as` (default `pipeline.node`) and has the input's `type/id` as its id, and its labels. Its unit follows from the
/// input's: `°C/min` of `°C`, `W` of `Wh` per hour, `Wh` of `W` over hours. Where the unit of a series
/// cannot be converted to `convert`, its readings go to port `dropped`, and the dead letters say so once.
///
/// A counter is a series that says it only grows, or one for which `counter` says so. When it is less than before, it began anew from zero: then `difference` and `rate` take
/// what it shows as what it grew by. Where it lost less than a tenth, it only stumbled: nothing is said until it is past what it was.
///
/// On and off count as 1 and 0. Texts go to port `dropped`, but for `count`, and for `time_in` where they are what is asked for.
///
/// **When its settings change** while it runs, what is known of each series is kept as long as the same kind of thing is made of it.
///
/// Ports: `main` the new quantity; `dropped` readings of which nothing can be made; `late` those that are older than the last one of their series, or of a
/// period that is over, which change nothing here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeriveConfig {
    /// The difference to the reading before. Default: `false`.
    pub difference: bool,
    /// How fast it changes between two readings: per second (`s`), minute (`min`), hour (`h`) or day (`d`). Of several readings of one instant the
    /// first counts.
    pub rate: Option<TimeUnit>,
    /// The mean of the readings of the last so long, this one included: `10m`. Where they are more than 1,024, those of a
    /// 512th of that time are taken together, and leave together.
    pub moving_average: Option<Duration>,
    /// An average in which a reading weighs the less the older it is, with this time constant: after `10m` a step is seen to 63 %, after three times as
    /// long to 95 %.
    pub exponential_average: Option<Duration>,
    /// The sum over time since the first reading, in the unit times seconds (`s`), minutes (`min`), hours (`h`) or days (`d`): with `h`, `W` become `Wh`.
    pub integral: Option<TimeUnit>,
    /// For how many seconds of each period the value was like this: `{ above: 30 }`, `{ equals: "on" }`. The last value holds until the next comes.
    pub time_in: Option<ValueCondition>,
    /// How many readings came in each period, those included that were suppressed before them. With the engine word `when`, how many of a kind.
    /// Default: `false`.
    pub count: bool,
    /// With `integral`: what holds between two readings. `trapezoid`: a straight line from one to the other; `left`: the former value. Default: `trapezoid`.
    pub method: Option<Method>,
    /// With `integral` and `time_in`: a pause that is longer than this is a gap. Over a gap nothing is summed up, and a value holds no longer than
    /// this. Default: there are no gaps.
    pub max_gap: Option<Duration>,
    /// With `time_in` and `count`: how long a period is, at least `1s`. Whole days begin at midnight in the host's time zone, other periods at whole
    /// multiples since 1970 in UTC.
    pub period: Option<Duration>,
    /// With `difference` and `rate`: whether the series only ever grows, but for restarts. Default: as the source says.
    pub counter: Option<bool>,
    /// The unit in which it is told, of the dimension that it has: `kWh` where it would be `Wh`. Default: as it follows from the input's.
    pub convert: Option<String>,
}

/// What holds between two readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A straight line from one to the other.
    #[default]
    Trapezoid,
    /// The former value.
    Left,
}

/// What is made of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Difference,
    Rate,
    MovingAverage,
    ExponentialAverage,
    Integral,
    TimeIn,
    Count,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Kind::Difference => "difference",
            Kind::Rate => "rate",
            Kind::MovingAverage => "moving_average",
            Kind::ExponentialAverage => "exponential_average",
            Kind::Integral => "integral",
            Kind::TimeIn => "time_in",
            Kind::Count => "count",
        }
    }
}

const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

impl DeriveConfig {
    fn kinds(&self) -> Vec<Kind> {
        let given = [
            (Kind::Difference, self.difference),
            (Kind::Rate, self.rate.is_some()),
            (Kind::MovingAverage, self.moving_average.is_some()),
            (Kind::ExponentialAverage, self.exponential_average.is_some()),
            (Kind::Integral, self.integral.is_some()),
            (Kind::TimeIn, self.time_in.is_some()),
            (Kind::Count, self.count),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(kind, _)| kind).collect()
    }

    /// What it makes; of settings that have no problems, the only one that is given.
    pub(super) fn kind(&self) -> Kind {
        self.kinds().first().copied().unwrap_or(Kind::Difference)
    }

    /// The condition of `time_in`.
    pub(super) fn condition(&self) -> Condition {
        Condition { value: self.time_in.clone(), ..Condition::default() }
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let kind = match *self.kinds().as_slice() {
            [kind] => kind,
            [] => {
                let problem = Problem::at("", "makes nothing");
                return vec![problem.help("give one of difference, rate, moving_average, exponential_average, integral, time_in, count")];
            }
            [first, second, ..] => {
                let (first, second) = (first.as_str(), second.as_str());
                let message = format!("`{first}` and `{second}` are two quantities");
                return vec![Problem::at(second, message).help("make two nodes")];
            }
        };
        let mut wrong = |field: &str, message: String, help: &str| {
            problems.push(Problem::at(field, message).help(help));
        };
        let spans = [
            ("moving_average", self.moving_average),
            ("exponential_average", self.exponential_average),
            ("max_gap", self.max_gap),
        ];
        for (name, _) in spans.into_iter().filter(|(_, span)| *span == Some(Duration::ZERO)) {
            wrong(name, "it is longer than nothing".into(), "write it like `10m`");
        }
        let periodic = matches!(kind, Kind::TimeIn | Kind::Count);
        let belongs = [
            ("method", self.method.is_some(), kind == Kind::Integral, "`integral`"),
            (
                "max_gap",
                self.max_gap.is_some(),
                matches!(kind, Kind::Integral | Kind::TimeIn),
                "`integral` and `time_in`",
            ),
            ("period", self.period.is_some(), periodic, "`time_in` and `count`"),
            (
                "counter",
                self.counter.is_some(),
                matches!(kind, Kind::Difference | Kind::Rate),
                "`difference` and `rate`",
            ),
        ];
        for (name, _, _, of) in belongs.into_iter().filter(|(_, given, fits, _)| *given && !fits) {
            wrong(name, format!("it is a setting of {of}"), &format!("leave out `{name}`"));
        }
        match self.period {
            None if periodic => {
                let message = format!("`{}` is told of a period", kind.as_str());
                wrong(kind.as_str(), message, "give `period`, such as `1h` or `1d`");
            }
            Some(period) if periodic && period < SHORTEST_PERIOD => {
                let message = format!("{period} is shorter than {SHORTEST_PERIOD}");
                wrong("period", message, "write it like `1h`");
            }
            _ => {}
        }
        if self.time_in.is_some() {
            problems.extend(self.condition().problems().into_iter().map(|mut problem| {
                problem.field = problem.field.replacen("value", "time_in", 1);
                problem
            }));
        }
        problems.extend(self.check_unit(kind));
        problems
    }

    fn check_unit(&self, kind: Kind) -> Option<Problem> {
        let to = self.convert.as_deref()?;
        let error = match kind {
            Kind::Count => {
                let problem = Problem::at("convert", "a count has no unit");
                return Some(problem.help("leave out `convert`"));
            }
            Kind::TimeIn => unit::conversion("s", to).err()?,
            _ => unit::known(to).err()?,
        };
        let problem = Problem::at("convert", error.to_string());
        Some(match error {
            NoConversion::Unknown { nearest: Some(nearest), .. } => {
                problem.help(format!("did you mean `{nearest}`?"))
            }
            NoConversion::Unknown { nearest: None, .. } => {
                problem.help("leave out `convert`, and use `map` with `scale` and `unit`")
            }
            NoConversion::Dimension { .. } => problem.help("write `h` for hours"),
        })
    }
}
