//! What the log promises.

mod codec;
mod damage;
mod failing;
mod figures;
mod golden;
mod journal;
mod model;
mod spool;
mod spool_model;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use smollama_engine::batch::Items;
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::Host;
use smollama_engine::disk::{Disk, SimulatedDisk};
use smollama_engine::node::Receipt;
use smollama_engine::reading::Reading;
use smollama_engine::run::{Event, Journal, JournalReader, Record};
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use super::{Durability, LogJournal, LogSettings};

const FOLDER: &str = "/data/journal";

/// A host on a simulated disk, with a series table of its own, as after a restart.
fn host(disk: &SimulatedDisk) -> Arc<Host> {
    host_on(disk.shared())
}

fn host_on(disk: Arc<dyn Disk>) -> Arc<Host> {
    Arc::new(Host { disk, ..Host::for_tests(Path::new("/data")) })
}

fn settings(cap: ByteSize, durability: Durability) -> LogSettings {
    let boot = Some(Uuid::from_u128(1));
    LogSettings { durability, boot, ..LogSettings::new(FOLDER, cap) }
}

fn inline(disk: &SimulatedDisk, cap: ByteSize, durability: Durability) -> (Arc<Host>, LogJournal) {
    let host = host(disk);
    let journal = LogJournal::inline(&host, settings(cap, durability), 0).unwrap();
    (host, journal)
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + micros)
}

/// A reading of series number `n % 7`, whose value is `n`.
fn reading(host: &Host, n: u64) -> Reading {
    let series = Series::new(SourceKey::local("t", &(n % 7).to_string())).with_unit("%");
    let series = host.series.intern(&series).unwrap();
    Reading::new(at(n.cast_signed() * 1000), series, n.cast_signed())
}

/// The event of some readings.
fn event_of(readings: Vec<Reading>) -> Event {
    let received = readings[0].time;
    let (source, items) = ("p/a".into(), Items::Readings(readings));
    Event::Items { source, received, items, position: None, retained: false }
}

/// The event of one reading.
fn event(host: &Host, n: u64) -> Event {
    event_of(vec![reading(host, n)])
}

/// The value of the first reading of a record.
fn value(record: &Record) -> u64 {
    let Event::Items { items: Items::Readings(readings), .. } = &record.event else {
        panic!("{record:?}")
    };
    readings[0].value.as_f64().unwrap() as u64
}

/// Appends events `from..to`, and gives the number of the last.
fn append(host: &Host, journal: &LogJournal, values: std::ops::Range<u64>) -> u64 {
    values.map(|n| journal.append(at(0), &event(host, n), None).unwrap()).last().unwrap()
}

/// Everything behind a number.
fn read(journal: &LogJournal, after: u64) -> Vec<Record> {
    let mut reader = journal.read_after(after).unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn values(journal: &LogJournal, after: u64) -> Vec<u64> {
    read(journal, after).iter().map(value).collect()
}

/// A receipt, and where it is seen that it was told.
fn receipt() -> (Receipt, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel();
    (Receipt::new(move || tell.send(()).unwrap()), told)
}

/// A receipt that counts.
fn counted(count: &Arc<AtomicU64>) -> Option<Receipt> {
    let count = count.clone();
    Some(Receipt::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    }))
}

/// The names in the folder of the log.
fn names(disk: &SimulatedDisk) -> Vec<String> {
    disk.list(Path::new(FOLDER)).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// Replaces a file's bytes by others.
fn rewrite(disk: &SimulatedDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = Path::new(FOLDER).join(name);
    let mut bytes = disk.read(&path).unwrap();
    change(&mut bytes);
    disk.remove_file(&path).unwrap();
    let mut file = disk.create_new(&path).unwrap();
    file.write_all(&bytes).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new(FOLDER)).unwrap();
}

/// What the items of a table say of their series, so that hosts can be compared.
fn described(series: &SeriesTable, items: &Items) -> Vec<Series> {
    match items {
        Items::Readings(all) => all.iter().map(|one| (*series.get(one.series)).clone()).collect(),
        Items::Windows(all) => {
            let summaries = all.iter().flat_map(|one| &one.summaries);
            summaries.map(|one| (*series.get(one.series)).clone()).collect()
        }
        Items::Observations(_) => Vec::new(),
    }
}
