//! The journal where nothing goes wrong but the end of a process.

use std::time::Duration;

use smollama_engine::disk::Crash;

use super::*;

const CAP: ByteSize = ByteSize::kib(64);

fn open(disk: &SimulatedDisk, durability: Durability) -> (Arc<Host>, LogJournal) {
    let host = host(disk);
    let journal = LogJournal::open(&host, settings(CAP, durability), 0).unwrap();
    (host, journal)
}

/// Waits for what another thread does; the deadline is for a test that fails.
fn wait_until(what: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(std::time::Instant::now() < end, "it never came");
        std::thread::yield_now();
    }
}

#[test]
fn a_receipt_under_power_means_that_a_power_cut_takes_nothing() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let (host, journal) = open(&disk, Durability::Power);
        for n in 0..30 {
            let (receipt, told) = receipt();
            journal.append(at(0), &event(&host, n), Some(receipt)).unwrap();
            told.recv().unwrap();
        }
        disk.crash(Crash::Power);
        let (_, journal) = inline(&disk.restart(), CAP, Durability::Power);
        assert_eq!(values(&journal, 0), (0..30).collect::<Vec<_>>());
    }
}

#[test]
fn a_receipt_under_process_means_that_a_kill_takes_nothing() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = open(&disk, Durability::Process);
    let (receipt, told) = receipt();
    append(&host, &journal, 0..30);
    journal.append(at(0), &event(&host, 30), Some(receipt)).unwrap();
    told.recv().unwrap();
    disk.crash(Crash::Kill);
    let (_, journal) = inline(&disk.restart(), CAP, Durability::Process);
    assert_eq!(values(&journal, 0), (0..31).collect::<Vec<_>>());
}

#[test]
fn many_receipts_share_a_sync() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = open(&disk, Durability::Power);
    let count = Arc::new(AtomicU64::new(0));
    // While the files are held, everything gathers.
    let files = journal.log.files();
    for n in 0..100 {
        journal.append(at(0), &event(&host, n), counted(&count)).unwrap();
    }
    drop(files);
    wait_until(|| count.load(Ordering::SeqCst) == 100);
    let syncs = journal.fill().syncs;
    assert!(syncs <= 4, "one of the file and one of its name, perhaps twice, but {syncs}");
}

/// A receipt that waited for the stream to end would wait forever.
#[test]
fn receipts_are_told_while_more_and_more_comes() {
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let settings = settings(ByteSize::mib(64), Durability::Power);
    let journal = LogJournal::inline(&host, settings, 0).unwrap();
    let log = journal.log.clone();
    let other = host.clone();
    // Each receipt appends the next event.
    let again = Arc::new(AtomicU64::new(0));
    fn next(log: &Arc<crate::log::Log>, host: &Arc<Host>, again: &Arc<AtomicU64>) {
        let (ours, hosts, count) = (log.clone(), host.clone(), again.clone());
        let tell = Receipt::new(move || {
            if count.fetch_add(1, Ordering::SeqCst) < 10 {
                next(&ours, &hosts, &count);
            }
        });
        let event = event(host, 1);
        let mut tail = log.tail();
        log.append(&mut tail, Some(tell), |encoder, out| encoder.event(out, at(0), &event))
            .unwrap();
    }
    next(&log, &other, &again);
    log.pump(&mut log.files()).unwrap();
    assert_eq!(again.load(Ordering::SeqCst), 1, "the next is for the next time");
    for told in 2..=11 {
        log.pump(&mut log.files()).unwrap();
        assert_eq!(again.load(Ordering::SeqCst), told);
    }
}

#[test]
fn nothing_is_synced_and_nobody_wakes_while_nothing_arrives() {
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let mut settings = settings(CAP, Durability::Process);
    settings.flush = smollama_engine::duration::Duration::from_millis(1);
    let journal = LogJournal::open(&host, settings, 0).unwrap();
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap(), [], "it begins with the first event");
    append(&host, &journal, 0..1);
    wait_until(|| journal.fill().syncs > 0);
    wait_until(|| journal.log.tail().writer == crate::log::tail::Writer::Asleep);
    let (calls, syncs) = (disk.calls(), journal.fill().syncs);
    assert_eq!(syncs, 2, "the file and its name");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!((disk.calls(), journal.fill().syncs), (calls, syncs));
    assert_eq!(journal.log.tail().writer, crate::log::tail::Writer::Asleep);
}

#[test]
fn what_has_no_receipt_is_written_and_synced_in_time_all_the_same() {
    for durability in [Durability::Process, Durability::Power] {
        let disk = SimulatedDisk::new(1);
        let host = host(&disk);
        let mut settings = settings(CAP, durability);
        settings.flush = smollama_engine::duration::Duration::from_millis(20);
        let journal = LogJournal::open(&host, settings, 0).unwrap();
        append(&host, &journal, 0..10);
        // The first sync may come before the last of them.
        wait_until(|| journal.fill().syncs >= 2);
        wait_until(|| journal.log.tail().writer == crate::log::tail::Writer::Asleep);
        disk.crash(Crash::Power);
        let (_, journal) = inline(&disk.restart(), CAP, durability);
        assert_eq!(values(&journal, 0).len(), 10);
    }
}

#[test]
fn numbers_go_on_over_restarts_and_never_below_what_a_checkpoint_knows() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, CAP, Durability::Process);
    assert_eq!(journal.last_seq(), 0);
    assert_eq!((append(&host, &journal, 0..5), journal.skip_seq()), (5, 6));
    assert_eq!(append(&host, &journal, 5..6), 7);
    drop(journal);
    let disk = disk.restart();
    let host = super::host(&disk);
    let reopen = |least| LogJournal::inline(&host, settings(CAP, Durability::Process), least);
    assert_eq!(reopen(0).unwrap().last_seq(), 7);
    let journal = reopen(100).unwrap();
    assert_eq!((journal.last_seq(), append(&host, &journal, 6..7)), (100, 101));
    let numbers: Vec<u64> = read(&journal, 0).iter().map(|record| record.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 7, 101]);
}

#[test]
fn a_journal_that_was_emptied_still_knows_its_last_number() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, CAP, Durability::Process);
    let last = append(&host, &journal, 0..1000);
    journal.free(last);
    assert_eq!(values(&journal, 0), [0; 0]);
    assert!(journal.fill().bytes < 200, "{:?}", journal.fill());
    drop(journal);
    for _ in 0..3 {
        let (_, journal) = inline(&disk.restart(), CAP, Durability::Process);
        assert!(journal.last_seq() >= last);
    }
}

#[test]
fn a_reader_begins_behind_any_number() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, ByteSize::kib(128), Durability::Process);
    append(&host, &journal, 0..5000);
    assert!(names(&disk).len() > 3, "{:?}", names(&disk));
    for after in [0, 1, 63, 64, 1000, 2500, 4999] {
        assert_eq!(values(&journal, after), (after..5000).collect::<Vec<_>>());
    }
    assert_eq!(values(&journal, 5000), [0; 0]);
    assert_eq!(values(&journal, u64::MAX), [0; 0]);
}

#[test]
fn a_reader_at_the_end_finds_what_comes_later_also_what_is_not_written_yet() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = open(&disk, Durability::Process);
    let mut reader = journal.read_after(0).unwrap();
    assert!(reader.next().unwrap().is_none());
    // Nothing reaches the disk while this is held.
    let files = journal.log.files();
    let mut next = 0;
    for count in [1, 2, 3, 50, 500, 1000] {
        append(&host, &journal, next..next + count);
        for n in next..next + count {
            assert_eq!(reader.next().unwrap().as_ref().map(value), Some(n));
        }
        assert!(reader.next().unwrap().is_none());
        next += count;
    }
    assert!(journal.log.tail().segments.len() > 1);
    assert_eq!(names(&disk), [""; 0]);
    drop(files);
    journal.sync().unwrap();
    assert_eq!(values(&journal, 0).len() as u64, next);
}

#[test]
fn a_reader_goes_on_while_what_it_has_passed_is_let_go_of() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = open(&disk, Durability::Process);
    let mut reader = journal.read_after(0).unwrap();
    let mut last = 0;
    for n in 0..20_000 {
        while let Err(full) = journal.append(at(0), &event(&host, n), None) {
            assert!(full.receipt.is_none());
            while let Some(record) = reader.next().unwrap() {
                assert_eq!(value(&record), last);
                last += 1;
                assert_eq!(record.seq, last);
            }
            journal.free(last);
        }
    }
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(value(&record), last);
        last += 1;
    }
    assert_eq!(last, 20_000);
    assert!(disk.used() <= CAP.0);
}

#[test]
fn a_reader_beside_an_appender_sees_everything_once() {
    const LAST: u64 = 60_000;
    let disk = SimulatedDisk::new(1);
    let (host, journal) = open(&disk, Durability::Process);
    let failed = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..LAST {
                let event = event(&host, n);
                while journal.append(at(0), &event, None).is_err() {
                    if failed.load(Ordering::SeqCst) {
                        return;
                    }
                    std::thread::yield_now();
                }
            }
        });
        let mut reader = journal.read_after(0).unwrap();
        let mut seen = 0;
        while seen < LAST {
            let Some(record) = reader.next().unwrap() else { continue };
            if value(&record) != seen {
                failed.store(true, Ordering::SeqCst);
                break;
            }
            seen += 1;
            if seen.is_multiple_of(100) {
                journal.free(record.seq);
            }
        }
        seen
    });
    assert_eq!((seen, journal.fill().quarantined), (LAST, 0));
}

#[test]
fn it_never_takes_more_than_its_cap_and_is_full_instead() {
    for durability in [Durability::Process, Durability::Power] {
        let disk = SimulatedDisk::new(1);
        let (host, journal) = inline(&disk, ByteSize(1), durability);
        let mut kept = 0;
        let (receipt, _told) = receipt();
        let full = loop {
            match journal.append(at(0), &event(&host, kept), None) {
                Ok(number) => kept = number,
                Err(_) => break journal.append(at(0), &event(&host, 0), Some(receipt)),
            }
            assert!(disk.used() <= CAP.0);
        };
        assert!(full.unwrap_err().receipt.is_some(), "given back");
        let fill = journal.fill();
        assert_eq!((fill.bytes, fill.cap), (disk.used(), CAP.0));
        assert!(fill.bytes > CAP.0 - 1000, "{fill:?}");
        assert_eq!(journal.last_seq(), kept, "no number was taken");
        // A quarter is freed: that much is taken again.
        journal.free(kept / 3);
        let more = (0..).take_while(|&n| journal.append(at(0), &event(&host, n), None).is_ok());
        assert!(more.count() > 500);
        assert!(disk.used() <= CAP.0);
    }
}

#[test]
fn a_record_larger_than_a_segment_has_one_for_itself() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, CAP, Durability::Process);
    append(&host, &journal, 0..3);
    let many = |count| event_of(vec![reading(&host, 3); count]);
    journal.append(at(0), &many(8000), None).unwrap();
    append(&host, &journal, 4..6);
    assert_eq!(values(&journal, 0), [0, 1, 2, 3, 4, 5]);
    assert!(journal.append(at(0), &many(80_000), None).is_err(), "larger than the cap");
    append(&host, &journal, 6..7);
    drop(journal);
    let (_, journal) = inline(&disk.restart(), CAP, Durability::Process);
    assert_eq!(values(&journal, 0), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn closing_keeps_what_was_appended_and_takes_nothing_more() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = open(&disk, Durability::Process);
    append(&host, &journal, 0..10);
    journal.close().unwrap();
    let (receipt, told) = receipt();
    let full = journal.append(at(0), &event(&host, 10), Some(receipt)).unwrap_err();
    assert!(full.receipt.is_some() && told.try_recv().is_err());
    journal.close().unwrap();
    disk.crash(Crash::Power);
    let (_, journal) = inline(&disk.restart(), CAP, Durability::Process);
    assert_eq!(values(&journal, 0).len(), 10);
}

#[test]
fn what_a_killed_process_wrote_is_synced_with_what_its_successor_writes() {
    let disk = SimulatedDisk::new(3);
    let (host, journal) = inline(&disk, CAP, Durability::Process);
    append(&host, &journal, 0..3000);
    disk.crash(Crash::Kill);
    let disk = disk.restart();
    let (host, journal) = inline(&disk, CAP, Durability::Process);
    append(&host, &journal, 3000..3001);
    journal.sync().unwrap();
    disk.crash(Crash::Power);
    let (_, journal) = inline(&disk.restart(), CAP, Durability::Process);
    assert_eq!(values(&journal, 0).len(), 3001);
}

#[test]
fn it_knows_whether_the_machine_went_down() {
    let boot = |n| LogSettings { boot: n, ..settings(CAP, Durability::Process) };
    let [first, second] = [1, 2].map(|n| Some(Uuid::from_u128(n)));
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let open = |settings| LogJournal::inline(&host, settings, 0).unwrap();
    let journal = open(boot(first));
    assert!(!journal.power_was_cut(), "nothing was there");
    let last = append(&host, &journal, 0..1000);
    drop(journal);
    assert!(!open(boot(first)).power_was_cut());
    assert!(open(boot(second)).power_was_cut());
    assert!(open(boot(None)).power_was_cut(), "who knows");
    // A start that wrote something and died has not changed what lies before it.
    append(&host, &open(boot(second)), 0..1);
    let journal = open(boot(second));
    assert!(journal.power_was_cut());
    journal.free(last + 1);
    drop(journal);
    assert!(!open(boot(second)).power_was_cut(), "what was cut is done with");
}
