//! What became of the old rows.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use smollama_store::original;

use super::Span;
use super::chunk::Chunk;

/// So many damaged places are told one by one.
const TOLD_MAX: usize = 10;
/// Of so many sources is known that they were counted.
const SOURCES_MAX: usize = 100_000;

/// What became of the old rows.
#[derive(Debug, Default, Serialize)]
pub(in super::super) struct Tally {
    /// Readings that were put into the history.
    pub(in super::super) readings: u64,
    /// Readings that were there already, or were the same once more.
    pub(in super::super) readings_known: u64,
    /// Rows that stand for "no value".
    pub(in super::super) without_value: u64,
    /// Observations that were put into the history.
    pub(in super::super) observations: u64,
    /// Observations that were there already.
    pub(in super::super) observations_known: u64,
    /// Of how many rows the metadata have no place here.
    pub(in super::super) metadata_left: u64,
    /// Rows and pages that could not be read.
    pub(in super::super) damaged: u64,
    /// The first of them.
    pub(in super::super) damage: Vec<Damaged>,
    /// When the first and the last were measured that were put in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) span: Option<Span>,
    /// How many sources those are of.
    pub(in super::super) sources: usize,
    #[serde(skip)]
    names: HashSet<Arc<str>>,
    /// Whether the times seem to be of another zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) zone: Option<ZoneDoubt>,
}

/// Something that could not be read.
#[derive(Debug, Serialize)]
pub(in super::super) struct Damaged {
    /// Where: `readings_log 17`.
    pub(in super::super) place: String,
    pub(in super::super) why: String,
}

/// Times that name no zone, and are not when they were written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(in super::super) struct ZoneDoubt {
    /// How many.
    pub(in super::super) rows: u64,
    /// So many minutes too late; below zero too early.
    pub(in super::super) minutes: i64,
}

impl fmt::Display for ZoneDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, way) = (self.minutes.unsigned_abs() as f64 / 60.0, self.minutes > 0);
        let way = if way { "after" } else { "before" };
        let times = crate::text::count(self.rows, "reading");
        write!(
            f,
            "the times of {times} name no zone, and in this one lie {hours} h {way} they were written down"
        )
    }
}

impl Tally {
    pub(super) fn damaged(&mut self, table: &str, id: i64, why: String) {
        self.add(format!("{table} {id}"), why);
    }

    pub(super) fn damage(&mut self, damage: &[original::Damage], table: &str) {
        for one in damage {
            let place = match (one.first, one.last) {
                (first, last) if first == last => format!("{table} {first}"),
                (first, i64::MAX) => format!("{table} from {first} on"),
                (first, last) => format!("{table} {first} to {last}"),
            };
            self.add(place, one.why.clone());
        }
    }

    pub(super) fn in_cache(&mut self, why: String) {
        self.add("edge cache".into(), why);
    }

    fn add(&mut self, place: String, why: String) {
        self.damaged += 1;
        if self.damage.len() < TOLD_MAX {
            self.damage.push(Damaged { place, why });
        }
    }

    /// Takes note of what is put in.
    pub(super) fn took(&mut self, chunk: &Chunk) {
        self.readings += chunk.rows().len() as u64;
        self.readings_known += chunk.known + chunk.repeated;
        for row in chunk.rows() {
            let name = row.series.source.name();
            if self.names.len() < SOURCES_MAX && !self.names.contains(name) {
                self.names.insert(name.into());
            }
            let span = self.span.unwrap_or(Span { first: row.time, last: row.time });
            let (first, last) = (span.first.min(row.time), span.last.max(row.time));
            self.span = Some(Span { first, last });
        }
        self.sources = self.names.len();
    }
}
