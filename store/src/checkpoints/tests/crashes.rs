//! Crashes and failures at every call of a write.

use std::io;

use smollama_engine::disk::{Crash, Fault};

use super::*;

const SEEDS: u64 = 40;

/// A disk with checkpoints 1 and 2, both confirmed.
fn begun(seed: u64) -> (SimulatedDisk, FileCheckpoints) {
    let disk = SimulatedDisk::new(seed);
    let checkpoints = open(&disk);
    for number in 1..=2 {
        checkpoints.write(&full(number, &checkpoints.host.series)).unwrap();
    }
    (disk, checkpoints)
}

/// How many calls writing a third one takes.
fn calls() -> u64 {
    let (disk, checkpoints) = begun(0);
    let before = disk.calls();
    checkpoints.write(&full(3, &checkpoints.host.series)).unwrap();
    disk.calls() - before
}

/// The number of the latest, which must be whole.
fn latest(disk: &SimulatedDisk) -> u64 {
    let checkpoints = open(disk);
    let found = checkpoints.latest().unwrap().expect("one is always there");
    assert_eq!(found, full(found.number, &checkpoints.host.series));
    assert_eq!(checkpoints.damaged(), 0);
    found.number
}

#[test]
fn a_crash_at_any_call_leaves_the_old_one_or_the_new_one() {
    let mut old_and_new = [0, 0];
    assert_eq!(calls(), 6, "create, write, sync, rename, sync of the folder, remove");
    for (n, seed) in (0..calls()).flat_map(|n| (0..SEEDS).map(move |seed| (n, seed))) {
        for how in [Crash::Kill, Crash::Power] {
            let (disk, checkpoints) = begun(seed);
            disk.fail_at(n, Fault::Crash(how));
            let written = checkpoints.write(&full(3, &checkpoints.host.series));
            assert!(disk.has_crashed());
            let disk = disk.restart();
            let found = latest(&disk);
            assert!(
                found == 3 || (found == 2 && written.is_err()),
                "call {n}, seed {seed}: {found}"
            );
            old_and_new[usize::from(found == 3)] += 1;
            disk.crash(Crash::Power);
            let disk = disk.restart();
            assert_eq!(latest(&disk), found, "what was once found stays");
            // The next process goes on, and leaves nothing lying about.
            let next = open(&disk);
            next.latest().unwrap();
            next.write(&full(4, &next.host.series)).unwrap();
            assert_eq!(names(&disk), [format!("{found}.ckpt"), "4.ckpt".into()]);
        }
    }
    assert!(old_and_new.iter().all(|&times| times > 0), "{old_and_new:?}");
}

#[test]
fn a_write_that_fails_at_any_call_leaves_the_old_one() {
    for (n, seed) in (0..calls()).flat_map(|n| (0..SEEDS).map(move |seed| (n, seed))) {
        for fault in [Fault::Error(io::ErrorKind::StorageFull), Fault::TornWrite] {
            let (disk, checkpoints) = begun(seed);
            disk.fail_at(n, fault);
            let written = checkpoints.write(&full(3, &checkpoints.host.series));
            let wanted = if written.is_ok() { 3 } else { 2 };
            assert_eq!(checkpoints.latest().unwrap().unwrap().number, wanted, "call {n}");
            disk.crash(Crash::Power);
            let disk = disk.restart();
            assert_eq!(latest(&disk), wanted, "call {n}, seed {seed}, after a power cut");
            assert!(disk.violations().is_empty(), "{:?}", disk.violations());
        }
    }
}

#[test]
fn a_write_works_again_after_one_that_failed() {
    for n in 0..calls() {
        let (disk, checkpoints) = begun(n);
        disk.fail_at(n, Fault::Error(io::ErrorKind::Other));
        let _ = checkpoints.write(&full(3, &checkpoints.host.series));
        checkpoints.write(&full(4, &checkpoints.host.series)).unwrap();
        disk.crash(Crash::Power);
        assert_eq!(latest(&disk.restart()), 4);
    }
}

#[test]
fn a_full_disk_keeps_the_one_before() {
    let (disk, checkpoints) = begun(0);
    disk.capacity(Some(disk.used() + 10));
    let error = checkpoints.write(&full(3, &checkpoints.host.series)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(names(&disk), ["1.ckpt", "2.ckpt"]);
    disk.capacity(None);
    checkpoints.write(&full(3, &checkpoints.host.series)).unwrap();
    assert_eq!(latest(&disk), 3);
}

/// That the tests above would notice a sync that is missing.
#[test]
fn without_syncs_a_power_cut_would_take_what_was_confirmed() {
    let lost = |seed| {
        let (disk, checkpoints) = begun(seed);
        disk.ignore_syncs(true);
        checkpoints.write(&full(3, &checkpoints.host.series)).unwrap();
        disk.crash(Crash::Power);
        let next = open(&disk.restart());
        next.latest().unwrap().map(|found| found.number) != Some(3)
    };
    assert!((0..SEEDS).any(lost));
}

#[test]
fn a_number_is_written_once_and_ascending() {
    let (disk, checkpoints) = begun(0);
    for number in [1, 2] {
        let error = checkpoints.write(&full(number, &checkpoints.host.series)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    let bytes = checkpoints.write(&full(10, &checkpoints.host.series)).unwrap();
    assert_eq!(disk.read(&checkpoints.path(10)).unwrap().len() as u64, bytes);
    assert_eq!(names(&disk), ["10.ckpt", "2.ckpt"], "the newest by number, not by name");
    checkpoints.write(&full(11, &checkpoints.host.series)).unwrap();
    assert_eq!(names(&disk), ["10.ckpt", "11.ckpt"]);
    assert_eq!(latest(&disk), 11);
}

#[test]
fn a_host_begins_without_one() {
    let disk = SimulatedDisk::new(0);
    let checkpoints = open(&disk);
    assert_eq!(checkpoints.latest().unwrap(), None);
    disk.create_new(&Path::new(FOLDER).join("007.ckpt")).unwrap();
    disk.create_new(&Path::new(FOLDER).join("notes.txt")).unwrap();
    assert_eq!(checkpoints.latest().unwrap(), None, "what is not ours is left alone");
    assert_eq!(names(&disk), ["007.ckpt", "notes.txt"]);
}
