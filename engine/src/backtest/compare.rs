//! What two graphs sent to the same sink: what both did, and what only one of them.
//!
//! Both are compared step by step. What one sent and the other did not yet waits a while for its like; then it is missed, or gained.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde_json::Value as Json;

use super::report::{Both, Sent, SinkRow};
use crate::batch::Items;
use crate::json::write_item;
use crate::reading::Value;
use crate::series::{SeriesId, SeriesTable};

/// How many items of each side wait for their like at most.
const WAITING_MAX: usize = 4_096;

/// What an item is known again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    /// By this it is the same item.
    identity: u64,
    /// By this it also says the same.
    content: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Comparison {
    items_max: usize,
    same: u64,
    changed: u64,
    missed: Only,
    gained: Only,
}

/// What only one side sent.
#[derive(Debug, Default)]
struct Only {
    prints: Prints,
    /// Each with its print.
    waiting: VecDeque<(Print, Items)>,
    count: u64,
    items: Vec<Json>,
}

impl Comparison {
    pub(super) fn new(items_max: usize) -> Comparison {
        let (missed, gained) = (Only::default(), Only::default());
        Comparison { items_max, same: 0, changed: 0, missed, gained }
    }

    /// Takes what both sent in a step. Without a running graph there is nothing to wait for.
    pub(super) fn step(
        &mut self,
        running: Vec<Items>,
        candidate: Vec<Items>,
        running_table: Option<&SeriesTable>,
        candidate_table: &SeriesTable,
    ) {
        let Some(running_table) = running_table else {
            return self.gained.none_like(candidate, candidate_table, self.items_max);
        };
        let was = self.missed.prints.of_all(&running, running_table);
        let is = self.gained.prints.of_all(&candidate, candidate_table);
        // Mostly both sent the same, in the same order.
        let mut alike = 0;
        if self.missed.waiting.is_empty() && self.gained.waiting.is_empty() {
            let pairs = was.iter().zip(&is);
            for (was, is) in pairs.take_while(|(was, is)| was.identity == is.identity) {
                alike += 1;
                *(if was == is { &mut self.same } else { &mut self.changed }) += 1;
            }
        }
        if alike == was.len() && alike == is.len() {
            return;
        }
        self.missed.wait(&running, &was, alike);
        self.gained.wait(&candidate, &is, alike);
        self.pair();
        self.missed.give_up(WAITING_MAX, running_table, self.items_max);
        self.gained.give_up(WAITING_MAX, candidate_table, self.items_max);
    }

    /// Takes out what waits on both sides.
    fn pair(&mut self) {
        let mut there: HashMap<u64, VecDeque<u64>> = HashMap::new();
        for (print, _) in &self.gained.waiting {
            there.entry(print.identity).or_default().push_back(print.content);
        }
        let mut found: HashMap<u64, u64> = HashMap::new();
        let (same, changed) = (&mut self.same, &mut self.changed);
        self.missed.waiting.retain(|(print, _)| {
            let like = there.get_mut(&print.identity).and_then(VecDeque::pop_front);
            let Some(content) = like else { return true };
            *(if content == print.content { &mut *same } else { &mut *changed }) += 1;
            *found.entry(print.identity).or_default() += 1;
            false
        });
        if found.is_empty() {
            return;
        }
        self.gained.waiting.retain(|(print, _)| match found.get_mut(&print.identity) {
            Some(left @ 1..) => {
                *left -= 1;
                false
            }
            _ => true,
        });
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, running: Option<&SeriesTable>, candidate: &SeriesTable) {
        if let Some(running) = running {
            self.missed.give_up(0, running, self.items_max);
        }
        self.gained.give_up(0, candidate, self.items_max);
    }

    pub(super) fn row(self, address: Arc<str>, type_name: Arc<str>, sent: Both<Sent>) -> SinkRow {
        SinkRow {
            address,
            type_name,
            sent,
            same: self.same,
            changed: self.changed,
            missed: self.missed.count,
            gained: self.gained.count,
            missed_items: self.missed.items,
            gained_items: self.gained.items,
        }
    }
}

impl Only {
    /// Lets items wait, from the one with this index on.
    fn wait(&mut self, chunks: &[Items], prints: &[Print], from: usize) {
        let places = chunks.iter().flat_map(|items| (0..items.len()).map(move |at| (items, at)));
        for ((items, at), print) in places.zip(prints).skip(from) {
            self.waiting.push_back((*print, items.slice(at..at + 1)));
        }
    }

    /// Waits no longer for the like of the oldest, until so many are left.
    fn give_up(&mut self, left: usize, table: &SeriesTable, items_max: usize) {
        while self.waiting.len() > left {
            let Some((_, item)) = self.waiting.pop_front() else { return };
            self.add(&item, 0, table, items_max);
        }
    }

    fn none_like(&mut self, chunks: Vec<Items>, table: &SeriesTable, items_max: usize) {
        for items in chunks {
            for at in 0..items.len() {
                self.add(&items, at, table, items_max);
            }
        }
    }

    fn add(&mut self, items: &Items, at: usize, table: &SeriesTable, items_max: usize) {
        self.count += 1;
        if self.items.len() < items_max {
            let mut json = Vec::new();
            write_item(items, at, table, &mut json);
            // What was just written is JSON.
            self.items.extend(serde_json::from_slice::<Json>(&json));
        }
    }
}

/// Makes prints; series are numbered otherwise on each side, so that each is hashed by what it is, once.
#[derive(Debug, Default)]
struct Prints {
    sources: Vec<Option<(u64, u64)>>,
}

impl Prints {
    fn of_all(&mut self, chunks: &[Items], table: &SeriesTable) -> Vec<Print> {
        let mut prints = Vec::with_capacity(chunks.iter().map(Items::len).sum());
        for items in chunks {
            match items {
                Items::Readings(readings) => prints.extend(readings.iter().map(|one| {
                    let (source, series) = self.series(one.series, table);
                    print(
                        |hash| {
                            (source, one.time).hash(hash);
                            hash_value(&one.value, hash);
                        },
                        |hash| (series, one.score.to_bits(), one.count).hash(hash),
                    )
                })),
                Items::Windows(windows) => prints.extend(windows.iter().map(|one| {
                    let series: Vec<(u64, u64)> =
                        one.summaries.iter().map(|one| self.series(one.series, table)).collect();
                    print(
                        |hash| {
                            (one.start, one.end, one.cause).hash(hash);
                            series.iter().for_each(|(source, _)| source.hash(hash));
                        },
                        |hash| {
                            for (one, (_, series)) in one.summaries.iter().zip(&series) {
                                let figures = [one.min, one.max, one.mean, one.stddev, one.score];
                                (series, one.count, figures.map(f64::to_bits)).hash(hash);
                                hash_value(&one.first, hash);
                                hash_value(&one.last, hash);
                            }
                        },
                    )
                })),
                Items::Observations(all) => prints.extend(all.iter().map(|one| {
                    print(
                        |hash| {
                            (one.time, &one.author, &one.text).hash(hash);
                            one.kind.hash(hash);
                        },
                        |hash| (&one.sources, one.confidence.to_bits()).hash(hash),
                    )
                })),
            }
        }
        prints
    }

    /// What a series is, as two numbers: by its source, and with unit and labels.
    fn series(&mut self, id: SeriesId, table: &SeriesTable) -> (u64, u64) {
        if id.index() >= self.sources.len() {
            self.sources.resize(id.index() + 1, None);
        }
        *self.sources[id.index()].get_or_insert_with(|| {
            let series = table.get(id);
            let hasher = FixedState::default();
            (hasher.hash_one(&series.source), hasher.hash_one(&*series))
        })
    }
}

type Hashing = <FixedState as BuildHasher>::Hasher;

fn print(identity: impl FnOnce(&mut Hashing), content: impl FnOnce(&mut Hashing)) -> Print {
    let mut hash = FixedState::default().build_hasher();
    identity(&mut hash);
    let identity = hash.finish();
    content(&mut hash);
    Print { identity, content: hash.finish() }
}

fn hash_value(value: &Value, hash: &mut Hashing) {
    match value {
        Value::Float(value) => (0u8, value.to_bits()).hash(hash),
        Value::Int(value) => (1u8, value).hash(hash),
        Value::Bool(value) => (2u8, value).hash(hash),
        Value::Text(text) => (3u8, text).hash(hash),
        Value::Json(json) => (4u8, json.to_string()).hash(hash),
    }
}
