//! What is told on port `news`.

use serde_json::{Map, Value as Json, json};
use smollama_engine::context::Context;
use smollama_engine::log_limit::LogLimit;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::registry::Problem;
use smollama_engine::series::{Series, SeriesId};
use smollama_engine::time::Timestamp;

use super::level::Level;
use super::rules::Rules;
use super::watch::Watch;
use crate::io::template::Template;
use crate::transforms::amount::{amount, suffix};
use crate::transforms::text_id::text_id;

/// What a template can speak of.
const FIELDS: [&str; 11] = [
    "alarm", "event", "host", "kind", "labels", "lasted", "says", "source", "time", "unit", "value",
];

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The condition has held for long enough.
    Ring,
    /// It still rings.
    Remind,
    /// The source fell silent.
    Missing,
    /// It goes on and off too often.
    Flapping,
    /// It rings no more.
    Clear,
    /// The source speaks again.
    Back,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Event::Ring => "ring",
            Event::Remind => "remind",
            Event::Missing => "missing",
            Event::Flapping => "flapping",
            Event::Clear => "clear",
            Event::Back => "back",
        }
    }

    fn kind(self) -> ObservationKind {
        match self {
            Event::Clear | Event::Back => ObservationKind::Status,
            _ => ObservationKind::Anomaly,
        }
    }
}

/// What is wrong with a text before anything came.
pub(super) fn problems(field: &str, text: &str) -> Option<Problem> {
    Template::problem(field, text, &FIELDS, "an alarm knows no")
}

/// Who writes the texts.
#[derive(Debug)]
pub(super) struct Voice {
    /// `None` for the usual text, so that an alarm without its own holds no engine for templates.
    template: Option<Template>,
    context: Context,
    /// Which lines on texts that cannot be made the log gets.
    limit: LogLimit,
}

impl Voice {
    pub(super) fn new(text: Option<&str>, context: &Context) -> Result<Voice, Problem> {
        let template = text.map(|text| Template::new("text", text)).transpose()?;
        Ok(Voice { template, context: context.clone(), limit: LogLimit::default() })
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// An event of a series as an observation. The same event has the same id whenever it is made again.
    pub(super) fn tell(
        &self,
        rules: &Rules,
        event: Event,
        (id, watch): (SeriesId, &mut Watch),
        at: Timestamp,
    ) -> Observation {
        let series = self.context.series(id);
        let says = says(rules, event, watch, &series, at);
        let usual = || format!("{} {says}", series.source.name());
        let text = match &self.template {
            None => usual(),
            Some(template) => {
                let fields = self.fields(event, watch, &series, &says, at);
                let mut text = Vec::new();
                match template.render(&fields, &mut text) {
                    Ok(()) => String::from_utf8_lossy(&text).into_owned(),
                    Err(error) => {
                        // An alarm is told, whatever its text is worth.
                        let (node, error) = (&self.context.address, error.to_string());
                        if self.limit.admits(Some(node), &error) {
                            tracing::warn!(%node, "`text` makes nothing of `{}`: {error}", series.source);
                        }
                        usual()
                    }
                }
            }
        };
        let source: std::sync::Arc<str> = series.source.name().into();
        watch.rest.texts += 1;
        Observation {
            id: text_id(&self.context, &source, watch.rest.texts, at),
            time: at,
            author: self.context.address.clone(),
            kind: event.kind(),
            text: text.into(),
            confidence: 1.0,
            sources: vec![source.clone()],
            evidence: Evidence {
                from: watch.since().min(watch.last()),
                to: watch.last(),
                sources: vec![source],
            },
            model: None,
            rung: Rung::Rule,
        }
    }

    fn fields(
        &self,
        event: Event,
        watch: &Watch,
        series: &Series,
        says: &str,
        at: Timestamp,
    ) -> Map<String, Json> {
        let labels = series.labels.iter();
        let labels = labels.map(|(name, value)| (name.to_string(), Json::from(&**value)));
        let fields = [
            ("alarm", json!(&*self.context.address)),
            ("event", json!(event.name())),
            ("host", json!(self.context.host.name)),
            ("kind", json!(event.kind().to_string())),
            ("labels", Json::Object(labels.collect())),
            ("lasted", json!(watch.lasted(at).to_string())),
            ("says", json!(says)),
            ("source", json!(series.source.name())),
            ("time", json!(at.to_string())),
            ("unit", json!(series.unit.as_deref().unwrap_or_default())),
            // A value always serialises.
            ("value", serde_json::to_value(watch.value()).unwrap_or_default()),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What happened, in words that fit behind the source.
fn says(rules: &Rules, event: Event, watch: &Watch, series: &Series, at: Timestamp) -> String {
    let unit = series.unit.as_deref();
    let number =
        matches!(rules.level, Level::Above { .. } | Level::Below { .. } | Level::Outside { .. });
    let value = format!("{}{}", if number { "at " } else { "" }, amount(watch.value(), unit));
    let lasted = watch.lasted(at);
    match event {
        Event::Ring => {
            let hold = match rules.hold {
                hold if hold.is_zero() => String::new(),
                hold => format!(" for {hold}"),
            };
            match &rules.level {
                Level::Changed => format!("changed to {value}"),
                Level::Equals(_) | Level::Nothing => format!("is {value}{hold}"),
                level => format!("is {value}, {}{hold}", level.in_words(suffix(unit))),
            }
        }
        Event::Remind if watch.wanted().silent => {
            format!("is still silent, for {}", at.since(watch.heard()).rounded())
        }
        Event::Remind => format!("is still {value}, ringing for {lasted}"),
        Event::Missing => {
            format!("is silent for {}; it was {value}", at.since(watch.heard()).rounded())
        }
        Event::Flapping => {
            let (times, within) = rules
                .flapping
                .map_or((0, rules.hold), |flapping| (flapping.changes, flapping.within));
            format!(
                "went on and off {times} times in {within}, and is {value}; it counts as ringing until it is calm"
            )
        }
        Event::Clear => format!("is {value} again, after {lasted}"),
        Event::Back => format!("speaks again, and is {value}"),
    }
}
