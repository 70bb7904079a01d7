//! How long the pauses of a source usually are: what `alarm` and `watchdog` learn of silence.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use smollama_engine::duration::Duration;

/// Pauses that are seen before anything is said.
const WARM_UP: u8 = 8;
/// A source is silent after so many times its longest usual pause: one reading lost, and the next one late, is no silence.
const TIMES: f64 = 3.0;
/// By which share of itself the longest pause is forgotten with each that is shorter: most of it after a hundred readings.
const FORGETS: f64 = 1.0 / 64.0;
/// No silence is shorter, however quick the source is.
pub(super) const SHORTEST: Duration = Duration::from_secs(10);

/// The longest pause that is usual: lately, as what is not seen again is forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cadence {
    longest: Duration,
    seen: u8,
}

impl Cadence {
    /// Takes the pause between two readings. Of one that is much longer than usual only so much is believed that a source that
    /// became slower is known again after a few, while one outage does not make its watcher deaf.
    pub(super) fn note(&mut self, pause: Duration) {
        if pause.is_zero() {
            return;
        }
        let known = self.seen >= WARM_UP;
        self.seen = self.seen.saturating_add(1).min(WARM_UP);
        let believed = if known { pause.min(self.longest.mul_f64(2.0)) } else { pause };
        self.longest = believed.max(self.longest.mul_f64(1.0 - FORGETS));
    }

    /// After how long without a reading it is silent; `None` while too little is known.
    pub(super) fn missing_after(&self) -> Option<Duration> {
        (self.seen >= WARM_UP).then(|| self.longest.mul_f64(TIMES).max(SHORTEST))
    }
}

/// After how long without a reading a series counts as silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingAfter {
    /// After this long.
    After(Duration),
    /// After a few times what is usual for it.
    Learned,
}

impl<'de> Deserialize<'de> for MissingAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = MissingAfter;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 30m, or `learned`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<MissingAfter, E> {
                if text.trim() == "learned" {
                    return Ok(MissingAfter::Learned);
                }
                let span = text.parse().map(MissingAfter::After);
                span.map_err(|error| E::custom(format!("{error}, or `learned`")))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for MissingAfter {
    fn schema_name() -> Cow<'static, str> {
        "MissingAfter".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Duration>();
        json_schema!({ "anyOf": [span, { "const": "learned" }], "examples": ["30m", "learned"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pauses: impl IntoIterator<Item = i64>) -> Option<Duration> {
        let mut cadence = Cadence::default();
        pauses.into_iter().for_each(|secs| cadence.note(Duration::from_secs(secs)));
        cadence.missing_after()
    }

    #[test]
    fn says_nothing_before_it_knows_and_then_three_times_the_longest() {
        assert_eq!(after([60; 7]), None);
        assert_eq!(after([60; 8]), Some(Duration::from_secs(180)));
        assert_eq!(after([60, 60, 60, 60, 60, 60, 60, 300]), Some(Duration::from_secs(900)));
        assert_eq!(after([1; 8]), Some(SHORTEST));
        assert_eq!(after([0; 100]), None, "readings of one instant have no pause between them");
    }

    #[test]
    fn an_outage_is_hardly_learnt_and_a_slower_source_is_known_again() {
        let outage = [60; 20].into_iter().chain([86_400]);
        assert_eq!(after(outage.clone()), Some(Duration::from_secs(360)));
        let calm = after(outage.chain([60; 60])).unwrap();
        assert_eq!(calm, Duration::from_secs(180), "and it is forgotten");
        let slower = after([60; 20].into_iter().chain([600; 5])).unwrap();
        assert!(slower > Duration::from_secs(600), "{slower}");
    }
}
