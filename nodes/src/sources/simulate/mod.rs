//! Makes readings up: waves, walks and faults from a seed, the same at any speed.

mod config;
mod random;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::node::{Node, NodeError, Read, Source, SourceBatch};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;

pub use config::{Fault, Shape, SimulateConfig, Spikes, Wave};
use random::Dice;

impl NodeConfig for SimulateConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "simulate";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let ids = self
            .shapes()
            .into_iter()
            .filter_map(|(name, _)| smollama_engine::glob::Glob::new(&name).ok());
        Profile {
            ends: self.count.is_some() || self.span.is_some(),
            ..Profile::source(Pace::Simulated(config::EVERY))
        }
        .ids(ids)
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let every = context.every.unwrap_or(config::EVERY).as_micros().max(1);
        let mut series = Vec::new();
        for (name, shape) in self.shapes() {
            let unit = shape.unit.as_deref().unwrap_or_default();
            let id = context
                .source_series(&name, |series| series.with_unit(unit))
                .map_err(|error| Problem::at("series", error.to_string()))?;
            series.push(Simulated::new(id, Dice::new(self.seed, &name), &shape, every));
        }
        let span = self.span.map(|span| (span.as_micros().max(0) as u64).div_ceil(every as u64));
        let limit = self.count.unwrap_or(u64::MAX).min(span.unwrap_or(u64::MAX));
        let generation = context.host.series.generation();
        let context = context.clone();
        Ok(Node::Source(Box::new(Simulate { series, sample: 0, limit, context, generation })))
    }
}

struct Simulate {
    series: Vec<Simulated>,
    /// The number of the sample to come.
    sample: u64,
    limit: u64,
    context: Context,
    generation: u64,
}

impl Simulate {
    /// Series that dropped out for very long may have given their slots back.
    fn refresh(&mut self) {
        let table = &self.context.host.series;
        if table.generation() != self.generation {
            self.generation = table.generation();
            for one in self.series.iter_mut().filter(|one| !table.is_live(one.id)) {
                one.id = self.context.renewed_series(one.id).unwrap_or(one.id);
            }
        }
    }
}

#[async_trait]
impl Source for Simulate {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        if self.sample >= self.limit {
            return Ok(Read::Finished);
        }
        let sample = self.sample;
        self.sample += 1;
        self.refresh();
        let values = self.series.iter_mut().filter_map(|one| Some((one.id, one.value(sample)?)));
        let readings = values.map(|(id, value)| Reading::new(now, id, value)).collect();
        Ok(Read::Batch(SourceBatch::readings(readings)))
    }
}

/// One series: what is asked of it in samples, and where it stands.
struct Simulated {
    id: SeriesId,
    dice: Dice,
    shape: Shape,
    /// Microseconds from one sample to the next.
    every: i64,
    walk: f64,
    last: Option<f64>,
    spikes: Due,
    dropouts: Due,
    stuck: Due,
}

/// When a fault strikes, in samples.
struct Due {
    every: Option<u64>,
    probability: f64,
    length: u64,
    until: u64,
}

impl Due {
    fn new(fault: Option<&Fault>, every: i64) -> Due {
        let samples = |span: i64| (span as u64).div_ceil(every as u64).max(1);
        Due {
            every: fault.and_then(|it| it.every).map(|span| samples(span.as_micros())),
            probability: fault.map_or(0.0, |it| it.probability),
            length: fault.and_then(|it| it.span).map_or(1, |span| samples(span.as_micros())),
            until: 0,
        }
    }

    /// Whether the fault holds at a sample; `chance` is a number from 0 to 1 of that sample.
    fn holds(&mut self, sample: u64, chance: f64) -> bool {
        let due = self.every.is_some_and(|every| sample > 0 && sample.is_multiple_of(every));
        if due || chance < self.probability {
            self.until = sample.saturating_add(self.length);
        }
        sample < self.until
    }
}

impl Simulated {
    fn new(id: SeriesId, dice: Dice, shape: &Shape, every: i64) -> Simulated {
        let spikes = shape.spikes.as_ref().map(|spikes| Fault {
            every: spikes.every,
            probability: spikes.probability,
            span: None,
        });
        Simulated {
            id,
            dice,
            every,
            walk: shape.base(),
            last: None,
            spikes: Due::new(spikes.as_ref(), every),
            dropouts: Due::new(shape.dropouts.as_ref(), every),
            stuck: Due::new(shape.stuck.as_ref(), every),
            shape: shape.clone(),
        }
    }

    /// The value of a sample; `None` where the sensor dropped out. Samples come in order.
    fn value(&mut self, sample: u64) -> Option<Value> {
        let mut value = self.wave(sample);
        value += self.shape.noise.unwrap_or(0.0) * self.dice.normal(sample, random::NOISE);
        if self.spikes.holds(sample, self.dice.chance(sample, random::SPIKES)) {
            value += self.shape.spikes.as_ref().map_or(0.0, |spikes| spikes.size);
        }
        value = self.shape.clamp(value);
        let stuck = self.stuck.holds(sample, self.dice.chance(sample, random::STUCK));
        if let Some(last) = self.last.filter(|_| stuck) {
            value = last;
        }
        self.last = Some(value);
        if self.dropouts.holds(sample, self.dice.chance(sample, random::DROPOUTS)) {
            return None;
        }
        self.shape.rounded(value)
    }

    /// The value without noise and faults.
    fn wave(&mut self, sample: u64) -> f64 {
        let (base, amplitude) = (self.shape.base(), self.shape.amplitude.unwrap_or(1.0));
        match self.shape.wave() {
            Wave::Constant => base,
            Wave::Sine => base + amplitude * (self.turns(sample) * std::f64::consts::TAU).sin(),
            Wave::Square if self.turns(sample) < 0.5 => base + amplitude,
            Wave::Square => base - amplitude,
            // A day has its minimum at four in the morning and its maximum at four in the afternoon.
            Wave::Daily => {
                let turns = self.turns(sample) - 4.0 / 24.0;
                base - amplitude * (turns * std::f64::consts::TAU).cos()
            }
            Wave::RandomWalk => {
                if sample > 0 {
                    let step = self.shape.step.unwrap_or(0.1);
                    self.walk += step * self.dice.normal(sample, random::WALK);
                    self.walk = self.shape.reflect(self.walk);
                }
                self.walk
            }
        }
    }

    /// How much of the period is over at a sample, from 0 to 1.
    fn turns(&self, sample: u64) -> f64 {
        let period = i128::from(self.shape.period().as_micros().max(1));
        let phase = self.shape.phase.unwrap_or_default().as_micros();
        let at = i128::from(sample) * i128::from(self.every) + i128::from(phase);
        at.rem_euclid(period) as f64 / period as f64
    }
}

#[cfg(test)]
mod tests;
