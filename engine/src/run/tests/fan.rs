//! Who is given what where one port feeds many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::cases;
use crate::batch::{Batch, ItemKind, Items};
use crate::condition::{Condition, Predicate};
use crate::context::Host;
use crate::node::{MAIN, NodeError, Outputs, Picks, Transform};
use crate::reading::Reading;
use crate::run::NodeStats;
use crate::run::exits::Exit;
use crate::run::fan::{Fan, Target};
use crate::run::slot::Slot;
use crate::series::{Series, SeriesId, SourceKey};
use crate::time::Timestamp;

/// A node that picks.
struct Picker(Predicate);

const REST: usize = 1;

impl Transform for Picker {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            out.pass(if self.0.reading(reading) { MAIN } else { REST }, reading);
        }
        Ok(())
    }
    fn picks(&self) -> Option<Picks<'_>> {
        Some(Picks { by: &self.0, rest: REST })
    }
}

/// The conditions that are tried: by name, by several names, by pattern, by label, by value, turned round, and with exceptions.
fn conditions() -> Vec<serde_json::Value> {
    let mut all: Vec<_> = (0..6).map(|n| json!({ "sources": format!("t:{n}") })).collect();
    all.extend([
        json!({ "sources": ["t:1", "t:3", "t:1"] }),
        json!({ "sources": ["t:2", "t:?"] }),
        json!({ "sources": "u:*" }),
        json!({ "labels": { "room": "k*" } }),
        json!({ "sources": "t:4", "labels": { "room": "hall" } }),
        json!({ "sources": "t:*", "exclude": "t:5" }),
        json!({ "value": { "above": 3 } }),
        json!({ "sources": "t:0", "value": { "above": 3 } }),
        json!({ "sources": "t:0", "not": true }),
        json!({ "exclude": "t:0" }),
    ]);
    all
}

struct Place {
    host: Arc<Host>,
    slots: Vec<Slot>,
    exits: Vec<Exit>,
    fan: Fan,
    series: Vec<SeriesId>,
}

/// How a condition is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    /// Before a node.
    When,
    /// By a node of which nobody reads the rest.
    Picked,
    /// By a node of which somebody does.
    Divided,
    /// Before a sink.
    Sink,
}

impl Place {
    fn new(asked: &[(Asked, usize)]) -> Place {
        let host = Arc::new(Host::for_tests(&std::env::temp_dir()));
        let (mut slots, mut exits, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (asked, which) in asked {
            let condition = serde_json::from_value(conditions()[*which].clone()).unwrap();
            let predicate = |condition: &Condition| Predicate::new(condition, &host);
            if *asked == Asked::Sink {
                targets.push(Target::Sink(exits.len()));
                exits.push(Exit {
                    address: "p/sink".into(),
                    when: Some(Box::new(predicate(&condition))),
                    stream: uuid::Uuid::nil(),
                    sent: 0,
                    spool: None,
                    known: [0; 3],
                    reach: 0,
                });
                continue;
            }
            targets.push(Target::Transform { slot: slots.len(), port: 0 });
            let own = if *asked == Asked::When { Condition::default() } else { condition.clone() };
            let read = (ItemKind::Readings, *asked == Asked::Divided);
            slots.push(Slot::new(
                "p/node".into(),
                Box::new(Picker(predicate(&own))),
                Outputs::new([(ItemKind::Readings, true), read]),
                NodeStats::new(2),
                (*asked == Asked::When).then(|| Box::new(predicate(&condition))),
                Box::new(|| Err("it is not made anew here".to_owned())),
            ));
        }
        let mut fan = Fan::new(targets);
        fan.index(&slots, &exits);
        let mut place = Place { host, slots, exits, fan, series: Vec::new() };
        for n in 0..6 {
            for (of, room) in [("t", None), ("u", Some("kitchen")), ("t", Some("hall"))] {
                place.name(&format!("{of}:{n}"), room);
            }
        }
        place
    }

    fn name(&mut self, source: &str, room: Option<&str>) {
        let mut series = Series::new(SourceKey::parse(source));
        if let Some(room) = room {
            series = series.with_label("room", room);
        }
        self.series.push(self.host.series.intern(&series).unwrap());
    }

    fn batch(&self, readings: &[(usize, i64)]) -> Batch {
        let reading = |((series, value), at): (&(usize, i64), i64)| {
            Reading::new(Timestamp::from_micros(at), self.series[*series], *value)
        };
        let readings = readings.iter().zip(0..).map(reading).collect();
        Batch::new(Items::Readings(readings), Timestamp::from_micros(0))
    }

    /// What each target is given.
    fn given(&mut self, batch: &Batch) -> BTreeMap<usize, Vec<Reading>> {
        let Place { slots, exits, fan, .. } = self;
        let targets = fan.targets().to_vec();
        let place = |target: Target| targets.iter().position(|other| *other == target).unwrap();
        if !fan.divide(batch.readings(), true, slots, exits) {
            return (0..targets.len()).map(|at| (at, batch.readings().to_vec())).collect();
        }
        let spare = || Items::none(ItemKind::Readings);
        let given = fan.shares().map(|share| {
            let part = share.copy(batch, spare);
            (place(share.target), part.as_ref().unwrap_or(batch).readings().to_vec())
        });
        given.collect()
    }
}

fn asked() -> impl Strategy<Value = Vec<(Asked, usize)>> {
    let how = prop_oneof![
        Just(Asked::When),
        Just(Asked::Picked),
        Just(Asked::Divided),
        Just(Asked::Sink)
    ];
    prop::collection::vec((how, 0..conditions().len()), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(256), ..ProptestConfig::default() })]

    /// What a target is given of a batch meets its condition just where all of the batch would, in the same order; and of what
    /// cannot meet it, it is given nothing.
    #[test]
    fn each_target_gets_what_it_picks_and_in_order(
        asked in asked(),
        batches in prop::collection::vec(prop::collection::vec((0usize..18, 0i64..6), 1..30), 1..4),
        silent in prop::collection::vec(0usize..18, 0..4),
    ) {
        let mut place = Place::new(&asked);
        let mut received = vec![0; place.slots.len()];
        for readings in &batches {
            let batch = place.batch(readings);
            let given = place.given(&batch);
            for (at, (how, which)) in asked.iter().enumerate() {
                let condition = serde_json::from_value(conditions()[*which].clone()).unwrap();
                let mut predicate = Predicate::new(&condition, &place.host);
                let given = given.get(&at).cloned().unwrap_or_default();
                let mut met = |readings: &[Reading]| -> Vec<Timestamp> {
                    let met = readings.iter().filter(|one| predicate.reading(one));
                    met.map(|one| one.time).collect()
                };
                prop_assert_eq!(met(&given), met(batch.readings()));
                if *how == Asked::Divided || asked.len() <= 8 {
                    prop_assert_eq!(given.len(), readings.len());
                } else if predicate.is_of_series() {
                    let series = |one: &Reading| place.host.series.get(one.series);
                    prop_assert!(given.iter().all(|one| predicate.of_series(&series(one))));
                }
                // What the island counts as it hands it over.
                if let Target::Transform { slot, .. } = place.fan.targets()[at] {
                    place.slots[slot].stats.add_received(given.len());
                    received[slot] += if *how == Asked::When { given.len() } else { readings.len() };
                }
            }
            let counts = |place: &Place| -> Vec<u64> {
                place.slots.iter().map(|slot| slot.stats.received()).collect()
            };
            let expected: Vec<u64> = received.iter().map(|count| *count as u64).collect();
            prop_assert_eq!(counts(&place), expected.clone());
            let silent: Vec<SeriesId> = silent.iter().map(|at| place.series[*at]).collect();
            place.fan.forget(&silent);
            let known: BTreeSet<usize> = readings.iter().map(|(series, _)| *series).collect();
            let left = known.iter().filter(|at| !silent.contains(&place.series[**at])).count();
            let indexed = place.fan.known() > 0;
            prop_assert_eq!(place.fan.known(), if indexed { left } else { 0 });
            place.fan.index(&place.slots, &place.exits);
            prop_assert_eq!(counts(&place), expected);
            prop_assert!(place.slots.iter().all(|slot| slot.stats.counted_elsewhere() <= 1));
        }
    }
}

#[test]
fn the_last_values_of_others_are_not_counted() {
    let mut place = Place::new(&[(Asked::Picked, 1); 20]);
    let batch = place.batch(&[(0, 1), (3, 1)]);
    let Place { slots, exits, fan, .. } = &mut place;
    assert!(fan.divide(batch.readings(), false, slots, exits));
    assert_eq!(fan.shares().count(), 20, "each takes t:1");
    assert_eq!(slots[0].stats.received(), 0);
}
