mod crashes;
mod damage;
mod forms;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use smollama_engine::context::Host;
use smollama_engine::disk::{Disk, SimulatedDisk};
use smollama_engine::node::{Position, State};
use smollama_engine::run::{Checkpoint, Checkpoints, PartCut, SinkCut, SourceCut};
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use super::FileCheckpoints;

const FOLDER: &str = "/data/checkpoints";

fn host(disk: Arc<dyn Disk>) -> Arc<Host> {
    Arc::new(Host { disk, ..Host::for_tests(Path::new("/data")) })
}

fn open(disk: &SimulatedDisk) -> FileCheckpoints {
    FileCheckpoints::open(&host(disk.shared())).unwrap()
}

/// Replaces a file by other bytes.
fn replace(disk: &SimulatedDisk, path: &str, bytes: &[u8]) {
    disk.remove_file(Path::new(path)).unwrap();
    disk.create_new(Path::new(path)).unwrap().write_all(bytes).unwrap();
}

fn names(disk: &SimulatedDisk) -> Vec<String> {
    disk.list(Path::new(FOLDER)).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// A checkpoint with one of everything, and its number in it.
fn full(number: u64, table: &SeriesTable) -> Checkpoint {
    let room = Series::new(SourceKey::local("dht", "1:a")).with_unit("°C").with_label("room", "é");
    let count = Series::new(SourceKey::local("count", "")).counter();
    let series = [room, count].map(|series| table.intern(&series).unwrap()).to_vec();
    let source = |address: &str, position| SourceCut {
        address: address.into(),
        key: format!("{address}#2").into(),
        position,
        taken: 3,
        done: number,
        ended: false,
    };
    let sink = |address: &str, spool: Option<&str>| SinkCut {
        address: address.into(),
        stream: Uuid::from_u128(0x1234),
        sent: 77,
        spool: spool.map(str::to_owned),
    };
    let part = PartCut {
        seq: 1_000 + number,
        now: Timestamp::from_micros(1_700_000_000_000_000),
        sources: vec![
            source("p/file", Some(Position { part: "a.csv".into(), offset: 1 << 40, line: 9 })),
            source("p/live", None),
        ],
        states: vec![
            ("p/dedup".into(), State { version: 2, series, body: (0..=255).collect() }),
            ("p/plain".into(), State::default()),
        ],
        sinks: vec![sink("p/out", Some("out-1")), sink("p/log", None)],
    };
    Checkpoint { number, revision: 4, seq: 2_000 + number, cuts: vec![part, PartCut::default()] }
}

/// The same checkpoint with the numbers that its series have in another process.
fn translated(checkpoint: &Checkpoint, from: &SeriesTable, to: &SeriesTable) -> Checkpoint {
    let mut translated = checkpoint.clone();
    for (_, state) in translated.cuts.iter_mut().flat_map(|cut| &mut cut.states) {
        for id in &mut state.series {
            *id = to.name(&from.get(*id)).expect("there are numbers");
        }
    }
    translated
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z:/.°\u{1F999}]{1,12}"]
}

fn any_series() -> impl Strategy<Value = Series> {
    let labels = btree_map(any_text(), any_text(), 0..3);
    let type_part = "[a-z_.]{0,8}";
    (type_part, any_text(), option::of(any_text()), labels, any::<bool>()).prop_map(
        |(type_part, id, unit, labels, monotonic)| Series {
            source: SourceKey::local(&type_part, &id),
            unit: unit.map(Into::into),
            labels: labels
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect::<BTreeMap<_, _>>(),
            monotonic,
        },
    )
}

fn any_source() -> impl Strategy<Value = SourceCut> {
    let position = (any_text(), any::<u64>(), any::<u64>());
    let position = position.prop_map(|(part, offset, line)| Position { part, offset, line });
    let names = (any_text(), any_text());
    (names, option::of(position), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |((address, key), position, taken, done, ended)| SourceCut {
            address: address.into(),
            key: key.into(),
            position,
            taken,
            done,
            ended,
        },
    )
}

fn any_sink() -> impl Strategy<Value = SinkCut> {
    (any_text(), any::<u128>(), any::<u64>(), option::of(any_text())).prop_map(
        |(address, stream, sent, spool)| SinkCut {
            address: address.into(),
            stream: Uuid::from_u128(stream),
            sent,
            spool,
        },
    )
}

/// Parts of a graph whose states speak of some of these series, by their place.
fn any_cut(series: usize) -> impl Strategy<Value = (PartCut, Vec<Vec<prop::sample::Index>>)> {
    let state = (any_text(), any::<u32>(), vec(any::<prop::sample::Index>(), 0..=series));
    let state = (state, vec(any::<u8>(), 0..60));
    let parts = (vec(any_source(), 0..3), vec(state, 0..4), vec(any_sink(), 0..3));
    (any::<u64>(), any::<i64>(), parts).prop_map(|(seq, now, (sources, states, sinks))| {
        let (states, series) = states
            .into_iter()
            .map(|((address, version, series), body)| {
                ((address.into(), State { version, series: Vec::new(), body }), series)
            })
            .unzip();
        (PartCut { seq, now: Timestamp::from_micros(now), sources, states, sinks }, series)
    })
}

/// A checkpoint of a number, and the table that its series are in.
fn any_checkpoint(number: u64) -> impl Strategy<Value = (Checkpoint, Arc<SeriesTable>)> {
    let cuts = vec(any_series(), 1..5)
        .prop_flat_map(|series| (vec(any_cut(series.len()), 0..3), Just(series)));
    (any::<u64>(), any::<u64>(), cuts).prop_map(move |(revision, seq, (cuts, series))| {
        let table = SeriesTable::default();
        let ids: Vec<_> = series.iter().map(|series| table.intern(series).unwrap()).collect();
        let cuts = cuts
            .into_iter()
            .map(|(mut cut, chosen)| {
                for ((_, state), chosen) in cut.states.iter_mut().zip(chosen) {
                    state.series = chosen.into_iter().map(|index| *index.get(&ids)).collect();
                }
                cut
            })
            .collect();
        (Checkpoint { number, revision, seq, cuts }, Arc::new(table))
    })
}
