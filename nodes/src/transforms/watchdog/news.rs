//! What is told on port `news`.

use smollama_engine::context::Context;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Value;
use smollama_engine::series::{Series, SeriesId};
use smollama_engine::time::Timestamp;

use super::guard::{Fault, Guard};
use super::settings::Rule;
use crate::transforms::amount::{amount, suffix};
use crate::transforms::text_id::text_id;

/// That something has begun, or is over, as an observation. The same event has the same id whenever it is made again.
pub(super) fn tell(
    context: &Context,
    rule: &Rule,
    fault: Fault,
    (id, one): (SeriesId, &mut Guard),
    at: Timestamp,
) -> Observation {
    let series = context.series(id);
    let begins = one.faults.has(fault);
    let says =
        if begins { begun(rule, fault, one, &series, at) } else { over(fault, one, &series) };
    one.latest = one.latest.max(at);
    one.texts += 1;
    let source: std::sync::Arc<str> = series.source.name().into();
    Observation {
        id: text_id(context, &source, one.texts, one.latest),
        time: one.latest,
        author: context.address.clone(),
        kind: if begins { ObservationKind::Anomaly } else { ObservationKind::Status },
        text: format!("{source} {says}").into(),
        confidence: 1.0,
        sources: vec![source.clone()],
        evidence: Evidence { from: one.since.min(one.last), to: one.last, sources: vec![source] },
        model: None,
        rung: Rung::Rule,
    }
}

/// What has begun, in words that fit behind the source.
fn begun(rule: &Rule, fault: Fault, one: &Guard, series: &Series, at: Timestamp) -> String {
    let unit = series.unit.as_deref();
    let value = amount(&one.value, unit);
    match fault {
        Fault::Silent => {
            format!("is silent for {}; it was {value}", at.since(one.heard).rounded())
        }
        Fault::Stuck => {
            format!("is stuck: it has been {value} for {}", one.last.since(one.since).rounded())
        }
        Fault::Jump => {
            let number = |number: Option<f64>| amount(&Value::Float(number.unwrap_or(0.0)), unit);
            let (from, jump) = (number(one.believed), number(rule.jump));
            format!("jumped from {from} to {value}, further than {jump}")
        }
        Fault::Impossible => {
            let range = rule.possible.unwrap_or_default();
            let end = |end: Option<f64>, word: &str| {
                end.map(|end| format!("{word} {end}{}", suffix(unit)))
            };
            let number = one.value.as_f64().unwrap_or(0.0);
            let below = range.min.filter(|min| number < *min);
            let bound = end(below, "below").or_else(|| end(range.max, "above"));
            format!("is impossible: {value}, {}", bound.unwrap_or_default())
        }
    }
}

/// What is over.
fn over(fault: Fault, one: &Guard, series: &Series) -> String {
    let unit = series.unit.as_deref();
    let value = amount(&one.value, unit);
    match fault {
        Fault::Silent => format!("speaks again, and is {value}"),
        Fault::Stuck => format!("moves again, and is {value}"),
        Fault::Jump | Fault::Impossible => format!("can be believed again, and is {value}"),
    }
}
