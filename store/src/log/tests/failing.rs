//! A disk that says no.

use std::io::ErrorKind;

use smollama_engine::disk::{Crash, Fault};

use super::*;

const CAP: ByteSize = ByteSize::kib(64);

#[test]
fn a_write_that_failed_half_way_is_undone_and_tried_again() {
    let disk = SimulatedDisk::new(4);
    let (host, journal) = inline(&disk, CAP, Durability::Process);
    let told = Arc::new(AtomicU64::new(0));
    for n in 0..50 {
        if n % 3 == 0 {
            disk.fail_at(0, Fault::TornWrite);
        }
        journal.append(at(0), &event(&host, n), counted(&told)).unwrap();
        assert_eq!(told.load(Ordering::SeqCst), if n % 3 == 0 { n } else { n + 1 });
        assert_eq!(values(&journal, 0), (0..=n).collect::<Vec<_>>(), "also what waits is read");
    }
    drop(journal);
    let (_, journal) = inline(&disk.restart(), CAP, Durability::Process);
    assert_eq!(values(&journal, 0), (0..50).collect::<Vec<_>>());
    assert_eq!(journal.fill().quarantined, 0);
}

#[test]
fn a_full_disk_keeps_receipts_waiting_and_then_the_journal_is_full() {
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let settings = settings(ByteSize::mib(64), Durability::Process);
    let journal = LogJournal::inline(&host, settings, 0).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    disk.capacity(Some(10_000));
    let mut taken = 0;
    // A text of some length, so that memory is full soon.
    let text = |n: u64| {
        let mut reading = reading(&host, n);
        reading.value = smollama_engine::reading::Value::text(&"x".repeat(10_000));
        event_of(vec![reading])
    };
    while journal.append(at(0), &text(taken), counted(&told)).is_ok() {
        taken += 1;
    }
    assert!((300..600).contains(&taken), "some MiB wait: {taken}");
    assert_eq!(told.load(Ordering::SeqCst), 0);
    assert!(disk.used() <= 10_000);
    disk.capacity(None);
    journal.append(at(0), &event(&host, 7), None).unwrap_err();
    assert_eq!(told.load(Ordering::SeqCst), taken, "tried again with the next call");
    assert_eq!(read(&journal, 0).len() as u64, taken);
    drop(journal);
    let (_, journal) = inline(&disk.restart(), ByteSize::mib(64), Durability::Process);
    assert_eq!(read(&journal, 0).len() as u64, taken);
}

#[test]
fn the_thread_tries_again_until_the_disk_takes_it() {
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let journal = LogJournal::open(&host, settings(CAP, Durability::Power), 0).unwrap();
    disk.fail_all(ErrorKind::StorageFull);
    let (receipt, told) = receipt();
    journal.append(at(0), &event(&host, 1), Some(receipt)).unwrap();
    let calls = disk.calls();
    while disk.calls() < calls + 3 {
        std::thread::yield_now();
    }
    assert!(told.try_recv().is_err());
    disk.heal();
    told.recv().unwrap();
    disk.crash(Crash::Power);
    let (_, journal) = inline(&disk.restart(), CAP, Durability::Power);
    assert_eq!(values(&journal, 0), [1]);
}

/// Whoever was refused a sync may not ask again.
#[test]
fn what_keeps_it_from_being_written_is_known_until_the_disk_takes_it() {
    for durability in [Durability::Power, Durability::Process] {
        let disk = SimulatedDisk::new(1);
        let host = host(&disk);
        let journal = LogJournal::open(&host, settings(CAP, durability), 0).unwrap();
        let (receipt, told) = receipt();
        journal.append(at(0), &event(&host, 1), Some(receipt)).unwrap();
        told.recv().unwrap();
        assert_eq!(journal.failure(), None);
        disk.fail_all(ErrorKind::StorageFull);
        journal.append(at(0), &event(&host, 2), None).unwrap();
        let why = journal.sync().unwrap_err().to_string();
        let calls = disk.calls();
        while disk.calls() < calls + 3 {
            assert_eq!(journal.failure().as_ref(), Some(&why));
            std::thread::yield_now();
        }
        disk.heal();
        while journal.failure().is_some() {
            std::thread::yield_now();
        }
        assert_eq!(values(&journal, 0), [1, 2]);
    }
}

#[test]
fn a_receipt_is_not_told_when_the_journal_ends_before_the_disk_takes_it() {
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let journal = LogJournal::open(&host, settings(CAP, Durability::Power), 0).unwrap();
    disk.fail_all(ErrorKind::StorageFull);
    let (receipt, told) = receipt();
    journal.append(at(0), &event(&host, 1), Some(receipt)).unwrap();
    assert!(journal.close().is_err());
    drop(journal);
    assert!(told.recv().is_err(), "dropped untold");
}

/// The sync of a file fails: from then on the file is left alone, and what it did not hold for sure is elsewhere before anyone is told.
#[test]
fn after_a_failed_sync_nothing_is_synced_again_and_nothing_told_is_lost() {
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let (host, journal) = inline(&disk, CAP, Durability::Power);
        let told = Arc::new(AtomicU64::new(0));
        for n in 0..20 {
            // The write is the first call, its sync the second; the name is synced once.
            if n == seed % 20 {
                disk.fail_at(if n == 0 { 2 } else { 1 }, Fault::Error(ErrorKind::Other));
            }
            journal.append(at(0), &event(&host, n), counted(&told)).unwrap();
        }
        assert_eq!(told.load(Ordering::SeqCst), 20);
        assert_eq!(values(&journal, 0), (0..20).collect::<Vec<_>>());
        assert_eq!(disk.violations(), [""; 0]);
        disk.crash(Crash::Power);
        let (_, journal) = inline(&disk.restart(), CAP, Durability::Power);
        assert_eq!(values(&journal, 0), (0..20).collect::<Vec<_>>(), "seed {seed}");
    }
}

/// What was written before and is no longer in memory is read back from the file, as long as the machine runs.
#[test]
fn a_failed_flush_under_process_costs_nothing_that_can_still_be_read() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let (host, journal) = inline(&disk, CAP, Durability::Process);
        append(&host, &journal, 0..1500);
        assert!(names(&disk).len() > 1);
        disk.fail_at(0, Fault::Error(ErrorKind::Other));
        journal.sync().unwrap();
        append(&host, &journal, 1500..1600);
        journal.sync().unwrap();
        assert_eq!(disk.violations(), [""; 0]);
        disk.crash(Crash::Power);
        let (_, journal) = inline(&disk.restart(), CAP, Durability::Process);
        assert_eq!(values(&journal, 0), (0..1600).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(journal.fill().quarantined, 0);
    }
}

#[test]
fn the_call_that_fails_may_be_any() {
    for call in 0..150 {
        for fault in [Fault::Error(ErrorKind::Other), Fault::TornWrite] {
            let disk = SimulatedDisk::new(call);
            disk.create_dir_all(Path::new(FOLDER)).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            disk.sync_dir(Path::new("/data")).unwrap();
            let (host, journal) = inline(&disk, CAP, Durability::Power);
            disk.fail_at(call, fault);
            let told = Arc::new(AtomicU64::new(0));
            let mut freed = 0;
            for n in 0..40 {
                let event = event_of(vec![reading(&host, n); 1000]);
                let seq = journal.append(at(0), &event, counted(&told)).unwrap();
                if seq % 10 == 0 {
                    freed = seq - 5;
                    journal.free(freed);
                }
                assert!(disk.used() <= CAP.0, "call {call}");
            }
            journal.sync().unwrap();
            assert_eq!(told.load(Ordering::SeqCst), 40);
            assert_eq!(disk.violations(), [""; 0]);
            disk.crash(Crash::Power);
            let (_, journal) = inline(&disk.restart(), CAP, Durability::Power);
            assert_eq!(values(&journal, freed), (freed..40).collect::<Vec<_>>(), "call {call}");
        }
    }
}
