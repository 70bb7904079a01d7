//! Files that are not as they were written.

use std::io;

use super::*;
use crate::checkpoints::form;
use crate::envelope::{Kind, seal};

/// A disk that holds checkpoints 1 and 2, and the bytes of the second.
fn two() -> (SimulatedDisk, Vec<u8>) {
    let disk = SimulatedDisk::new(0);
    let checkpoints = open(&disk);
    for number in 1..=2 {
        checkpoints.write(&full(number, &checkpoints.host.series)).unwrap();
    }
    let bytes = disk.read(&checkpoints.path(2)).unwrap();
    (disk, bytes)
}

/// What is found where the second file holds these bytes, and how many were put aside.
fn found_with(disk: &SimulatedDisk, bytes: &[u8]) -> (Option<Checkpoint>, u64) {
    let path = format!("{FOLDER}/2.ckpt");
    let _ = disk.remove_file(Path::new(&path));
    disk.create_new(Path::new(&path)).unwrap().write_all(bytes).unwrap();
    let checkpoints = open(disk);
    let found = checkpoints.latest().unwrap();
    let all = found.map(|found| {
        assert_eq!(found, full(found.number, &checkpoints.host.series), "nobody wrote this");
        found
    });
    (all, checkpoints.damaged())
}

#[test]
fn a_file_cut_short_is_put_aside_and_the_one_before_is_taken() {
    let (disk, bytes) = two();
    for len in 0..bytes.len() {
        let (found, damaged) = found_with(&disk, &bytes[..len]);
        assert_eq!((found.map(|found| found.number), damaged), (Some(1), 1), "{len} bytes");
        assert_eq!(names(&disk), ["1.ckpt", "2.ckpt.damaged"]);
    }
    let (found, damaged) = found_with(&disk, &bytes);
    assert_eq!((found.map(|found| found.number), damaged), (Some(2), 0));
}

#[test]
fn a_file_with_a_byte_changed_is_put_aside_and_the_one_before_is_taken() {
    let (disk, bytes) = two();
    for (at, change) in (0..bytes.len()).flat_map(|at| [1, 0x80, 0xff].map(|change| (at, change))) {
        let mut flipped = bytes.clone();
        flipped[at] ^= change;
        let (found, damaged) = found_with(&disk, &flipped);
        assert_eq!((found.map(|found| found.number), damaged), (Some(1), 1), "byte {at}");
    }
    let (found, _) = found_with(&disk, &[&bytes[..], b"x"].concat());
    assert_eq!(found.map(|found| found.number), Some(1));
}

proptest! {
    #[test]
    fn whatever_happens_to_a_file_only_what_was_written_is_read(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        zeroed in any::<prop::sample::Index>(),
    ) {
        let (disk, bytes) = two();
        let mut changed = bytes.clone();
        for (at, byte) in changes {
            changed[at.index(bytes.len())] = byte;
        }
        let from = zeroed.index(bytes.len());
        for spoilt in [changed, [&bytes[..from], &vec![0; bytes.len() - from]].concat()] {
            let whole = spoilt == bytes;
            let (found, damaged) = found_with(&disk, &spoilt);
            let number = found.map(|found| found.number);
            prop_assert_eq!((number, damaged), if whole { (Some(2), 0) } else { (Some(1), 1) });
        }
    }
}

#[test]
fn a_file_under_the_name_of_another_is_damage() {
    let (disk, bytes) = two();
    disk.create_new(&Path::new(FOLDER).join("9.ckpt")).unwrap().write_all(&bytes).unwrap();
    let checkpoints = open(&disk);
    assert_eq!(checkpoints.latest().unwrap().unwrap().number, 2);
    assert_eq!(names(&disk), ["1.ckpt", "2.ckpt", "9.ckpt.damaged"]);
}

#[test]
fn where_all_are_damaged_there_is_none_and_few_are_kept() {
    let (disk, _) = two();
    disk.create_new(&Path::new(FOLDER).join("3.ckpt")).unwrap();
    for number in 1..=2 {
        replace(&disk, &format!("{FOLDER}/{number}.ckpt"), b"");
    }
    let checkpoints = open(&disk);
    assert_eq!(checkpoints.latest().unwrap(), None);
    assert_eq!(checkpoints.damaged(), 3);
    assert_eq!(names(&disk), ["2.ckpt.damaged", "3.ckpt.damaged"]);
    // Life goes on.
    checkpoints.write(&full(1, &checkpoints.host.series)).unwrap();
    assert_eq!(open(&disk).latest().unwrap().unwrap().number, 1);
}

#[test]
fn a_later_format_is_refused_by_name_and_left_alone() {
    let (disk, _) = two();
    let later = seal(&Kind { format: form::KIND.format + 1, ..form::KIND }, b"who knows");
    disk.create_new(&Path::new(FOLDER).join("3.ckpt")).unwrap().write_all(&later).unwrap();
    let checkpoints = open(&disk);
    let error = checkpoints.latest().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let start = "`/data/checkpoints/3.ckpt` has checkpoint format 2, written by smollama ";
    assert!(error.to_string().starts_with(start), "{error}");
    assert_eq!(checkpoints.damaged(), 0);
    assert_eq!(disk.read(&checkpoints.path(3)).unwrap(), later);
}

#[test]
fn a_disk_that_cannot_be_read_is_no_damage() {
    let (disk, _) = two();
    let checkpoints = open(&disk);
    disk.fail_reads(io::ErrorKind::Other);
    assert_eq!(checkpoints.latest().unwrap_err().kind(), io::ErrorKind::Other);
    disk.heal();
    assert_eq!(checkpoints.latest().unwrap().unwrap().number, 2);
    assert_eq!(checkpoints.damaged(), 0);
}
