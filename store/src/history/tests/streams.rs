//! A stream of counted items goes into the history exactly once, whatever crashes on the way.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::disk::{Crash, Disk, Fault, SimulatedDisk};
use smollama_engine::duration::Duration;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Cause, Window};
use uuid::Uuid;

use super::super::{Reader, Settings, Sources, Writer};

const FOLDER: &str = "/history";
const STREAM: Uuid = Uuid::from_u128(7);

fn start() -> Timestamp {
    "2026-11-20T00:00:00Z".parse().unwrap()
}

/// When maintenance finds all periods over.
fn later() -> Timestamp {
    start() + Duration::from_days(400)
}

/// An item of the stream, by its offset: every fifth is a window, and hours of six days come in no order.
fn time(offset: u64) -> Timestamp {
    start() + Duration::from_hours((offset * 37 % 144) as i64)
}

fn kind(offset: u64) -> ItemKind {
    if offset.is_multiple_of(5) { ItemKind::Windows } else { ItemKind::Readings }
}

fn reading(table: &SeriesTable, offset: u64) -> Reading {
    let series = table.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
    Reading::new(time(offset), series, offset as i64)
}

/// The items from one offset to another (it included), in batches of one kind.
fn batches(table: &SeriesTable, from: u64, to: u64) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for offset in from..=to {
        let reading = reading(table, offset);
        let sum = Accumulator::new(&reading);
        let window = Window {
            start: time(offset) - Duration::from_mins(1),
            end: time(offset),
            cause: Cause::Time,
            summaries: vec![sum.summary(reading.series)],
        };
        match (kind(offset), batches.last_mut()) {
            (ItemKind::Readings, Some(Batch { items: Items::Readings(items), end, .. })) => {
                items.push(reading);
                *end = offset;
            }
            (ItemKind::Readings, _) => {
                batches.push(Batch {
                    end: offset,
                    ..Batch::new(Items::Readings(vec![reading]), start())
                });
            }
            _ => batches
                .push(Batch { end: offset, ..Batch::new(Items::Windows(vec![window]), start()) }),
        }
    }
    batches
}

/// The offsets of what a reader finds, of both kinds together.
fn found(disk: &Arc<dyn Disk>) -> Vec<u64> {
    let table = SeriesTable::default();
    let reader = Reader::new(disk.clone(), Path::new(FOLDER));
    let times = Timestamp::MIN..Timestamp::MAX;
    let readings = reader.readings(times.clone(), Sources::all(), &table).unwrap();
    let windows = reader.windows(times, Sources::all(), &table).unwrap();
    let readings = readings.flat_map(|rows| rows.unwrap()).map(|one| one.value);
    let windows = windows.flat_map(|rows| rows.unwrap()).map(|one| one.summaries[0].last.clone());
    let mut all: Vec<u64> =
        readings.chain(windows).map(|value| value.as_f64().unwrap() as u64).collect();
    all.sort_unstable();
    all
}

/// What the engine does in one life: asks, replays behind the last checkpoint, drops what is there, goes on, and takes checkpoints;
/// what fails is tried again, or a little later. Gives the offset of the last checkpoint.
fn live(disk: &SimulatedDisk, mut checkpoint: u64, (every, maintain): (usize, usize)) -> u64 {
    let (table, shared) = (SeriesTable::default(), disk.shared());
    let settings = Settings { rows_max: 13, ..Settings::default() };
    let open = || Writer::open(&shared, FOLDER.into(), settings.clone()).ok();
    let Some(mut writer) = open().or_else(open) else { return checkpoint };
    let readings = writer.position(STREAM, ItemKind::Readings);
    let windows = writer.position(STREAM, ItemKind::Windows);
    let tidy = |writer: &mut Writer| while writer.maintain(later()).unwrap_or(false) {};
    for (number, mut batch) in batches(&table, checkpoint + 1, LAST).into_iter().enumerate() {
        // Of a batch, what lies behind the offset that is known.
        match &mut batch.items {
            Items::Readings(items) => {
                let before = batch.end - items.len() as u64;
                items.drain(..(readings.saturating_sub(before) as usize).min(items.len()));
            }
            Items::Windows(items) if batch.end <= windows => items.clear(),
            _ => {}
        }
        let mut append = || batch.items.is_empty() || writer.append(&batch, &table).is_ok();
        if !append() && !append() {
            return checkpoint;
        }
        if number.is_multiple_of(every) && writer.finalize().is_ok() {
            checkpoint = batch.end;
        }
        if number.is_multiple_of(maintain) {
            tidy(&mut writer);
        }
    }
    if writer.finalize().is_ok() || writer.finalize().is_ok() {
        checkpoint = LAST;
    }
    tidy(&mut writer);
    checkpoint
}

const LAST: u64 = 30;

#[test]
fn a_crash_at_any_call_neither_loses_nor_doubles_an_item() {
    let counted = SimulatedDisk::new(0);
    assert_eq!(live(&counted, 0, (4, 6)), LAST);
    let calls = counted.calls();
    assert!(calls > 100, "{calls}");
    for call in 0..calls {
        // What a process leaves that is killed, a power cut can leave as well: fewer will do.
        for how in [Crash::Power, Crash::Kill].into_iter().take(if call % 3 == 0 { 2 } else { 1 }) {
            let disk = SimulatedDisk::new(call);
            disk.fail_at(call, Fault::Crash(how));
            let checkpoint = live(&disk, 0, (4, 6));
            let disk = disk.restart();
            let before = found(&disk.shared());
            let twice = before.windows(2).find(|two| two[0] == two[1]);
            assert_eq!(twice, None, "{how:?} at call {call}: before the next start");
            let kept = before.iter().filter(|&&offset| offset <= checkpoint).count() as u64;
            assert_eq!(kept, checkpoint, "{how:?} at call {call}: what a checkpoint promised");
            assert_eq!(live(&disk, checkpoint, (5, 5)), LAST);
            let all: Vec<u64> = (1..=LAST).collect();
            assert_eq!(
                found(&disk.shared()),
                all,
                "{how:?} at call {call}, checkpoint {checkpoint}"
            );
            assert_eq!(disk.violations(), [""; 0]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Crash upon crash, and calls that fail, with checkpoints wherever they come.
    #[test]
    fn whatever_happens_on_the_way_each_item_is_there_once(
        seed: u64,
        lives in prop::collection::vec((0u64..220, 0u8..3, 1usize..9, 1usize..9), 1..6),
    ) {
        let mut disk = SimulatedDisk::new(seed);
        let mut checkpoint = 0;
        for (call, what, every, maintain) in lives {
            disk.fail_at(call, match what {
                0 => Fault::Crash(Crash::Kill),
                1 => Fault::Crash(Crash::Power),
                _ => Fault::Error(std::io::ErrorKind::Other),
            });
            checkpoint = live(&disk, checkpoint, (every, maintain));
            disk = disk.restart();
        }
        prop_assert_eq!(live(&disk, checkpoint, (5, 5)), LAST);
        let all: Vec<u64> = (1..=LAST).collect();
        prop_assert_eq!(found(&disk.shared()), all);
        prop_assert_eq!(disk.violations(), Vec::<String>::new());
    }
}

#[test]
fn the_progress_outlives_merges_and_is_that_of_its_own_stream() {
    let disk = SimulatedDisk::new(0).shared();
    let table = SeriesTable::default();
    let open = || Writer::open(&disk, FOLDER.into(), Settings::default()).unwrap();
    let mut writer = open();
    let nothing = ItemKind::ALL.map(|kind| writer.position(STREAM, kind));
    assert_eq!(nothing, [0, 0, 0]);
    for batch in batches(&table, 1, 9) {
        writer.append(&batch, &table).unwrap();
        writer.finalize().unwrap();
    }
    while writer.maintain(later()).unwrap() {}
    let positions = |stream: Uuid| {
        let mut writer = open();
        ItemKind::ALL.map(|kind| writer.position(stream, kind))
    };
    assert_eq!(positions(STREAM), [9, 5, 0]);
    assert_eq!(positions(Uuid::from_u128(8)), [0, 0, 0]);

    // What is of no stream, as from a tool, changes nothing; nor does a stream that nothing came of.
    let mut writer = open();
    writer.append_readings(&[reading(&table, 77)], &table).unwrap();
    writer.finalize().unwrap();
    assert_eq!(positions(STREAM), [9, 5, 0]);
    let mut writer = open();
    writer.position(Uuid::from_u128(8), ItemKind::Readings);
    writer.append(&batches(&table, 1, 1)[0], &table).unwrap();
    writer.finalize().unwrap();
    assert_eq!(positions(STREAM), [0, 5, 0], "another stream has taken its place");
    assert_eq!(positions(Uuid::from_u128(8)), [1, 0, 0]);
}

/// What a killed process left may not be on the disk yet; who says that it is there must see to that.
#[test]
fn what_is_said_to_be_there_is_durable() {
    let counted = SimulatedDisk::new(0);
    live(&counted, 0, (4, 6));
    let mut ends = Vec::new();
    for call in 0..counted.calls() {
        let disk = SimulatedDisk::new(call);
        disk.fail_at(call, Fault::Crash(Crash::Kill));
        live(&disk, 0, (4, 6));
        let disk = disk.restart();
        let mut writer = Writer::open(&disk.shared(), FOLDER.into(), Settings::default()).unwrap();
        let said = ItemKind::ALL.map(|kind| writer.position(STREAM, kind));
        disk.crash(Crash::Power);
        let there = found(&disk.restart().shared());
        for offset in 1..=said[0] {
            let said = if kind(offset) == ItemKind::Readings { said[0] } else { said[1] };
            assert!(offset > said || there.contains(&offset), "call {call}: {offset} of {said}");
        }
        ends.push(said[0]);
    }
    assert!(ends.contains(&0) && ends.contains(&29), "{ends:?}");
}

/// Files of one finalization are numbered before they are written, and the newest says how far the stream has come: so no merge may
/// get between them.
#[test]
fn rows_that_wait_for_the_disk_are_not_overtaken_by_a_merge() {
    let simulated = SimulatedDisk::new(0);
    let disk = simulated.shared();
    let table = SeriesTable::default();
    let open = || Writer::open(&disk, FOLDER.into(), Settings::default()).unwrap();
    let mut writer = open();
    writer.position(STREAM, ItemKind::Readings);
    let append = |writer: &mut Writer, days: &[i64]| {
        let items = days.iter().map(|&day| {
            let end = writer.rows_in_memory() as u64;
            Reading { time: start() + Duration::from_days(day), ..reading(&table, end) }
        });
        let items = Items::Readings(items.collect());
        let end = if days.len() > 1 { 4 } else { days[0] as u64 + 1 };
        writer.append(&Batch { end, ..Batch::new(items, start()) }, &table).unwrap();
    };
    for day in 0..2 {
        append(&mut writer, &[day]);
        writer.finalize().unwrap();
    }
    append(&mut writer, &[40, 80]);
    // A file takes six calls: make room for it, make it, write, sync, rename, sync the folder.
    simulated.fail_at(7, Fault::Error(std::io::ErrorKind::Other));
    writer.finalize().unwrap_err();
    assert_eq!(writer.rows_in_memory(), 1, "one of two files is there");
    assert!(!writer.maintain(later()).unwrap(), "it waits");
    writer.finalize().unwrap();
    assert_eq!(open().position(STREAM, ItemKind::Readings), 4);
    assert!(writer.maintain(later()).unwrap());
    assert_eq!(open().position(STREAM, ItemKind::Readings), 4);
}

/// A crash between the files of several days leaves some of the items behind the position. What comes next is counted from behind them all:
/// under their offsets it would be taken for them.
#[test]
fn what_is_there_behind_the_position_is_reached_and_what_is_counted_behind_that_is_new() {
    let simulated = SimulatedDisk::new(0);
    let disk = simulated.shared();
    let table = SeriesTable::default();
    let open = || Writer::open(&disk, FOLDER.into(), Settings::default()).unwrap();
    let append = |writer: &mut Writer, end: u64, days: &[i64]| {
        let time = |day: i64| start() + Duration::from_days(day);
        let items = days.iter().map(|&day| Reading { time: time(day), ..reading(&table, end) });
        let items = Items::Readings(items.collect());
        writer.append(&Batch { end, ..Batch::new(items, start()) }, &table).unwrap();
    };
    let mut writer = open();
    assert_eq!((writer.position(STREAM, ItemKind::Readings), writer.reach()), (0, 0));
    append(&mut writer, 2, &[0, 0]);
    writer.finalize().unwrap();
    append(&mut writer, 6, &[40, 80, 40, 80]);
    simulated.fail_at(7, Fault::Error(std::io::ErrorKind::Other));
    writer.finalize().unwrap_err();
    drop(writer);

    let mut writer = open();
    assert_eq!((writer.position(STREAM, ItemKind::Readings), writer.reach()), (2, 6));
    append(&mut writer, 4, &[40, 80]);
    assert_eq!(
        writer.rows_in_memory(),
        1,
        "the first of them is there, of the second nobody knows"
    );
    append(&mut writer, 7, &[40]);
    assert_eq!(writer.rows_in_memory(), 2, "another one of that day is new");
    writer.finalize().unwrap();
    assert_eq!((open().position(STREAM, ItemKind::Readings), writer.reach()), (7, 7));
}
