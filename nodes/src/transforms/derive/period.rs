//! What says something of each series once a period: times in a state, and counts.

use smollama_engine::batch::Batch;
use smollama_engine::condition::Predicate;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use super::memory::Memory;
use super::settings::DeriveConfig;
use super::{DROPPED, Derived, LATE, Rules};
use crate::transforms::made::Made;
use crate::transforms::window::spans::{Holding, Spans};

/// What says something once a period.
pub(super) struct PerPeriod {
    rules: Rules,
    /// What is asked of a value; a count asks for nothing.
    asked: Option<Predicate>,
    max_gap: Option<Duration>,
    lead: Duration,
    spans: Spans,
    /// Kept so that looking for spans allocates nothing.
    holding: Holding,
    /// The period that goes on, once there is something to say of it.
    open: Option<(Timestamp, Timestamp)>,
    series: SeriesMap<Derived>,
}

impl PerPeriod {
    pub(super) fn new(config: &DeriveConfig, period: Duration, rules: Rules) -> PerPeriod {
        let (asked, host) = (config.time_in.is_some(), &rules.context.host);
        PerPeriod {
            asked: asked.then(|| Predicate::new(&config.condition(), host)),
            max_gap: config.max_gap,
            lead: period.mul_f64(0.5),
            spans: Spans::new(period, period, None, &host.timezone),
            holding: Holding::default(),
            open: None,
            series: SeriesMap::new(),
            rules,
        }
    }

    /// The period that holds an instant.
    fn period(&mut self, time: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let found = self.spans.find(time, &mut self.holding);
        self.holding.spans.first().copied().filter(|_| found)
    }

    /// Tells of the period that is over at an instant, if one is.
    fn turn(&mut self, now: Timestamp, out: &mut Outputs) {
        let Some((_, end)) = self.open.filter(|(_, end)| *end <= now) else { return };
        let mut ids: Vec<SeriesId> = self.series.iter().map(|(id, _)| id).collect();
        ids.sort_by_cached_key(|id| self.rules.context.series(*id));
        ids.into_iter().for_each(|id| self.tell(id, end, out));
        // Periods in between are those in which the host was away: of them nothing is known.
        self.open = if self.series.is_empty() { None } else { self.period(now) };
        if let Some((start, _)) = self.open.filter(|(start, _)| *start > end) {
            for (_, one) in self.series.iter_mut() {
                one.memory.hold_until(start, None);
                one.memory.take_period();
            }
        }
    }

    /// Tells of one series what there is of the period so far.
    fn tell(&mut self, id: SeriesId, at: Timestamp, out: &mut Outputs) {
        let PerPeriod { rules, series, max_gap, .. } = self;
        let Some(one) = series.get_mut(id) else { return };
        one.memory.hold_until(at, *max_gap);
        if let Some(value) = one.memory.take_period() {
            rules.emit(&mut one.fixed, id, at, value, out);
        }
    }

    fn take(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        self.turn(clock, out);
        if self.open.is_none() {
            self.open = self.period(clock);
        }
        let id = reading.series;
        let PerPeriod { rules, asked, max_gap, open, series, .. } = self;
        let last = series.get(id).map(|one| one.last);
        let early = open.is_none_or(|(start, _)| reading.time < start);
        if early || last.is_some_and(|last| reading.time < last) {
            out.reading(LATE, reading.clone());
            return;
        }
        let one = series.get_or_insert_with(id, || Derived {
            last: reading.time,
            memory: Memory::new(rules.kind, reading.time, &reading.value),
            fixed: rules.first(id, out),
        });
        if one.fixed.made == Made::Refused {
            out.reading(DROPPED, reading.clone());
            return;
        }
        one.last = reading.time;
        one.memory.hold_until(reading.time, *max_gap);
        match &mut one.memory {
            Memory::Held { is, told, .. } => {
                *is = asked.as_mut().is_some_and(|asked| asked.reading(reading));
                *told = reading.time;
            }
            Memory::Count(count) => *count = count.saturating_add(u64::from(reading.count)),
            _ => {}
        }
    }
}

impl Transform for PerPeriod {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let mut clock = now;
        for reading in batch.readings() {
            clock = clock.max(reading.time);
            self.take(reading, clock, out);
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.open.map(|(_, end)| end)
    }

    fn tick_lead(&self) -> Option<Duration> {
        // A reading behind the end of a period turns to the next as a tick does. Of readings that lie no further apart than half a
        // period, one does so at most, also where days are an hour shorter.
        Some(self.lead)
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.turn(now, out);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        let open = self.open;
        let all = self.series.iter().map(|(id, one)| (one.so_far(open), id));
        let mut ids: Vec<(Timestamp, SeriesId)> = all.collect();
        ids.sort_by_cached_key(|(last, id)| (*last, self.rules.context.series(*id)));
        ids.into_iter().for_each(|(last, id)| self.tell(id, last, out));
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for id in silent.iter() {
            if let Some(last) = self.series.get(*id).map(|one| one.so_far(self.open)) {
                self.tell(*id, last, out);
            }
            if let Some(asked) = &mut self.asked {
                asked.forget(&[*id]);
            }
        }
        self.rules.forget(&mut self.series, silent);
        if self.series.is_empty() {
            self.open = None;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        self.rules.snapshot(&self.series, self.open)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (series, rest) = self.rules.restored(state)?;
        self.series = series;
        // The period of now that holds what was told last.
        self.open = rest.open.and_then(|(start, _)| self.period(start));
        Ok(())
    }
}
