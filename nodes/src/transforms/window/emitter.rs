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
    /// Windows of settings of before that could not be gone on with; they come first of all.
    left: Vec<Window>,
    /// When they may come.
    left_due: Timestamp,
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
        Emitter {
            context,
            statistics: chosen,
            derived: SeriesMap::new(),
            left: Vec::new(),
            left_due: Timestamp::MAX,
        }
    }

    /// Takes windows that are to come before all others, at a time or with the next reading.
    pub(super) fn leave(&mut self, left: Vec<Window>, due: Timestamp) {
        (self.left, self.left_due) = (left, due);
    }

    /// The windows that are to come before all others.
    pub(super) fn left(&self) -> &[Window] {
        &self.left
    }

    /// When they may come.
    pub(super) fn left_due(&self) -> Option<Timestamp> {
        (!self.left.is_empty()).then_some(self.left_due)
    }

    /// Emits them.
    #[inline]
    pub(super) fn emit_left(&mut self, out: &mut Outputs) {
        for Window { start, end, cause, summaries } in std::mem::take(&mut self.left) {
            self.window((start, end), cause, summaries, out);
        }
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

    /// Forgets the series that were made from others, and puts them behind those, as far as they exist.
    pub(super) fn forget(&mut self, silent: &mut Vec<SeriesId>) {
        for at in 0..silent.len() {
            let input = silent[at];
            self.derived.remove(input);
            // Also those made before a restart, which this node has not needed since.
            let known = self.statistics.iter().filter_map(|which| {
                self.context.known_derived_series(input, |series| described(*which, series))
            });
            silent.extend(known);
        }
    }

    #[cold]
    fn derive(&self, input: SeriesId, out: &mut Outputs) -> Box<[Option<SeriesId>]> {
        let derive = |which: &Statistic| {
            let made = self.context.derived_series(input, |series| described(*which, series));
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

/// The series of a figure of another one.
fn described(which: Statistic, mut series: Series) -> Series {
    if which == Statistic::Count {
        series.unit = None;
    }
    series.with_label("stat", which.as_str())
}
