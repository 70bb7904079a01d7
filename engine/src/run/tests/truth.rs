//! What must be true after any number of crashes: what the sinks have is what a host that never crashed would have given them, for the
//! same events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::memory::{Crash, Memory};
use super::site::Site;
use super::world::Item;
use crate::batch::Items;
use crate::node::State;
use crate::plan::Graph;
use crate::reading::Value;
use crate::run::Event;

/// What lies in each store.
type Stores = BTreeMap<String, Vec<Item>>;
/// States, by address.
pub(super) type States = Vec<(Arc<str>, State)>;

/// What a sink owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owes {
    /// Each item once.
    Once,
    /// Each item, and what it had not confirmed before a crash maybe again.
    AtLeastOnce,
    /// No item twice.
    AtMostOnce,
}

/// A crash, and what each store had then.
#[derive(Debug)]
pub(super) struct Crashed {
    crash: Crash,
    then: BTreeMap<String, Then>,
}

/// What a store had at a crash.
#[derive(Debug)]
struct Then {
    /// The sinks made so far.
    made: u32,
    /// Up to this offset nothing comes again.
    sure: u64,
}

impl Site {
    /// What each store must not be given again after a crash that is about to come.
    pub(super) fn before(&self, crash: Crash, sent: &[&str]) -> Crashed {
        let (history, checkpoint) = {
            let inner = self.memory.lock();
            (inner.what_survives(crash), inner.checkpoints.last().cloned().unwrap_or_default())
        };
        let outside = self.world.lock();
        let mut then = BTreeMap::new();
        for (name, store) in &outside.stores {
            let Some(stream) = store.kept.iter().rev().find_map(|item| item.stream) else {
                continue;
            };
            let mut confirmed = history.iter().filter_map(|record| match &record.event {
                Event::Confirmed { stream: of, end } if *of == stream => Some(*end),
                _ => None,
            });
            let sinks = checkpoint.cuts.iter().flat_map(|cut| &cut.sinks);
            let cut = sinks.filter(|sink| sink.stream == stream).map(|sink| sink.sent).max();
            let confirmed = confirmed.next_back().unwrap_or(0);
            let sure = match (sent.contains(&name.as_str()), crash) {
                // What a checkpoint is behind may wait in the spool.
                (true, _) => confirmed,
                (false, Crash::Kill) => confirmed.max(cut.unwrap_or(0)),
                // Of what was kept here, a power cut leaves only what a checkpoint is behind.
                (false, Crash::PowerCut) => cut.unwrap_or(0),
            };
            then.insert(name.clone(), Then { made: store.made, sure });
        }
        Crashed { crash, then }
    }

    /// Checks that no store was given again what was sure at some crash.
    pub(super) fn assert_little_is_repeated(&self, crashes: &[Crashed]) {
        for (index, crashed) in crashes.iter().enumerate() {
            for (name, then) in &crashed.then {
                // A later power cut takes back what was sure of things that are kept here.
                let cut = crashes[index + 1..].iter().find(|one| one.crash == Crash::PowerCut);
                let cut = cut.and_then(|one| one.then.get(name)).map(|then| then.made);
                for item in self.world.kept(name) {
                    assert!(
                        item.by <= then.made
                            || item.end > then.sure
                            || cut.is_some_and(|cut| item.by > cut),
                        "`{name}` had all up to {} for sure, and was given {item:?}",
                        then.sure
                    );
                }
            }
        }
    }

    /// What a host that never crashes makes of the same events: what it puts where, and the states at the end.
    pub(super) fn reference(&self, graph: &Graph) -> (Stores, States) {
        let history = self.memory.lock().history.clone();
        let now = history.last().map_or(self.now(), |record| record.now);
        let memory = Memory::holding(history);
        let mut copy = Site::of(memory, self.host.clone(), self.world.clone(), now);
        // Nothing ticks of its own.
        copy.stands = true;
        self.world.lock().aside = true;
        let states = copy.live(graph, async |life| {
            life.rest().await;
            let states = life.topology.states().await;
            assert_eq!(life.topology.stop().await, Vec::<String>::new());
            states.into_iter().collect()
        });
        let mut outside = self.world.lock();
        outside.aside = false;
        let mine = |name: &String| name.starts_with("aside:");
        let stores = outside.stores.extract_if(.., |name, _| mine(name));
        let stores = stores.map(|(name, store)| (name["aside:".len()..].to_owned(), store.kept));
        (stores.collect(), states)
    }

    /// Checks what a store has against what it should have.
    pub(super) fn assert_owed(&self, name: &str, owes: Owes, expected: &[Item]) {
        let kept = self.world.kept(name);
        let content = |item: &Item| (item.series.clone(), item.value);
        let mut seen = BTreeSet::new();
        let mut latest = 0;
        // Each life may count from behind a gap; what lacks nothing is then known by the order of its numbers.
        let numbers: BTreeSet<u64> = match owes {
            Owes::Once | Owes::AtLeastOnce => kept.iter().map(|item| item.end).collect(),
            Owes::AtMostOnce => (1..=expected.len() as u64).collect(),
        };
        let places: BTreeMap<u64, usize> = numbers.into_iter().zip(0..).collect();
        for item in &kept {
            let should = places.get(&item.end).and_then(|place| expected.get(*place)).map(content);
            assert_eq!(
                should,
                Some(content(item)),
                "`{name}` at offset {}: {:?} instead of {:?}",
                item.end,
                kept.iter().map(|item| (item.end, item.value)).collect::<Vec<_>>(),
                expected.iter().map(|item| (item.end, item.value)).collect::<Vec<_>>(),
            );
            if owes != Owes::AtLeastOnce {
                assert!(item.end > latest, "`{name}` has {} after {latest}", item.end);
            }
            latest = item.end;
            seen.insert(item.end);
        }
        if owes != Owes::AtMostOnce {
            assert_eq!(seen.len(), expected.len(), "`{name}` has everything");
        }
    }

    /// Checks that no number was given to two items: whoever remembers numbers would take the second for a repeat.
    pub(super) fn assert_no_number_is_used_twice(&self, name: &str) {
        let mut items = BTreeMap::new();
        for item in self.world.kept(name) {
            let content = (item.series.clone(), item.value);
            let first = items.entry((item.stream, item.end)).or_insert_with(|| content.clone());
            assert_eq!(*first, content, "`{name}` was given {} twice", item.end);
        }
    }

    /// What the journal took in of a source, in the order of its numbers.
    pub(super) fn entered(&self, source: &str) -> Vec<i64> {
        let inner = self.memory.lock();
        let events = inner.history.iter().filter_map(|record| match &record.event {
            Event::Items { source: key, items: Items::Readings(readings), .. }
                if **key == *source =>
            {
                Some(readings.clone())
            }
            _ => None,
        });
        events
            .flatten()
            .map(|reading| match reading.value {
                Value::Int(value) => value,
                _ => panic!("only whole numbers here"),
            })
            .collect()
    }
}
