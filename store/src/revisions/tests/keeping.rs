//! What is kept, for how long, and what is said of it.

use std::os::unix::ffi::OsStrExt as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::envelope::{self, Kind, seal};

#[test]
fn what_was_staged_is_loaded() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    assert_eq!(revisions.stage(&sample("first"), 0).unwrap(), 1);
    assert_eq!(revisions.stage(&sample("second"), 1).unwrap(), 2);
    let stored = Stored { number: 2, previous: 1, revision: sample("second") };
    assert_eq!(open(&disk).load(2).unwrap(), stored);

    let mut strange = sample("a path that is no text");
    strange.paths = vec![std::ffi::OsStr::from_bytes(b"/\xff\xfe").into()];
    strange.files.clear();
    let number = revisions.stage(&strange, 2).unwrap();
    assert_eq!(revisions.load(number).unwrap().revision, strange);
}

#[test]
fn a_list_says_which_one_runs_and_which_never_did() {
    let revisions = open(&SimulatedDisk::new(0));
    assert!(revisions.list(0).unwrap().is_empty());
    // 2 and 4 were staged, and their apply failed.
    for (number, current) in [(1, 0), (2, 1), (3, 1), (4, 3), (5, 3)] {
        assert_eq!(revisions.stage(&sample(&number.to_string()), current).unwrap(), number);
    }
    let standing = |current| -> Vec<(u64, Standing)> {
        let listed = revisions.list(current).unwrap();
        listed.iter().map(|listed| (listed.number, listed.standing)).collect()
    };
    use Standing::{Applied, Current, NotApplied};
    assert_eq!(
        standing(5),
        [(5, Current), (4, NotApplied), (3, Applied), (2, NotApplied), (1, Applied)]
    );
    assert_eq!(
        standing(3),
        [(5, NotApplied), (4, NotApplied), (3, Current), (2, NotApplied), (1, Applied)]
    );
    assert!(standing(0).iter().all(|(_, standing)| *standing == NotApplied));

    let listed = revisions.list(5).unwrap();
    let Revision { time, actor, message, paths, pipelines, files, .. } = sample("5");
    let summary =
        Summary { previous: 3, time, actor, message, paths, pipelines, files: files.len() };
    assert_eq!(listed[0].summary.as_ref().unwrap(), &summary);
}

#[test]
fn the_newest_are_kept_and_always_the_one_that_runs() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    for number in 1..=REVISIONS_MAX as u64 + 5 {
        revisions.stage(&sample(&number.to_string()), 2.min(number - 1)).unwrap();
    }
    let kept = numbers(&revisions, 2);
    assert_eq!(kept.len(), REVISIONS_MAX);
    assert_eq!(kept[kept.len() - 3..], [8, 7, 2]);
    assert!(matches!(revisions.load(1), Err(Error::Missing { number: 1 })));
    check_whole(&revisions);
}

#[test]
fn they_never_take_more_than_they_may() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    let mut current = 0;
    for _ in 0..6 {
        // The disk itself refuses any more.
        disk.capacity(Some(BYTES_MAX.0));
        current = revisions.stage(&large(5 << 20), current).unwrap();
        assert!(disk.used() <= BYTES_MAX.0);
    }
    assert_eq!(numbers(&revisions, current), [6, 5, 4]);

    let largest = REVISION_BYTES_MAX.0 as usize - 4_096;
    let current = revisions.stage(&large(largest), 6).unwrap();
    assert_eq!(revisions.stage(&large(largest), current).unwrap(), 8);
    assert_eq!(numbers(&revisions, current), [8, 7]);

    let error = revisions.stage(&large(REVISION_BYTES_MAX.0 as usize), current).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert!(error.to_string().contains("a revision may take 8MiB of the 16MiB"), "{error}");
    assert_eq!(numbers(&revisions, current), [8, 7]);
}

#[test]
fn a_number_is_not_used_again() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    assert_eq!(revisions.stage(&sample("10"), 9).unwrap(), 10, "the files of 1 to 9 are lost");
    assert_eq!(revisions.stage(&sample("11"), 9).unwrap(), 11, "10 was not committed");
    disk.remove_file(&revisions.path(11)).unwrap();
    assert_eq!(revisions.stage(&sample("12"), 9).unwrap(), 12);
    assert_eq!(open(&disk).stage(&sample("13"), 9).unwrap(), 13);
}

#[test]
fn damage_to_one_is_damage_to_one() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    for number in 1..=4 {
        revisions.stage(&sample(&number.to_string()), number - 1).unwrap();
    }
    let bytes = disk.read(&revisions.path(3)).unwrap();
    let replace = |bytes: &[u8]| {
        disk.remove_file(&revisions.path(3)).unwrap();
        disk.create_new(&revisions.path(3)).unwrap().write_all(bytes).unwrap();
    };
    let flipped = (0..bytes.len()).map(|at| {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        flipped
    });
    let cut = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    for spoilt in flipped.chain(cut) {
        replace(&spoilt);
        assert!(matches!(revisions.load(3), Err(Error::Damaged { number: 3, .. })));
        let listed = revisions.list(4).unwrap();
        let readable: Vec<_> = listed.iter().map(|one| (one.number, one.summary.is_ok())).collect();
        assert_eq!(readable, [(4, true), (3, false), (2, true), (1, true)]);
        assert!(listed[1..].iter().all(|one| one.standing == Standing::Applied));
    }
    let error = revisions.load(3).unwrap_err().to_string();
    let start = "revision 3 cannot be read: `/data/revisions/3.rev` is damaged: ";
    assert!(error.starts_with(start), "{error}");

    replace(&disk.read(&revisions.path(2)).unwrap());
    assert!(revisions.load(3).unwrap_err().to_string().ends_with("it is number 2"));

    replace(&seal(&Kind { format: 2, ..form::KIND }, b""));
    assert!(matches!(revisions.load(3), Err(Error::Newer { number: 3, .. })));
    let error = revisions.list(4).unwrap().remove(1).summary.unwrap_err().to_string();
    assert!(error.contains("has revision format 2, written by smollama "), "{error}");
    // It is still there for the release that can read it.
    revisions.stage(&sample("5"), 4).unwrap();
    assert!(disk.exists(&revisions.path(3)).unwrap());
}

#[test]
fn what_is_no_revision_is_left_alone() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    for name in ["0.rev", "007.rev", "x.rev", "notes.txt"] {
        disk.create_new(&revisions.folder.join(name)).unwrap();
    }
    assert!(revisions.list(0).unwrap().is_empty());
    assert_eq!(revisions.stage(&sample("1"), 0).unwrap(), 1);
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap().len(), 5);
    assert!(matches!(revisions.load(7), Err(Error::Missing { number: 7 })));
}

/// `format-1.rev` was written by the release that made the format. It is read as long as the format is.
#[test]
fn the_golden_file_of_format_1_is_read_and_written() {
    let golden = include_bytes!("format-1.rev");
    let stored = Stored { number: 3, previous: 2, revision: sample("golden") };
    assert_eq!(form::decode(golden, 3).unwrap(), stored);
    // Up to the compressed contents, which another release of zstd may well write in another way.
    let head = |file: &[u8]| {
        let body = envelope::open(&form::KIND, file).unwrap().1;
        let frame = body.windows(4).position(|bytes| bytes == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
        body[..frame].to_vec()
    };
    assert_eq!(head(&form::encode(3, 2, &stored.revision).unwrap()), head(golden));
}

proptest! {
    #[test]
    fn bytes_that_nobody_wrote_are_damage(body in vec(any::<u8>(), 0..200), bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(form::decode(&bytes, 1).is_err());
        // One that is sealed may be one by chance; it must not panic, or take memory that is not there.
        let _ = form::decode(&seal(&form::KIND, &body), 0);
    }

    #[test]
    fn whatever_the_files_hold_comes_back(
        files in vec((".{0,20}", ".{0,50}", vec(vec(any::<u8>(), 0..300), 0..3)), 0..6),
    ) {
        let tables = |tables: &[Vec<u8>]| tables.iter().map(|bytes| beside("/t", Role::Table, bytes)).collect();
        let files: Vec<_> =
            files.iter().map(|(path, text, beside)| file(path, text, tables(beside))).collect();
        let revision = Revision { files, ..sample("any") };
        let encoded = form::encode(1, 0, &revision).unwrap();
        prop_assert_eq!(form::decode(&encoded, 1).unwrap().revision, revision);
    }
}
