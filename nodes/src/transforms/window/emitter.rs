//! What `window` puts on its ports.

use std::sync::Arc;

use smollama_engine::context::Context;
use smollama_engine::node::{MAIN, Outputs, Reject};
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Statistic, Summary, Window};

use super::VALUES;

/// Emits windows, and their figures as readings where somebody reads them.
#[derive(Debug)]
pub(super) struct Emitter {
    context: Context,
    statistics: Vec<Statistic>,
    /// The series made from each series, one per statistic; `None` where the host holds too many.
    derived: SeriesMap<Box<[Option<SeriesId>]>>,
}

impl Emitter {
    pub(super) fn new(context: Context, statistics: &OneOrMany<Statistic>) -> Emitter {
        let mut chosen = Vec::new();
        for one in statistics.iter() {
            if !chosen.contains(one) {
                chosen.push(*one);
            }
        }
        if chosen.is_empty() {
            chosen.push(Statistic::Mean);
        }
        Emitter { context, statistics: chosen, derived: SeriesMap::new() }
    }

    /// What a series is: by this, and not by numbers, what comes at one instant is put in order.
    pub(super) fn series(&self, id: SeriesId) -> Arc<Series> {
        self.context.series(id)
    }

    pub(super) fn window(
        &mut self,
        (start, end): (Timestamp, Timestamp),
        cause: Cause,
        summaries: Vec<Summary>,
        out: &mut Outputs,
    ) {
        if out.wants(VALUES) {
            for summary in &summaries {
                self.values(end, summary, out);
            }
        }
        out.window(MAIN, Window { start, end, cause, summaries });
    }

    fn values(&mut self, time: Timestamp, summary: &Summary, out: &mut Outputs) {
        if self.derived.get(summary.series).is_none() {
            let derived = self.derive(summary.series, out);
            self.derived.insert(summary.series, derived);
        }
        let Some(derived) = self.derived.get(summary.series) else { return };
        for (which, series) in self.statistics.iter().zip(derived) {
            if let (Some(series), Some(value)) = (series, summary.statistic(*which)) {
                out.reading(VALUES, Reading::new(time, *series, value));
            }
        }
    }

    #[cold]
    fn derive(&self, input: SeriesId, out: &mut Outputs) -> Box<[Option<SeriesId>]> {
        let derive = |which: &Statistic| {
            let made = self.context.derived_series(input, |mut series| {
                if *which == Statistic::Count {
                    series.unit = None;
                }
                series.with_label("stat", which.as_str())
            });
            made.map_err(|error| {
                let source = self.context.series(input).source.clone();
                out.reject(Reject {
                    reason: format!("no `{}` of `{source}`: {error}", which.as_str()),
                    origin: self.context.address.to_string(),
                    bytes: source.name().as_bytes().to_vec(),
                });
            })
            .ok()
        };
        self.statistics.iter().map(derive).collect()
    }
}
