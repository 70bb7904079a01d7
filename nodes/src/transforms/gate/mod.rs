//! `gate`: lets items through while something else is so.

mod settings;
mod signal;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::Context;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{
    Carries, InputPort, NodeConfig, OutputPort, Problem, Profile, Section,
};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

pub use self::settings::{GateConfig, Needs, Unknown};
use self::signal::{Rules, Signal};

/// The input port whose values open and close.
const GATE: usize = 1;
const DROPPED: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;

impl NodeConfig for GateConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "gate";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile {
            inputs: vec![
                InputPort::main(&ItemKind::ALL),
                InputPort { name: "gate", accepts: vec![ItemKind::Readings] },
            ],
            outputs: vec![OutputPort { name: "main".into(), carries: Carries::AsInput }],
            stateful: true,
            ..Profile::default()
        }
        .output("dropped", Carries::AsInput)
        .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, _: &Context) -> Result<Node, Problem> {
        let mut gate = Gate {
            rules: Rules::new(self),
            all: self.needs == Needs::All,
            signals: SeriesMap::new(),
            agenda: BTreeSet::new(),
            known: 0,
            open: 0,
            passes: false,
            until: Timestamp::MAX,
        };
        gate.sum_up();
        Ok(Node::Transform(Box::new(gate)))
    }
}

struct Gate {
    rules: Rules,
    /// Whether each series must hold it open, and not only one.
    all: bool,
    signals: SeriesMap<Signal>,
    /// When which series changes without a reading: an entry for each that has one [queued](Signal::queued). Where that moves back, as
    /// staleness does with every reading, the entry stays, and moves when it is its turn.
    agenda: BTreeSet<(Timestamp, SeriesId)>,
    /// How many series are not stale, and how many of these hold it open.
    known: usize,
    open: usize,
    /// Whether items pass, and until when that is known.
    passes: bool,
    until: Timestamp,
}

impl Gate {
    /// Takes a reading of port `gate`, which takes effect at `clock`.
    fn hear(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        match self.signals.get_mut(reading.series) {
            Some(signal) if reading.time < signal.last() => {
                out.reading(LATE, reading.clone());
                return;
            }
            Some(signal) => signal.hear(&self.rules, reading, clock),
            None => {
                let signal = Signal::new(&self.rules, reading, clock);
                self.signals.insert(reading.series, signal);
            }
        }
        self.look(reading.series, clock);
    }

    /// Notes how a series stands, and when it changes next.
    fn look(&mut self, id: SeriesId, clock: Timestamp) {
        let Gate { rules, signals, agenda, known, open, .. } = self;
        let Some(signal) = signals.get_mut(id) else { return };
        let (before, after) = (signal.standing, signal.standing_at(rules, clock));
        *known = *known + usize::from(after.known) - usize::from(before.known);
        *open = *open + usize::from(after.open) - usize::from(before.open);
        signal.standing = after;
        let Some(due) = signal.due(rules, clock) else { return };
        if signal.queued.is_none_or(|queued| due < queued) {
            if let Some(queued) = signal.queued.replace(due) {
                agenda.remove(&(queued, id));
            }
            agenda.insert((due, id));
        }
    }

    /// Lets pass what time alone changes.
    #[cold]
    fn advance(&mut self, clock: Timestamp) {
        while let Some((_, id)) = self.agenda.first().copied().filter(|(due, _)| *due <= clock) {
            self.agenda.pop_first();
            if let Some(signal) = self.signals.get_mut(id) {
                signal.queued = None;
            }
            self.look(id, clock);
        }
        self.sum_up();
    }

    fn sum_up(&mut self) {
        self.passes = match self.known {
            0 => self.rules.unknown_is_open,
            known if self.all => self.open == known,
            _ => self.open > 0,
        };
        self.until = self.agenda.first().map_or(Timestamp::MAX, |(due, _)| *due);
    }

    /// Where an item goes that takes effect at `clock`.
    #[inline]
    fn port(&mut self, clock: Timestamp) -> usize {
        if clock >= self.until {
            self.advance(clock);
        }
        if self.passes { MAIN } else { DROPPED }
    }

    /// Drops what is kept of a series.
    fn remove(&mut self, id: SeriesId) {
        let Some(signal) = self.signals.remove(id) else { return };
        self.known -= usize::from(signal.standing.known);
        self.open -= usize::from(signal.standing.open);
        if let Some(queued) = signal.queued {
            self.agenda.remove(&(queued, id));
        }
    }
}

impl Transform for Gate {
    fn apply(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let mut clock = now;
        if port == GATE {
            for reading in batch.readings() {
                clock = clock.max(reading.time);
                self.hear(reading, clock, out);
            }
            self.sum_up();
            return Ok(());
        }
        if let Items::Readings(readings) = &batch.items {
            for reading in readings {
                clock = clock.max(reading.time);
                out.pass(self.port(clock), reading);
            }
            return Ok(());
        }
        for index in 0..batch.items.len() {
            clock = batch.items.time(index).map_or(clock, |time| clock.max(time));
            out.copy(self.port(clock), &batch.items, index);
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
        if port != GATE {
            return self.apply(now, port, batch, out);
        }
        for reading in batch.readings() {
            if self.signals.get(reading.series).is_none() {
                // Readings from before may still come.
                let value = Reading { time: Timestamp::MIN, ..reading.clone() };
                self.signals.insert(reading.series, Signal::new(&self.rules, &value, now));
                self.look(reading.series, now);
            }
        }
        self.sum_up();
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        silent.iter().for_each(|id| self.remove(*id));
        self.sum_up();
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.signals, &())
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (signals, ()) = state.read_series::<Signal, ()>(STATE_VERSION)?;
        self.signals = signals;
        self.agenda.clear();
        (self.known, self.open) = (0, 0);
        let ids: Vec<SeriesId> = self.signals.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(signal) = self.signals.get_mut(id) else { continue };
            signal.judge_anew(&self.rules);
            let heard = signal.heard();
            self.look(id, heard);
        }
        self.sum_up();
        Ok(())
    }
}
