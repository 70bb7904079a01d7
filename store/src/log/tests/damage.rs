//! Whatever lies on the disk: it opens, and what is whole is read.

use std::io;
use std::ops::Range;

use proptest::prelude::*;
use smollama_engine::disk::{Crash, DiskEntry, DiskFile, Fault};

use super::*;
use crate::log::NewerFormat;
use crate::log::frame::{self, Found, Header};

const CAP: ByteSize = ByteSize::kib(64);

/// A closed journal of some segments with values `0..count`.
fn written(count: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, CAP, Durability::Power);
    append(&host, &journal, 0..count);
    drop(journal);
    disk.restart()
}

/// A disk with places that cannot be read, the same in all files.
#[derive(Debug)]
struct BadPlaces {
    disk: SimulatedDisk,
    bad: Range<u64>,
}

#[derive(Debug)]
struct BadFile(Box<dyn DiskFile>, Range<u64>);

impl Disk for BadPlaces {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(BadFile(self.disk.open(path)?, self.bad.clone())))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create_new(path)
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(BadFile(self.disk.append(path)?, self.bad.clone())))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        self.disk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
}

impl DiskFile for BadFile {
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        if offset < self.1.end && offset + into.len() as u64 > self.1.start {
            return Err(io::Error::other("a bad place"));
        }
        self.0.read_exact_at(into, offset)
    }
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

#[test]
fn a_torn_tail_is_cut_off_and_the_rest_is_read() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, CAP, Durability::Power);
    let mut ends = vec![0];
    for n in 0..100 {
        append(&host, &journal, n..n + 1);
        ends.push(disk.used());
    }
    let name = names(&disk).pop().unwrap();
    let path = Path::new(FOLDER).join(&name);
    let whole = disk.read(&path).unwrap();
    for cut in (0..whole.len()).rev() {
        let disk = SimulatedDisk::new(1);
        disk.create_dir_all(Path::new(FOLDER)).unwrap();
        disk.create_new(&path).unwrap().write_all(&whole[..cut]).unwrap();
        let (host, journal) = inline(&disk, CAP, Durability::Power);
        let found = values(&journal, 0);
        if !found.is_empty() {
            assert_eq!(disk.read(&path).unwrap().len() as u64, ends[found.len()], "{cut}");
        }
        assert!(found.len() < 100 && found.iter().copied().eq(0..found.len() as u64), "{cut}");
        // What comes now is read behind it, in this life and the next.
        append(&host, &journal, 1000..1001);
        let expected = || (0..found.len() as u64).chain([1000]).collect::<Vec<_>>();
        assert_eq!(values(&journal, 0), expected(), "{cut}");
        let quarantined = journal.fill().quarantined;
        drop(journal);
        let (_, journal) = inline(&disk.restart(), CAP, Durability::Power);
        assert_eq!(values(&journal, 0), expected(), "{cut}");
        assert!(quarantined == 0 || found.is_empty(), "a tail is no damage");
    }
}

#[test]
fn a_damaged_place_costs_what_is_there_and_is_counted() {
    let disk = written(2000);
    let name = names(&disk).swap_remove(1);
    rewrite(&disk, &name, |bytes| bytes[5000] ^= 4);
    let (_, journal) = inline(&disk, CAP, Durability::Power);
    let found = values(&journal, 0);
    assert!(found.is_sorted() && found.len() < 2000, "{}", found.len());
    assert!(found.len() > 1900, "{} left", found.len());
    assert_eq!(journal.fill().quarantined, 1);
    assert_eq!(values(&journal, 0), found);
    assert_eq!(journal.fill().quarantined, 1, "it is counted once");
}

#[test]
fn a_damaged_header_costs_nothing_else() {
    let disk = written(2000);
    let name = names(&disk).swap_remove(1);
    rewrite(&disk, &name, |bytes| bytes[..30].fill(0x55));
    let (_, journal) = inline(&disk, CAP, Durability::Power);
    assert_eq!(values(&journal, 0), (0..2000).collect::<Vec<_>>());
    assert_eq!(journal.fill().quarantined, 1);
    assert!(journal.power_was_cut(), "who knows");
}

#[test]
fn what_is_missing_at_the_end_of_a_segment_is_counted() {
    let disk = written(2000);
    let name = names(&disk).swap_remove(0);
    rewrite(&disk, &name, |bytes| bytes.truncate(10_000));
    let (_, journal) = inline(&disk, CAP, Durability::Power);
    assert!(values(&journal, 0).len() < 2000);
    assert_eq!(journal.fill().quarantined, 1);
}

#[test]
fn a_damaged_segment_is_put_aside_when_it_is_done_with_and_one_is_kept() {
    let disk = written(2000);
    for name in names(&disk).into_iter().take(2) {
        rewrite(&disk, &name, |bytes| bytes[5000] ^= 4);
    }
    let (host, journal) = inline(&disk, CAP, Durability::Power);
    let last = read(&journal, 0).pop().unwrap().seq;
    assert_eq!(journal.fill().quarantined, 2);
    journal.free(last);
    let aside: Vec<_> = names(&disk).into_iter().filter(|name| name.contains("damaged")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(journal.fill().bytes, disk.used());
    // It makes room when that is needed.
    let mut taken = 0;
    while disk.used() < CAP.0 - 1000 {
        let _ = journal.append(at(0), &event(&host, 0), None);
        taken += 1;
        assert!(disk.used() <= CAP.0 && taken < 100_000);
    }
    assert!(!names(&disk).iter().any(|name| name.contains("damaged")));
}

#[test]
fn a_file_of_a_later_release_is_refused_by_name_and_not_touched() {
    let disk = written(2000);
    let name = names(&disk).swap_remove(1);
    rewrite(&disk, &name, |bytes| {
        bytes[8] = 9;
        let covered = 12 + usize::from(bytes[10]);
        let checksum = crc32fast::hash(&bytes[..covered]);
        bytes[covered..covered + 4].copy_from_slice(&checksum.to_le_bytes());
    });
    let before = (disk.written(), names(&disk));
    let error = LogJournal::inline(&host(&disk), settings(CAP, Durability::Power), 0).unwrap_err();
    assert_eq!((disk.written(), names(&disk)), before);
    let newer = error.get_ref().and_then(|error| error.downcast_ref::<NewerFormat>()).unwrap();
    assert_eq!((newer.found, newer.path.ends_with(&name)), (9, true));
    assert!(error.to_string().contains("update smollama"), "{error}");
}

/// Whole by its checksum, and yet nothing that this release would write.
#[test]
fn a_record_that_makes_no_sense_costs_itself_and_what_leans_on_it() {
    let disk = written(100);
    rewrite(&disk, "00000000000000000001.log", |bytes| {
        let mut at = Header::read(bytes).unwrap().1;
        for number in 1.. {
            let Found::Record { body, stands_alone } = frame::look(&bytes[at..], 1) else { break };
            let body = at + body.start..at + body.end;
            if number == 20 {
                let mut senseless = Vec::new();
                let start = frame::begin(&mut senseless, stands_alone);
                senseless.push(1);
                senseless.resize(senseless.len() + body.len() - 1, 0xff);
                frame::finish(&mut senseless, start, 1, stands_alone);
                bytes.splice(at..body.end, senseless);
            }
            at = body.end;
        }
    });
    let (_, journal) = inline(&disk, CAP, Durability::Power);
    let found = values(&journal, 0);
    assert!(found.iter().copied().eq((0..19).chain(100 - (found.len() as u64 - 19)..100)));
    assert!((50..99).contains(&found.len()), "{found:?}");
    assert_eq!(journal.fill().quarantined, 1);
}

#[test]
fn a_disk_that_cannot_be_read_for_a_while_costs_nothing() {
    let disk = written(2000);
    let (_, journal) = inline(&disk, CAP, Durability::Power);
    let mut reader = journal.read_after(0).unwrap();
    disk.fail_reads(io::ErrorKind::Other);
    for _ in 0..10 {
        assert!(reader.next().is_err(), "perhaps it works later");
    }
    disk.heal();
    assert_eq!(std::iter::from_fn(|| reader.next().unwrap()).count(), 2000);
    assert_eq!(journal.fill().quarantined, 0);
}

#[test]
fn a_place_that_cannot_be_read_costs_what_is_there() {
    let disk = written(2000);
    let bad = BadPlaces { disk: disk.clone(), bad: 5000..5100 };
    let host = host_on(Arc::new(bad));
    let journal = LogJournal::inline(&host, settings(CAP, Durability::Power), 0).unwrap();
    let found = values(&journal, 0);
    assert!(found.is_sorted(), "{found:?}");
    // A page of each of the segments.
    assert!((500..1900).contains(&found.len()), "{}", found.len());
    assert_eq!(journal.fill().quarantined, names(&disk).len() as u64);
    append(&host, &journal, 9000..9001);
    assert_eq!(values(&journal, 0).last(), Some(&9000));
}

#[test]
fn what_is_still_in_memory_is_not_read_back_after_a_failed_sync() {
    let disk = SimulatedDisk::new(1);
    let host = host_on(Arc::new(BadPlaces { disk: disk.clone(), bad: 40..60 }));
    let journal = LogJournal::inline(&host, settings(CAP, Durability::Power), 0).unwrap();
    let (receipt, told) = receipt();
    // The file is made and written, then synced.
    disk.fail_at(2, Fault::Error(io::ErrorKind::Other));
    journal.append(at(0), &event(&host, 5), Some(receipt)).unwrap();
    told.try_recv().unwrap();
    disk.crash(Crash::Power);
    let (_, journal) = inline(&disk.restart(), CAP, Durability::Power);
    assert_eq!(values(&journal, 0), [5]);
}

#[test]
fn segments_that_appear_twice_after_a_power_cut_count_once() {
    for seed in 0..30 {
        let disk = SimulatedDisk::new(seed);
        let (host, journal) = inline(&disk, CAP, Durability::Power);
        let mut last = 0;
        for n in 0..4000 {
            last = journal.append(at(0), &event(&host, n), None).unwrap();
            if n % 500 == 499 {
                journal.free(last - 100);
            }
        }
        disk.crash(Crash::Power);
        let disk = disk.restart();
        let (_, journal) = inline(&disk, CAP, Durability::Power);
        assert_eq!(values(&journal, last - 100), (3900..4000).collect::<Vec<_>>());
        assert!(disk.used() <= CAP.0);
    }
}

/// Appends until there is no room.
fn fill_up(host: &Host, journal: &LogJournal) {
    while journal.append(at(0), &event_of(vec![reading(host, 1); 50]), None).is_ok() {}
}

#[test]
fn what_was_removed_and_comes_back_after_a_power_cut_fits_below_the_cap() {
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let (host, journal) = inline(&disk, CAP, Durability::Process);
        for _ in 0..3 {
            fill_up(&host, &journal);
            journal.free(journal.last_seq() - 50);
            fill_up(&host, &journal);
        }
        disk.crash(Crash::Power);
        assert!(disk.restart().used() <= CAP.0, "seed {seed}");
    }
}

#[test]
fn what_was_undone_and_comes_back_after_a_power_cut_fits_below_the_cap() {
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let (host, journal) = inline(&disk, CAP, Durability::Process);
        append(&host, &journal, 0..3);
        disk.fail_at(0, Fault::TornWrite);
        journal.append(at(0), &event_of(vec![reading(&host, 1); 1500]), None).unwrap();
        disk.crash(Crash::Kill);
        let disk = disk.restart();
        let (host, journal) = inline(&disk, CAP, Durability::Process);
        fill_up(&host, &journal);
        disk.crash(Crash::Power);
        assert!(disk.restart().used() <= CAP.0, "seed {seed}");
    }
}

/// A crash at every call of a short life: it opens, and what was synced is there.
#[test]
fn a_crash_at_any_call_leaves_what_was_kept() {
    for crash in [Crash::Kill, Crash::Power] {
        for call in 0..60 {
            let disk = SimulatedDisk::new(call);
            disk.fail_at(call, Fault::Crash(crash));
            let host = host(&disk);
            let kept = Arc::new(AtomicU64::new(0));
            if let Ok(journal) = LogJournal::inline(&host, settings(CAP, Durability::Power), 0) {
                for n in 0..12 {
                    let _ = journal.append(at(0), &event(&host, n), counted(&kept));
                }
            }
            let (host, journal) = inline(&disk.restart(), CAP, Durability::Power);
            let found = values(&journal, 0);
            let kept = kept.load(Ordering::SeqCst);
            assert!(found.len() as u64 >= kept, "call {call}: {} of {kept}", found.len());
            assert!(found.iter().copied().eq(0..found.len() as u64), "call {call}: {found:?}");
            append(&host, &journal, 99..100);
            assert_eq!(values(&journal, 0).last(), Some(&99));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes at any place: it opens, gives nothing that was not written, and goes on.
    #[test]
    fn no_damage_keeps_it_from_opening_or_makes_things_up(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 1usize..600), 1..6),
    ) {
        let disk = written(2000);
        for (file, place, byte, len) in damages {
            let names = names(&disk);
            let name = &names[file.index(names.len())];
            rewrite(&disk, name, |bytes| {
                let place = place.index(bytes.len());
                let end = (place + len).min(bytes.len());
                bytes[place..end].fill(byte);
            });
        }
        let (host, journal) = inline(&disk, CAP, Durability::Power);
        let found = read(&journal, 0);
        // Where the definition of its series was lost, an event is empty.
        let some = |record: &&Record| matches!(&record.event, Event::Items { items, .. } if !items.is_empty());
        prop_assert!(found.iter().filter(some).all(|record| value(record) + 1 == record.seq));
        prop_assert!(found.is_sorted_by_key(|record| record.seq));
        let seq = append(&host, &journal, 7..8);
        let last = read(&journal, seq - 1);
        prop_assert_eq!(last.iter().map(|one| (one.seq, value(one))).collect::<Vec<_>>(), [(seq, 7)]);
    }
}
