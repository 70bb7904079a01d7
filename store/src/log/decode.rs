//! Events and batches from bytes. Any bytes may come: what was not written like this is `None`, never a panic.

use std::sync::Arc;

use smollama_engine::batch::{Batch, Items};
use smollama_engine::context::Host;
use smollama_engine::node::Position;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Reading;
use smollama_engine::run::Event;
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Summary, Window};
use uuid::Uuid;

use super::dictionary::Known;
use super::encode::{Before, flag, tag};
use super::values;
use super::wire::Wire;

/// Reads the records of a segment, one after the other.
#[derive(Debug)]
pub(super) struct Decoder {
    host: Arc<Host>,
    dictionary: Known,
    before: Before,
    skipped: u64,
}

/// A record of a spool.
#[derive(Debug)]
pub(super) enum Spooled {
    /// Items that wait.
    Batch(Batch),
    /// Numbers that the spool wrote for itself.
    Taken(Vec<u64>),
}

impl Decoder {
    pub(super) fn new(host: Arc<Host>) -> Decoder {
        Decoder { host, dictionary: Known::default(), before: Before::default(), skipped: 0 }
    }

    /// A segment of so many bytes begins.
    pub(super) fn begin_segment(&mut self, bytes: u64) {
        self.dictionary = Known::new(bytes);
        self.before = Before::default();
    }

    /// The next record leans on nothing but the dictionary.
    pub(super) fn stand_alone(&mut self) {
        self.before = Before::default();
    }

    /// How many items were skipped since the last call: what their series is was lost.
    pub(super) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// An event, and when it takes effect.
    pub(super) fn event(&mut self, body: &[u8]) -> Option<(Timestamp, Event)> {
        let mut wire = Wire(body);
        let tag = wire.byte()?;
        let now = self.time(&mut wire)?;
        let event = match tag & (tag::MASK | tag::MORE) {
            kind if kind & tag::MORE != 0 => match kind & tag::MASK {
                tag::FORGOTTEN => self.forgotten(&mut wire)?,
                _ => return None,
            },
            tag::TICK => Event::Tick { node: self.dictionary.get_text(&mut wire)? },
            kind @ (tag::CONFIRMED | tag::RESUMED) => {
                let (stream, end) = (Uuid::from_bytes(wire.array()?), wire.get()?);
                match kind {
                    tag::CONFIRMED => Event::Confirmed { stream, end },
                    _ => Event::Resumed { stream, end },
                }
            }
            tag::CUT => {
                let node = self.dictionary.get_text(&mut wire)?;
                Event::Cut { node, seq: wire.get()? }
            }
            _ => {
                let source = self.dictionary.get_text(&mut wire);
                let received = match tag & tag::RECEIVED_NOW {
                    0 => get_time(&mut wire, now.as_micros())?,
                    _ => now,
                };
                let position = match tag & tag::POSITION {
                    0 => None,
                    _ => Some(self.position(&mut wire)?),
                };
                let items = self.items(&mut wire, tag, received)?;
                let retained = tag & tag::RETAINED != 0;
                Event::Items { source: source?, received, items, position, retained }
            }
        };
        (wire.len() == 0).then_some((now, event))
    }

    /// A record of a spool.
    pub(super) fn spooled(&mut self, body: &[u8]) -> Option<Spooled> {
        let mut wire = Wire(body);
        let tag = wire.byte()?;
        if tag & tag::MASK == tag::TAKEN {
            let mut numbers = Vec::new();
            while wire.len() > 0 {
                numbers.push(wire.get()?);
            }
            return Some(Spooled::Taken(numbers));
        }
        let received = self.time(&mut wire)?;
        let seq = self.before.seq.wrapping_add(wire.signed()?.cast_unsigned());
        let end = self.before.end.wrapping_add(wire.signed()?.cast_unsigned());
        self.before.seq = seq;
        self.before.end = end;
        let items = self.items(&mut wire, tag, received)?;
        (wire.len() == 0).then_some(Spooled::Batch(Batch { items, received, seq, end }))
    }

    fn forgotten(&mut self, wire: &mut Wire<'_>) -> Option<Event> {
        let source = self.dictionary.get_text(wire);
        let mut series = Vec::new();
        for _ in 0..wire.get()? {
            // One whose name was lost keeps what there is of it, as it would have under another name.
            series.extend(self.dictionary.get_series(wire, &self.host.series)?.id);
        }
        Some(Event::Forgotten { source: source?, series })
    }

    fn time(&mut self, wire: &mut Wire<'_>) -> Option<Timestamp> {
        let now = get_time(wire, self.before.now)?;
        self.before.now = now.as_micros();
        Some(now)
    }

    fn position(&mut self, wire: &mut Wire<'_>) -> Option<Position> {
        let part = self.dictionary.get_text(wire)?;
        Some(Position { part: part.as_ref().to_owned(), offset: wire.get()?, line: wire.get()? })
    }

    fn items(&mut self, wire: &mut Wire<'_>, tag: u8, received: Timestamp) -> Option<Items> {
        let count = if tag & tag::ONE == 0 { wire.get()? } else { 1 };
        // Each takes a byte at least: however many are said to come, no more room is made.
        let room = usize::try_from(count).ok()?.min(wire.len());
        Some(match tag & tag::MASK {
            tag::READINGS => {
                let mut readings = Vec::with_capacity(room);
                let mut time = received;
                for _ in 0..count {
                    self.reading(wire, &mut time, &mut readings)?;
                }
                Items::Readings(readings)
            }
            tag::WINDOWS => Items::Windows(self.many(count, wire, Self::window)?),
            tag::OBSERVATIONS => Items::Observations(self.many(count, wire, Self::observation)?),
            _ => return None,
        })
    }

    fn many<T>(
        &mut self,
        count: u64,
        wire: &mut Wire<'_>,
        one: impl Fn(&mut Self, &mut Wire<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        (0..count).map(|_| one(self, wire)).collect()
    }

    #[inline]
    fn reading(
        &mut self,
        wire: &mut Wire<'_>,
        time: &mut Timestamp,
        into: &mut Vec<Reading>,
    ) -> Option<()> {
        let flags = wire.byte()?;
        let series = match flags & flag::NEXT_SERIES {
            0 => self.dictionary.get_series(wire, &self.host.series)?,
            _ => self.dictionary.series(self.before.series.wrapping_add(1))?,
        };
        self.before.series = series.number;
        if flags & flag::SAME_TIME == 0 {
            *time = get_time(wire, time.as_micros())?;
        }
        let value = values::get_value(wire, flags & flag::KIND)?;
        let score = match flags & flag::SCORE {
            0 => f64::NAN,
            _ => values::get_whole(wire)?,
        };
        let count = match flags & flag::COUNT {
            0 => 1,
            _ => wire.small()?,
        };
        match series.id {
            Some(series) => into.push(Reading { time: *time, value, score, series, count }),
            None => self.skipped += 1,
        }
        Some(())
    }

    fn window(&mut self, wire: &mut Wire<'_>) -> Option<Window> {
        let start = get_time(wire, self.before.now)?;
        let end = get_time(wire, start.as_micros())?;
        let cause = match wire.byte()? {
            0 => Cause::Heartbeat,
            1 => Cause::Urgent,
            2 => Cause::Time,
            3 => Cause::Count,
            4 => Cause::Session,
            5 => Cause::End,
            _ => return None,
        };
        let mut summaries = Vec::new();
        for _ in 0..wire.get()? {
            let series = self.dictionary.get_series(wire, &self.host.series)?;
            let count = wire.get()?;
            let mut figures = [0.0; 5];
            for figure in &mut figures {
                *figure = values::get_whole(wire)?;
            }
            let [min, max, mean, stddev, score] = figures;
            let (first, last) = (value(wire)?, value(wire)?);
            match series.id {
                Some(series) => summaries.push(Summary {
                    series,
                    count,
                    min,
                    max,
                    mean,
                    stddev,
                    first,
                    last,
                    score,
                }),
                None => self.skipped += 1,
            }
        }
        Some(Window { start, end, cause, summaries })
    }

    fn observation(&mut self, wire: &mut Wire<'_>) -> Option<Observation> {
        let id = uuid::Uuid::from_bytes(wire.array()?);
        let time = get_time(wire, self.before.now)?;
        let author = self.dictionary.get_text(wire)?;
        let kind = match wire.byte()? {
            0 => ObservationKind::Pattern,
            1 => ObservationKind::Anomaly,
            2 => ObservationKind::Status,
            3 => ObservationKind::General,
            4 => ObservationKind::Summary,
            5 => ObservationKind::Fact,
            _ => return None,
        };
        let rung = match wire.byte()? {
            0 => Rung::LocalModel,
            1 => Rung::RemoteModel,
            2 => Rung::Statistics,
            3 => Rung::Rule,
            _ => return None,
        };
        let text = wire.text()?.into();
        let confidence = values::get_whole(wire)?;
        let sources = self.texts(wire)?;
        let from = get_time(wire, time.as_micros())?;
        let to = get_time(wire, time.as_micros())?;
        let evidence = Evidence { from, to, sources: self.texts(wire)? };
        let model = match wire.byte()? {
            0 => None,
            1 => Some(self.dictionary.get_text(wire)?),
            _ => return None,
        };
        Some(Observation {
            id,
            time,
            author,
            kind,
            text,
            confidence,
            sources,
            evidence,
            model,
            rung,
        })
    }

    fn texts(&mut self, wire: &mut Wire<'_>) -> Option<Vec<Arc<str>>> {
        let count = wire.get()?;
        self.many(count, wire, |this, wire| this.dictionary.get_text(wire))
    }
}

#[inline]
fn get_time(wire: &mut Wire<'_>, before: i64) -> Option<Timestamp> {
    Some(Timestamp::from_micros(before.wrapping_add(wire.signed()?)))
}

fn value(wire: &mut Wire<'_>) -> Option<smollama_engine::reading::Value> {
    let kind = wire.byte()?;
    values::get_value(wire, kind)
}
