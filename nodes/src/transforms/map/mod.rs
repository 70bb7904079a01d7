//! `map`: the same quantity under another name, in another unit, put right.

mod numbers;
mod rule;
mod settings;
#[cfg(test)]
mod tests;

pub use self::settings::{LabelChanges, MapConfig, Override};

use std::collections::BTreeSet;

use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, Reject, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use self::numbers::Numbers;
use self::rule::Rules;

const DROPPED: usize = 1;

impl NodeConfig for MapConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "map";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::transform().output("dropped", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let rules = Rules::new(self, context)?;
        Ok(Node::Transform(Box::new(Map { rules, series: SeriesMap::new() })))
    }
}

struct Map {
    rules: Rules,
    /// What becomes of each series, found out once.
    series: SeriesMap<Mapped>,
}

/// What becomes of the readings of a series.
#[derive(Debug, Clone)]
enum Mapped {
    /// They are of another series, or still of the same.
    To(SeriesId, Numbers),
    /// Nothing, as was said once.
    Refused,
}

impl Map {
    #[cold]
    fn find_out(&mut self, id: SeriesId, out: &mut Outputs) {
        let found = self.rules.shape(id).and_then(|shape| {
            let table = &self.rules.context().host.series;
            let to = if *table.get(id) == shape.series {
                id
            } else {
                table.intern_derived(&shape.series).map_err(|error| error.to_string())?
            };
            Ok(Mapped::To(to, shape.numbers))
        });
        let mapped = found.unwrap_or_else(|reason| {
            let origin = self.rules.context().series(id).source.name().to_owned();
            let reason = format!("its readings go to port `dropped`: {reason}");
            out.reject(Reject { reason, origin, bytes: Vec::new() });
            Mapped::Refused
        });
        self.series.insert(id, mapped);
    }
}

/// Emits a reading as one of another series.
#[inline]
fn emit(reading: &Reading, mapped: Option<&Mapped>, out: &mut Outputs) {
    if let Some(Mapped::To(series, numbers)) = mapped
        && let Some(value) = numbers.apply(&reading.value)
    {
        let Reading { time, score, count, .. } = *reading;
        if let Some(readings) = out.readings_mut(MAIN) {
            readings.push(Reading { time, value, score, series: *series, count });
        }
    } else {
        out.reading(DROPPED, reading.clone());
    }
}

impl Transform for Map {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            if self.series.get(reading.series).is_none() {
                self.find_out(reading.series, out);
            }
            emit(reading, self.series.get(reading.series), out);
        }
        Ok(())
    }

    fn prime(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.apply(now, port, batch, out)
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for id in silent.iter() {
            self.series.remove(*id);
        }
        // Several series can be brought under one name.
        let mut stay: BTreeSet<SeriesId> = silent.iter().copied().collect();
        stay.extend(self.series.iter().filter_map(|(_, one)| match one {
            Mapped::To(made, _) => Some(*made),
            Mapped::Refused => None,
        }));
        for at in 0..silent.len() {
            // Also what was made before a restart, since when nothing came.
            let Ok(shape) = self.rules.shape(silent[at]) else { continue };
            let made = self.rules.context().host.series.find(&shape.series);
            silent.extend(made.filter(|made| stay.insert(*made)));
        }
        Ok(())
    }
}
