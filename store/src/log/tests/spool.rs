//! Spools.

use std::io::ErrorKind;

use smollama_engine::batch::Batch;
use smollama_engine::disk::{Crash, Fault};
use smollama_engine::run::{Spool, SpoolError, Spools};

use super::*;
use crate::log::LogSpools;

const NAME: &str = "greenhouse/Alerts>out";
const CAP: ByteSize = ByteSize::kib(64);

fn open(disk: &SimulatedDisk) -> (Arc<Host>, Box<dyn Spool>) {
    let host = host(disk);
    let spool = LogSpools::new(&host).open(NAME, CAP).unwrap();
    (host, spool)
}

/// A batch of `len` readings, the last of which is number `end` of its stream.
fn batch(host: &Host, end: u64, len: u64) -> Batch {
    let items = Items::Readings((end - len + 1..=end).map(|n| reading(host, n)).collect());
    Batch { items, received: at(7), seq: end * 3, end }
}

/// Appends batches of two readings until there are so many readings.
fn fill(host: &Host, spool: &mut dyn Spool, ends: std::ops::RangeInclusive<u64>) {
    for end in ends.step_by(2) {
        spool.append(&batch(host, end, 2)).unwrap();
    }
}

fn rest(spool: &mut dyn Spool) -> Vec<u64> {
    std::iter::from_fn(|| spool.next().unwrap()).map(|batch| batch.end).collect()
}

/// The offset of the next batch, which is as it was appended.
fn next(spool: &mut dyn Spool) -> u64 {
    let batch = spool.next().unwrap().unwrap();
    let values: Vec<f64> = batch.readings().iter().map(|one| one.value.as_f64().unwrap()).collect();
    assert_eq!(values, [batch.end as f64 - 1.0, batch.end as f64]);
    assert_eq!((batch.received, batch.seq), (at(7), batch.end * 3));
    batch.end
}

#[test]
fn batches_come_in_order_and_stay_until_they_are_confirmed() {
    let disk = SimulatedDisk::new(1);
    let (host, mut spool) = open(&disk);
    assert_eq!((spool.next().unwrap(), spool.last_end(), spool.items()), (None, None, 0));
    fill(&host, &mut *spool, 2..=20);
    assert_eq!((spool.last_end(), spool.items()), (Some(20), 20));
    assert_eq!(next(&mut *spool), 2);
    assert_eq!(next(&mut *spool), 4);
    assert_eq!(spool.items(), 20, "taken is not confirmed");
    spool.rewind();
    assert_eq!(next(&mut *spool), 2);
    assert_eq!(next(&mut *spool), 4);
    spool.confirm(2);
    assert_eq!(spool.items(), 18);
    assert_eq!(next(&mut *spool), 6);
    spool.rewind();
    assert_eq!(rest(&mut *spool), [4, 6, 8, 10, 12, 14, 16, 18, 20]);
    spool.confirm(20);
    assert_eq!((spool.items(), spool.next().unwrap()), (0, None));
    spool.append(&batch(&host, 21, 1)).unwrap();
    assert_eq!((rest(&mut *spool), spool.items(), spool.last_end()), (vec![21], 1, Some(21)));
}

#[test]
fn what_was_persisted_survives_a_power_cut() {
    for seed in 0..30 {
        let disk = SimulatedDisk::new(seed);
        let (host, mut spool) = open(&disk);
        fill(&host, &mut *spool, 2..=2000);
        for _ in 0..100 {
            spool.next().unwrap().unwrap();
        }
        spool.confirm(100);
        spool.persist().unwrap();
        fill(&host, &mut *spool, 2002..=2020);
        disk.crash(Crash::Power);
        let disk = disk.restart();
        let (_, mut spool) = open(&disk);
        assert!(spool.last_end() >= Some(2000), "{:?}", spool.last_end());
        let items = spool.items();
        let ends = rest(&mut *spool);
        assert_eq!(items, 2 * ends.len() as u64);
        assert!(ends.iter().copied().eq((102..=2020).step_by(2).take(ends.len())), "{ends:?}");
        assert!(ends.len() >= 950);
    }
}

#[test]
fn after_a_kill_only_what_was_confirmed_since_the_last_persist_comes_again() {
    let disk = SimulatedDisk::new(1);
    let (host, mut spool) = open(&disk);
    fill(&host, &mut *spool, 2..=40);
    rest(&mut *spool);
    spool.confirm(20);
    spool.persist().unwrap();
    spool.confirm(30);
    disk.crash(Crash::Kill);
    let disk = disk.restart();
    let (_, mut spool) = open(&disk);
    assert_eq!(spool.items(), 20);
    // The engine knows better, and says so before anything is taken.
    spool.confirm(30);
    assert_eq!(rest(&mut *spool), [32, 34, 36, 38, 40]);
    assert_eq!(spool.items(), 10);
}

#[test]
fn confirming_frees_room_and_an_empty_spool_takes_next_to_none() {
    let disk = SimulatedDisk::new(1);
    let (host, mut spool) = open(&disk);
    let mut next = 1;
    let mut confirmed = 0;
    for _ in 0..20 {
        loop {
            match spool.append(&batch(&host, next, 1)) {
                Ok(()) => next += 1,
                Err(SpoolError::Full) => break,
                Err(error) => panic!("{error}"),
            }
            assert!(disk.used() <= CAP.0);
        }
        assert!(spool.fill().bytes > CAP.0 - 1000);
        // The oldest go until there is room for one.
        while spool.append(&batch(&host, next, 1)).is_err() {
            confirmed = spool.next().unwrap().unwrap().end;
            spool.confirm(confirmed);
        }
        next += 1;
        assert_eq!(spool.items(), next - 1 - confirmed);
    }
    assert_eq!(rest(&mut *spool), (confirmed + 1..next).collect::<Vec<_>>());
    spool.confirm(next - 1);
    spool.persist().unwrap();
    assert!(disk.used() < 200, "{}", disk.used());
    drop(spool);
    let (_, mut spool) = open(&disk.restart());
    assert_eq!((spool.items(), spool.last_end(), rest(&mut *spool)), (0, Some(next - 1), vec![]));
}

#[test]
fn what_says_that_something_was_confirmed_keeps_no_segment_alive() {
    let disk = SimulatedDisk::new(1);
    let (host, mut spool) = open(&disk);
    fill(&host, &mut *spool, 2..=1000);
    rest(&mut *spool);
    spool.confirm(500);
    spool.persist().unwrap();
    assert!(disk.used() > 4096);
    spool.confirm(1000);
    assert!(disk.used() < 200, "{}", disk.used());
}

#[test]
fn a_disk_that_takes_nothing_is_an_error_and_the_batch_was_not_taken() {
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let mut spool = LogSpools::new(&host).open(NAME, ByteSize::mib(1)).unwrap();
    disk.fail_all(ErrorKind::StorageFull);
    let mut taken = 0;
    let error = loop {
        match spool.append(&batch(&host, taken + 1, 1)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100_000);
    };
    assert!(matches!(error, SpoolError::Disk(_)), "{error}");
    assert!(spool.persist().is_err());
    assert_eq!(spool.items(), taken);
    disk.heal();
    spool.append(&batch(&host, taken + 1, 1)).unwrap();
    spool.persist().unwrap();
    assert_eq!(rest(&mut *spool), (1..=taken + 1).collect::<Vec<_>>());
}

#[test]
fn a_failed_sync_is_made_good_before_persist_says_so() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let (host, mut spool) = open(&disk);
        fill(&host, &mut *spool, 2..=200);
        disk.fail_at(2, Fault::Error(ErrorKind::Other));
        spool.persist().unwrap();
        fill(&host, &mut *spool, 202..=300);
        spool.persist().unwrap();
        assert_eq!(disk.violations(), [""; 0]);
        disk.crash(Crash::Power);
        let (_, mut spool) = open(&disk.restart());
        assert_eq!(rest(&mut *spool).len(), 150);
    }
}

#[test]
fn damage_costs_what_is_there_and_the_count_of_what_waits_becomes_right() {
    let disk = SimulatedDisk::new(1);
    let (host, mut spool) = open(&disk);
    fill(&host, &mut *spool, 2..=3000);
    drop(spool);
    let disk = disk.restart();
    let folder = disk.list(Path::new("/data/spool")).unwrap().remove(0).name;
    let folder = Path::new("/data/spool").join(folder);
    let name = disk.list(&folder).unwrap().remove(0).name;
    let path = folder.join(name);
    let mut bytes = disk.read(&path).unwrap();
    bytes[3000..3010].fill(1);
    disk.remove_file(&path).unwrap();
    disk.create_new(&path).unwrap().write_all(&bytes).unwrap();
    let (_, mut spool) = open(&disk);
    assert_eq!(spool.items(), 3000);
    let found = rest(&mut *spool);
    assert!((1400..1500).contains(&found.len()), "{}", found.len());
    assert_eq!((spool.items(), spool.fill().quarantined), (2 * found.len() as u64, 1));
    spool.confirm(3000);
    assert_eq!(spool.items(), 0);
}

#[test]
fn a_removed_spool_is_gone_and_a_new_one_of_its_name_is_empty() {
    let disk = SimulatedDisk::new(1);
    let (host, mut spool) = open(&disk);
    fill(&host, &mut *spool, 2..=20);
    drop(spool);
    let spools = LogSpools::new(&host);
    let other = spools.open("greenhouse/alerts", CAP).unwrap();
    spools.remove(NAME).unwrap();
    spools.remove(NAME).unwrap();
    spools.remove("never/there").unwrap();
    assert_eq!(disk.list(Path::new("/data/spool")).unwrap().len(), 1);
    drop(other);
    assert_eq!(spools.open(NAME, CAP).unwrap().last_end(), None);
}

#[test]
fn a_name_that_is_no_name_of_a_folder_is_refused() {
    let host = host(&SimulatedDisk::new(1));
    let spools = LogSpools::new(&host);
    for name in ["", &"x".repeat(300)] {
        assert_eq!(spools.open(name, CAP).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    for name in ["..", "a/../b", "A", "a\0b"] {
        spools.open(name, CAP).unwrap();
    }
    let names = host.disk.list(Path::new("/data/spool")).unwrap();
    assert_eq!(names.len(), 4);
}

#[test]
fn a_crash_at_any_call_leaves_what_was_persisted() {
    for crash in [Crash::Kill, Crash::Power] {
        for call in 0..60 {
            let disk = SimulatedDisk::new(call);
            disk.fail_at(call, Fault::Crash(crash));
            let host = host(&disk);
            let (mut persisted, mut confirmed) = (0, 0);
            if let Ok(mut spool) = LogSpools::new(&host).open(NAME, CAP) {
                for end in 1..40u64 {
                    if spool.append(&batch(&host, end, 1)).is_err() {
                        break;
                    }
                    if end % 4 == 0 && spool.persist().is_ok() {
                        persisted = end;
                    }
                    if end % 6 == 0 {
                        let _ = spool.next();
                        spool.confirm(end / 6);
                        confirmed = end / 6;
                    }
                }
            }
            let (_, mut spool) = open(&disk.restart());
            let ends = rest(&mut *spool);
            assert!(ends.is_sorted_by(|a, b| a + 1 == *b), "call {call}: {ends:?}");
            assert!(ends.first().is_none_or(|first| *first <= confirmed + 1), "call {call}");
            assert!(ends.last().copied().unwrap_or(0) >= persisted, "call {call}: {ends:?}");
        }
    }
}

#[test]
fn a_folder_that_a_killed_process_had_just_made_survives_a_later_power_cut() {
    for call in 0..12 {
        for seed in 0..8 {
            let disk = SimulatedDisk::new(seed);
            disk.create_dir_all(Path::new("/data")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            disk.fail_at(call, Fault::Crash(Crash::Kill));
            let host = host(&disk);
            if let Ok(mut spool) = LogSpools::new(&host).open(NAME, CAP) {
                let _ = spool.append(&batch(&host, 2, 2));
                let _ = spool.persist();
            }
            let disk = disk.restart();
            // Others look after the names in the data directory.
            disk.sync_dir(Path::new("/data")).unwrap();
            let (host, mut spool) = open(&disk);
            spool.append(&batch(&host, 4, 2)).unwrap();
            spool.persist().unwrap();
            disk.crash(Crash::Power);
            let (_, mut spool) = open(&disk.restart());
            assert_eq!(rest(&mut *spool).last(), Some(&4), "killed at call {call}, seed {seed}");
        }
    }
}
