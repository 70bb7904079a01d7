//! What the Python original sends on `smollama/<node>/readings`:
//! `{node, timestamp, readings: [{source: "system:cpu_temp", value, unit, ts}]}`.

use jiff::tz::TimeZone;
use smollama_engine::context::Context;
use smollama_engine::reading::Reading;
use smollama_engine::series::{SeriesId, SourceKey};
use smollama_engine::time::Timestamp;

use super::found::Found;
use super::line::write_line;
use super::series::TopicLabels;
use super::settings::Settings;
use super::value;
use crate::io::rows::form::{Refused, check_name};
use crate::io::rows::json::{JsonLines, entries};
use crate::io::rows::path::Fields;
use crate::io::rows::series::{KnownSeries, field_text};
use crate::io::rows::time::{TimeFormat, TimeReader};
use crate::io::rows::{Cell, Row, RowDecoder, Step};

/// The fields of the message.
const NODE: usize = 0;
const TIMESTAMP: usize = 1;
const READINGS: usize = 2;
/// The fields of a reading.
const SOURCE: usize = 0;
const VALUE: usize = 1;
const UNIT: usize = 2;
const TS: usize = 3;

/// Reads the original's payload.
pub(super) struct Edge {
    message: JsonLines,
    entry: JsonLines,
    lines: [Vec<u8>; 2],
    times: TimeReader,
    labels: TopicLabels,
    known: KnownSeries,
    key: Vec<u8>,
    context: Context,
}

fn decoder(names: &[&str]) -> JsonLines {
    let mut fields = Fields::default();
    for name in names {
        fields.slot(name);
    }
    JsonLines::new(&fields, usize::MAX)
}

impl Edge {
    pub(super) fn new(config: &Settings, zone: TimeZone, context: &Context) -> Edge {
        Edge {
            message: decoder(&["node", "timestamp", "readings"]),
            entry: decoder(&["source", "value", "unit", "ts"]),
            lines: Default::default(),
            times: TimeReader::new(TimeFormat::Auto, zone),
            labels: TopicLabels::new(config),
            known: KnownSeries::default(),
            key: Vec::new(),
            context: context.clone(),
        }
    }

    /// Forgets the series that gave their slots back.
    #[inline]
    pub(super) fn refresh(&mut self) {
        self.known.refresh(&self.context.host.series);
    }

    /// Takes a message; `None` if it is none of these.
    pub(super) fn take(
        &mut self,
        topic: &str,
        json: &[u8],
        found: &mut Found<'_>,
    ) -> Option<Result<(), Refused>> {
        let [mut line, mut spare] = std::mem::take(&mut self.lines);
        write_line(json, &mut line);
        let taken = match self.message.decode(&line, 0, true) {
            Step::Row { .. } => self.readings(topic, &line, &mut spare, found),
            Step::Rejected { reason, .. } => Some(Err(reason.to_string().into())),
            Step::Blank { .. } | Step::Incomplete => None,
        };
        self.lines = [line, spare];
        taken
    }

    fn readings(
        &mut self,
        topic: &str,
        line: &[u8],
        spare: &mut Vec<u8>,
        found: &mut Found<'_>,
    ) -> Option<Result<(), Refused>> {
        let row = self.message.row(line);
        let readings = match row.cell(READINGS) {
            cell @ Cell::Nested(_) => row.text(cell),
            _ => return None,
        };
        if !readings.starts_with(b"[") {
            return None;
        }
        let node = match node_of(topic) {
            Some(node) => node.to_owned(),
            None => field_text(row, NODE).unwrap_or_default(),
        };
        if node.is_empty() {
            return Some(Err("neither the topic nor `node` says which host it is from".into()));
        }
        if let Err(refused) = check_name(node.len() + topic.len()) {
            return Some(Err(refused));
        }
        let (cell, times) = (row.cell(TIMESTAMP), &mut self.times);
        let time = times.read(cell, row.text(cell)).unwrap_or(Timestamp::ON_RECEIPT);
        let Edge { entry, times, labels, known, key, context, .. } = self;
        let mut place = 0;
        let walked = entries(readings, |json| {
            write_line(json, spare);
            let reading = match entry.decode(spare, 0, true) {
                Step::Row { .. } => {
                    let row = entry.row(spare);
                    write_key(&node, topic, row, key);
                    let id = match known.find(key) {
                        Some(id) => Ok(id),
                        None => check_name(key.len())
                            .and_then(|()| intern(&node, topic, row, labels, context))
                            .inspect(|id| known.insert(key, *id)),
                    };
                    id.and_then(|id| read(row, id, time, times))
                }
                Step::Rejected { reason, .. } => Err(reason.to_string().into()),
                Step::Blank { .. } | Step::Incomplete => Err("not a JSON object".into()),
            };
            match reading {
                Ok(Some(reading)) => found.push(reading),
                Ok(None) => {}
                Err(Refused::Row(reason)) => {
                    found.refuse(format!("reading {place}: {reason}").into());
                }
                Err(full) => found.refuse(full),
            }
            place += 1;
            found.go_on()
        });
        Some(walked.map_err(|reason| reason.to_string().into()))
    }
}

/// The host that a topic names: what stands before `readings`, at the third level or below. It beats what the payload says.
fn node_of(topic: &str) -> Option<&str> {
    let (front, _) = topic.rsplit_once('/').filter(|(_, last)| *last == "readings")?;
    front.rsplit_once('/').map(|(_, node)| node)
}

fn write_key(node: &str, topic: &str, row: Row<'_>, key: &mut Vec<u8>) {
    key.clear();
    let (source, unit) = (row.cell(SOURCE), row.cell(UNIT));
    for part in [node.as_bytes(), topic.as_bytes(), row.text(source), row.text(unit)] {
        key.extend_from_slice(part);
        // No byte of a text.
        key.push(0xFF);
    }
}

fn intern(
    node: &str,
    topic: &str,
    row: Row<'_>,
    labels: &TopicLabels,
    context: &Context,
) -> Result<SeriesId, Refused> {
    let source = match row.cell(SOURCE) {
        Cell::Text(_) | Cell::Unescaped(_) => field_text(row, SOURCE).unwrap_or_default(),
        Cell::Missing | Cell::Null => return Err("no `source`".into()),
        _ => return Err("`source` is no text".into()),
    };
    if source.is_empty() {
        return Err("`source` is empty".into());
    }
    let unit = match row.cell(UNIT) {
        Cell::Missing | Cell::Null => None,
        Cell::Text(_) | Cell::Unescaped(_) => field_text(row, UNIT),
        _ => return Err("`unit` is no text".into()),
    };
    let key = SourceKey::parse(&format!("{node}:{source}"));
    Ok(context.recorded_series(key, |series| {
        let series = labels.apply(topic, series);
        unit.iter().fold(series, |series, unit| series.with_unit(unit))
    })?)
}

/// The reading in a row; `None` where the host had no value.
fn read(
    row: Row<'_>,
    series: SeriesId,
    sent: Timestamp,
    times: &mut TimeReader,
) -> Result<Option<Reading>, Refused> {
    let time = match row.cell(TS) {
        Cell::Missing | Cell::Null => sent,
        cell => times.read(cell, row.text(cell)).map_err(|bad| {
            format!("`ts`: {bad}: `{}`", value::shown(&field_text(row, TS).unwrap_or_default()))
        })?,
    };
    let value = match row.cell(VALUE) {
        Cell::Missing => return Err("no `value`".into()),
        cell => value::of_cell(cell, row, None).map_err(|bad| format!("`value` {bad}"))?,
    };
    Ok(value.map(|value| Reading::new(time, series, value)))
}
