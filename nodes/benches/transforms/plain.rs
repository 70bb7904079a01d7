//! A transform written as a loop over numbers, with no engine around it.

use std::fmt::Debug;

use smollama_engine::batch::Items;
use smollama_engine::context::Context;
use smollama_engine::reading::Reading;
use smollama_engine::window::{Summary, Window};

/// A plain loop: one input, one output, numbers in order of time, the settings of the benchmark and no others.
pub(crate) trait Plain {
    /// What it emits.
    type Emits: Item;
    /// With nothing seen yet.
    fn new(context: &Context) -> Self;
    /// Takes readings and emits what follows from them.
    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Self::Emits>);
    /// Takes a reading of the second input port, where there is one.
    fn control(&mut self, reading: &Reading) {
        let _ = reading;
    }
    /// Emits what is still held.
    fn finish(&mut self, out: &mut Vec<Self::Emits>) {
        let _ = out;
    }
}

/// What a transform emits, and how two of them are compared: to the last bit, NaN being equal to itself.
pub(crate) trait Item: Clone + Debug + Sized {
    /// Those of a batch.
    fn of(items: &Items) -> &[Self];
    /// Whether another is the same.
    fn same(&self, other: &Self) -> bool;
}

impl Item for Reading {
    fn of(items: &Items) -> &[Reading] {
        match items {
            Items::Readings(readings) => readings,
            _ => &[],
        }
    }

    fn same(&self, other: &Reading) -> bool {
        let key = |one: &Reading| (one.time, one.series, one.count, one.score.to_bits());
        key(self) == key(other) && self.value == other.value
    }
}

impl Item for Window {
    fn of(items: &Items) -> &[Window] {
        match items {
            Items::Windows(windows) => windows,
            _ => &[],
        }
    }

    fn same(&self, other: &Window) -> bool {
        (self.start, self.end, self.cause) == (other.start, other.end, other.cause)
            && self.summaries.len() == other.summaries.len()
            && self.summaries.iter().zip(&other.summaries).all(|(one, other)| same(one, other))
    }
}

fn same(one: &Summary, other: &Summary) -> bool {
    let numbers =
        |one: &Summary| [one.min, one.max, one.mean, one.stddev, one.score].map(f64::to_bits);
    (one.series, one.count) == (other.series, other.count)
        && numbers(one) == numbers(other)
        && (&one.first, &one.last) == (&other.first, &other.last)
}
