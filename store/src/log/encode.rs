//! Events and batches as bytes.

use std::sync::Arc;

use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::Host;
use smollama_engine::node::Position;
use smollama_engine::observation::{Observation, ObservationKind, Rung};
use smollama_engine::reading::Reading;
use smollama_engine::run::Event;
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Window};

use super::dictionary::{Extent, Written};
use super::values::Doubles;
use super::wire;

/// What a record is: the low bits of its first byte.
pub(super) mod tag {
    pub(in super::super) const READINGS: u8 = 0;
    pub(in super::super) const WINDOWS: u8 = 1;
    pub(in super::super) const OBSERVATIONS: u8 = 2;
    pub(in super::super) const TICK: u8 = 3;
    pub(in super::super) const CONFIRMED: u8 = 4;
    pub(in super::super) const TAKEN: u8 = 5;
    pub(in super::super) const CUT: u8 = 6;
    pub(in super::super) const RESUMED: u8 = 7;
    pub(in super::super) const MASK: u8 = 7;
    /// With [`MORE`]: series that gave their slots back.
    pub(in super::super) const FORGOTTEN: u8 = 0;
    /// The low bits are those of further kinds. Format 2.
    pub(in super::super) const MORE: u8 = 64;
    /// A position follows.
    pub(in super::super) const POSITION: u8 = 8;
    /// It was received when it took effect.
    pub(in super::super) const RECEIVED_NOW: u8 = 16;
    /// There is one item.
    pub(in super::super) const ONE: u8 = 32;
    /// The items are last values, and no readings. Format 3.
    pub(in super::super) const RETAINED: u8 = 128;
}

/// What a reading has, beside the kind of its value in the low bits.
pub(super) mod flag {
    pub(in super::super) const KIND: u8 = 15;
    /// It was scored.
    pub(in super::super) const SCORE: u8 = 16;
    /// It stands for more than itself.
    pub(in super::super) const COUNT: u8 = 32;
    /// Its time is that of the one before it.
    pub(in super::super) const SAME_TIME: u8 = 64;
    /// Its series is the one after that of the one before it.
    pub(in super::super) const NEXT_SERIES: u8 = 128;
}

/// What a record leans on: what the one before it said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) now: i64,
    /// The number of the series in the dictionary.
    pub(super) series: u32,
    pub(super) seq: u64,
    pub(super) end: u64,
}

/// Writes the records of a segment.
#[derive(Debug)]
pub(super) struct Encoder {
    host: Arc<Host>,
    dictionary: Written,
    before: Before,
    doubles: Doubles,
}

/// What to go back to when a record is not written after all.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncoderMark(Extent, Before);

impl Encoder {
    pub(super) fn new(host: Arc<Host>) -> Encoder {
        Encoder {
            host,
            dictionary: Written::default(),
            before: Before::default(),
            doubles: Doubles::default(),
        }
    }

    /// Another segment begins.
    pub(super) fn begin_segment(&mut self) {
        self.dictionary = Written::default();
        self.before = Before::default();
    }

    /// The next record leans on nothing but the dictionary.
    pub(super) fn stand_alone(&mut self) {
        self.before = Before::default();
    }

    pub(super) fn mark(&self) -> EncoderMark {
        EncoderMark(self.dictionary.extent(), self.before)
    }

    pub(super) fn go_back(&mut self, EncoderMark(extent, before): EncoderMark) {
        self.dictionary.shrink_to(extent);
        self.before = before;
    }

    /// Appends an event that takes effect at a time.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, now: Timestamp, event: &Event) {
        let at = out.len();
        out.push(0);
        self.time(out, now);
        out[at] = match event {
            Event::Items { source, received, items, position, retained } => {
                self.dictionary.put_shared(out, source);
                let mut tag = tag_of(items) | if *retained { tag::RETAINED } else { 0 };
                tag |= received_tag(out, *received, now);
                if let Some(position) = position {
                    tag |= tag::POSITION;
                    self.position(out, position);
                }
                self.items(out, items, *received);
                tag
            }
            Event::Tick { node } => {
                self.dictionary.put_shared(out, node);
                tag::TICK
            }
            Event::Forgotten { source, series } => {
                self.dictionary.put_shared(out, source);
                wire::put(out, series.len() as u64);
                for id in series {
                    self.dictionary.put_series(out, *id, &self.host.series);
                }
                tag::MORE | tag::FORGOTTEN
            }
            Event::Confirmed { stream, end } | Event::Resumed { stream, end } => {
                out.extend_from_slice(stream.as_bytes());
                wire::put(out, *end);
                if matches!(event, Event::Confirmed { .. }) { tag::CONFIRMED } else { tag::RESUMED }
            }
            Event::Cut { node, seq } => {
                self.dictionary.put_shared(out, node);
                wire::put(out, *seq);
                tag::CUT
            }
        };
    }

    /// Appends a batch.
    pub(super) fn batch(&mut self, out: &mut Vec<u8>, batch: &Batch) {
        out.push(tag_of(&batch.items));
        self.time(out, batch.received);
        wire::put_signed(out, batch.seq.wrapping_sub(self.before.seq).cast_signed());
        wire::put_signed(out, batch.end.wrapping_sub(self.before.end).cast_signed());
        self.before.seq = batch.seq;
        self.before.end = batch.end;
        self.items(out, &batch.items, batch.received);
    }

    /// Appends some numbers that only the owner of the log understands.
    pub(super) fn taken(&mut self, out: &mut Vec<u8>, numbers: &[u64]) {
        out.push(tag::TAKEN);
        numbers.iter().for_each(|number| wire::put(out, *number));
    }

    #[inline]
    fn time(&mut self, out: &mut Vec<u8>, now: Timestamp) {
        put_time(out, now, self.before.now);
        self.before.now = now.as_micros();
    }

    fn position(&mut self, out: &mut Vec<u8>, position: &Position) {
        self.dictionary.put_str(out, &position.part);
        wire::put(out, position.offset);
        wire::put(out, position.line);
    }

    #[inline]
    fn items(&mut self, out: &mut Vec<u8>, items: &Items, received: Timestamp) {
        if items.len() != 1 {
            wire::put(out, items.len() as u64);
        }
        match items {
            Items::Readings(readings) => {
                let mut time = received;
                for reading in readings {
                    self.reading(out, reading, time);
                    time = reading.time;
                }
            }
            Items::Windows(windows) => windows.iter().for_each(|one| self.window(out, one)),
            Items::Observations(all) => all.iter().for_each(|one| self.observation(out, one)),
        }
    }

    #[inline]
    fn reading(&mut self, out: &mut Vec<u8>, reading: &Reading, before: Timestamp) {
        let at = out.len();
        out.push(0);
        let mut flags = 0;
        let next = self.before.series.wrapping_add(1);
        if self.dictionary.series(reading.series) == Some(next) {
            flags |= flag::NEXT_SERIES;
            self.before.series = next;
        } else {
            let number = self.dictionary.put_series(out, reading.series, &self.host.series);
            self.before.series = number;
        }
        if reading.time == before {
            flags |= flag::SAME_TIME;
        } else {
            put_time(out, reading.time, before.as_micros());
        }
        flags |= self.doubles.put_value(out, &reading.value);
        // The NaN that stands for "not scored" is left out; another one is kept as it is.
        if reading.score.to_bits() != f64::NAN.to_bits() {
            flags |= flag::SCORE;
            self.doubles.put_whole(out, reading.score);
        }
        if reading.count != 1 {
            flags |= flag::COUNT;
            wire::put(out, u64::from(reading.count));
        }
        out[at] = flags;
    }

    fn window(&mut self, out: &mut Vec<u8>, window: &Window) {
        put_time(out, window.start, self.before.now);
        put_time(out, window.end, window.start.as_micros());
        out.push(match window.cause {
            Cause::Heartbeat => 0,
            Cause::Urgent => 1,
            Cause::Time => 2,
            Cause::Count => 3,
            Cause::Session => 4,
            Cause::End => 5,
        });
        wire::put(out, window.summaries.len() as u64);
        for summary in &window.summaries {
            self.dictionary.put_series(out, summary.series, &self.host.series);
            wire::put(out, summary.count);
            for figure in [summary.min, summary.max, summary.mean, summary.stddev, summary.score] {
                self.doubles.put_whole(out, figure);
            }
            for value in [&summary.first, &summary.last] {
                let at = out.len();
                out.push(0);
                out[at] = self.doubles.put_value(out, value);
            }
        }
    }

    fn observation(&mut self, out: &mut Vec<u8>, observation: &Observation) {
        out.extend_from_slice(observation.id.as_bytes());
        put_time(out, observation.time, self.before.now);
        self.dictionary.put_shared(out, &observation.author);
        out.push(match observation.kind {
            ObservationKind::Pattern => 0,
            ObservationKind::Anomaly => 1,
            ObservationKind::Status => 2,
            ObservationKind::General => 3,
            ObservationKind::Summary => 4,
            ObservationKind::Fact => 5,
        });
        out.push(match observation.rung {
            Rung::LocalModel => 0,
            Rung::RemoteModel => 1,
            Rung::Statistics => 2,
            Rung::Rule => 3,
        });
        wire::put_bytes(out, observation.text.as_bytes());
        self.doubles.put_whole(out, observation.confidence);
        self.texts(out, &observation.sources);
        put_time(out, observation.evidence.from, observation.time.as_micros());
        put_time(out, observation.evidence.to, observation.time.as_micros());
        self.texts(out, &observation.evidence.sources);
        out.push(u8::from(observation.model.is_some()));
        if let Some(model) = &observation.model {
            self.dictionary.put_shared(out, model);
        }
    }

    fn texts(&mut self, out: &mut Vec<u8>, texts: &[Arc<str>]) {
        wire::put(out, texts.len() as u64);
        texts.iter().for_each(|text| self.dictionary.put_shared(out, text));
    }
}

/// Times may be as far apart as there are: what does not fit wraps around, here and when it is read.
#[inline]
fn put_time(out: &mut Vec<u8>, time: Timestamp, before: i64) {
    wire::put_signed(out, time.as_micros().wrapping_sub(before));
}

fn received_tag(out: &mut Vec<u8>, received: Timestamp, now: Timestamp) -> u8 {
    if received == now {
        return tag::RECEIVED_NOW;
    }
    put_time(out, received, now.as_micros());
    0
}

fn tag_of(items: &Items) -> u8 {
    let kind = match items.kind() {
        ItemKind::Readings => tag::READINGS,
        ItemKind::Windows => tag::WINDOWS,
        ItemKind::Observations => tag::OBSERVATIONS,
    };
    kind | if items.len() == 1 { tag::ONE } else { 0 }
}
