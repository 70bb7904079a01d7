use std::collections::BTreeSet;

use super::*;
use crate::disk::{RealDisk, create_dir_durably, write_atomically};

const SEEDS: u64 = 200;

/// What a file held after a crash, for many seeds; `None` where it was not there.
fn survivors(how: Crash, act: impl Fn(&SimulatedDisk)) -> BTreeSet<Option<Vec<u8>>> {
    let one = |seed| {
        let disk = SimulatedDisk::new(seed);
        act(&disk);
        disk.crash(how);
        match disk.restart().read(Path::new("/f")) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                None
            }
        }
    };
    (0..SEEDS).map(one).collect()
}

/// A file whose name is durable and whose first four bytes are.
fn begun(disk: &dyn Disk) -> Box<dyn DiskFile> {
    let mut file = disk.create_new(Path::new("/f")).unwrap();
    file.write_all(b"kept").unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file
}

fn some(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

/// What every disk does, in a folder of its own.
fn behaves(disk: &dyn Disk, folder: &Path) {
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    let at = |name: &str| folder.join(name);
    assert_eq!(kind(disk.create_new(&at("none/a")).map(drop)), io::ErrorKind::NotFound);
    disk.create_dir_all(&at("sub/deep")).unwrap();
    disk.create_dir_all(&at("sub/deep")).unwrap();

    let mut file = disk.create_new(&at("a")).unwrap();
    assert_eq!(kind(disk.create_new(&at("a")).map(drop)), io::ErrorKind::AlreadyExists);
    assert!(file.is_empty().unwrap());
    file.write_all(b"0123456789").unwrap();
    file.set_len(4).unwrap();
    file.write_all(b"ab").unwrap();
    assert_eq!(disk.read(&at("a")).unwrap(), b"0123ab", "writes go to the end, wherever it is");
    disk.append(&at("a")).unwrap().write_all(b"!").unwrap();
    file.sync().unwrap();
    assert_eq!(file.len().unwrap(), 7);

    let mut reader = disk.open(&at("a")).unwrap();
    let mut middle = [0; 3];
    reader.read_exact_at(&mut middle, 2).unwrap();
    assert_eq!(&middle, b"23a");
    assert_eq!(kind(reader.read_exact_at(&mut middle, 5)), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(reader.read_exact_at(&mut middle, 50)), io::ErrorKind::UnexpectedEof);
    reader.write_all(b"x").unwrap_err();

    disk.append(&at("b")).unwrap().write_all(b"b").unwrap();
    disk.rename(&at("b"), &at("a")).unwrap();
    assert_eq!(disk.read(&at("a")).unwrap(), b"b");
    reader.read_exact_at(&mut middle, 0).unwrap();
    assert_eq!(&middle, b"012", "what is open stays, whoever has its name");
    assert!(!disk.exists(&at("b")).unwrap());
    assert_eq!(kind(disk.rename(&at("b"), &at("a"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.open(&at("b")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.read(&at("sub")).map(drop)), io::ErrorKind::IsADirectory);

    let entry = |name: &str, len, is_dir| DiskEntry { name: name.into(), len, is_dir };
    assert_eq!(disk.list(folder).unwrap(), [entry("a", 1, false), entry("sub", 0, true)]);
    assert_eq!(kind(disk.list(&at("none")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.remove_dir(&at("sub"))), io::ErrorKind::DirectoryNotEmpty);
    disk.remove_dir(&at("sub/deep")).unwrap();
    disk.remove_dir(&at("sub")).unwrap();
    disk.remove_file(&at("a")).unwrap();
    assert_eq!(kind(disk.remove_file(&at("a"))), io::ErrorKind::NotFound);
    disk.sync_dir(folder).unwrap();
    assert_eq!(disk.list(folder).unwrap(), []);
}

#[test]
fn it_behaves_as_the_real_one() {
    let folder = tempfile::tempdir().unwrap();
    behaves(&RealDisk, folder.path());
    behaves(&SimulatedDisk::new(0), Path::new("/"));
}

#[test]
fn a_kill_takes_nothing_but_the_handles() {
    let found = survivors(Crash::Kill, |disk| {
        disk.create_new(Path::new("/f")).unwrap().write_all(b"unsynced").unwrap();
    });
    assert_eq!(found, BTreeSet::from([some(b"unsynced")]));

    let disk = SimulatedDisk::new(0);
    let mut file = begun(&disk);
    disk.crash(Crash::Kill);
    assert!(disk.has_crashed());
    let next = disk.restart();
    file.write_all(b"x").unwrap_err();
    file.sync().unwrap_err();
    file.len().unwrap_err();
    file.read_exact_at(&mut [0], 0).unwrap_err();
    disk.list(Path::new("/")).unwrap_err();
    disk.remove_file(Path::new("/f")).unwrap_err();
    assert_eq!(next.read(Path::new("/f")).unwrap(), b"kept");
    assert!(!next.has_crashed());
}

#[test]
fn a_power_cut_leaves_what_was_synced_and_anything_of_the_rest() {
    let found = survivors(Crash::Power, |disk| {
        let mut file = begun(disk);
        file.write_all(b"one").unwrap();
        file.write_all(b"two").unwrap();
    });
    assert!(
        found.iter().all(|bytes| bytes.as_ref().is_some_and(|bytes| bytes.starts_with(b"kept")))
    );
    let wanted: [&[u8]; 5] = [b"kept", b"keptone", b"keptonetwo", b"kepton", b"kept\0\0\0two"];
    for bytes in wanted {
        assert!(found.contains(&some(bytes)), "{found:?} lacks {bytes:?}");
    }
    assert!(found.contains(&some(b"kepto\0\0")), "a length noted before its bytes: {found:?}");
    assert!(found.iter().flatten().all(|bytes| bytes.len() <= b"keptonetwo".len()));
}

#[test]
fn what_was_cut_off_may_come_back_until_a_sync() {
    let cut = |file: &mut Box<dyn DiskFile>| file.set_len(2).unwrap();
    let found = survivors(Crash::Power, |disk| cut(&mut begun(disk)));
    assert_eq!(found, BTreeSet::from([some(b"ke"), some(b"kept")]));
    let found = survivors(Crash::Power, |disk| {
        let mut file = begun(disk);
        cut(&mut file);
        file.sync().unwrap();
    });
    assert_eq!(found, BTreeSet::from([some(b"ke")]));
}

#[test]
fn a_name_is_durable_only_when_its_folder_was_synced() {
    let created = |disk: &SimulatedDisk| {
        let mut file = disk.create_new(Path::new("/f")).unwrap();
        file.write_all(b"x").unwrap();
        file.sync().unwrap();
    };
    assert_eq!(survivors(Crash::Power, created), BTreeSet::from([None, some(b"x")]));
    let removed = |disk: &SimulatedDisk| {
        begun(disk);
        disk.remove_file(Path::new("/f")).unwrap();
    };
    assert_eq!(survivors(Crash::Power, removed), BTreeSet::from([None, some(b"kept")]));
    for (act, left) in [(&created as &dyn Fn(&SimulatedDisk), some(b"x")), (&removed, None)] {
        let synced = |disk: &SimulatedDisk| {
            act(disk);
            disk.sync_dir(Path::new("/")).unwrap();
        };
        assert_eq!(survivors(Crash::Power, synced), BTreeSet::from([left]));
    }
}

#[test]
fn a_rename_is_done_or_not() {
    let all = |seed| {
        let disk = SimulatedDisk::new(seed);
        begun(&disk);
        write_to(&disk, "/new", b"new");
        disk.sync_dir(Path::new("/")).unwrap();
        disk.rename(Path::new("/new"), Path::new("/f")).unwrap();
        disk.crash(Crash::Power);
        let disk = disk.restart();
        (disk.read(Path::new("/f")).unwrap(), disk.exists(Path::new("/new")).unwrap())
    };
    let found: BTreeSet<_> = (0..SEEDS).map(all).collect();
    assert_eq!(found, BTreeSet::from([(b"kept".to_vec(), true), (b"new".to_vec(), false)]));
}

fn write_to(disk: &SimulatedDisk, path: &str, bytes: &[u8]) {
    let mut file = disk.create_new(Path::new(path)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync().unwrap();
}

/// Another folder's sync writes a rename into it; that the file was once made elsewhere must not come back behind it.
#[test]
fn a_synced_rename_into_another_folder_leaves_nothing_behind() {
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        disk.create_dir_all(Path::new("/a")).unwrap();
        disk.create_dir_all(Path::new("/b")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        write_to(&disk, "/a/f", b"x");
        disk.rename(Path::new("/a/f"), Path::new("/b/f")).unwrap();
        disk.sync_dir(Path::new("/b")).unwrap();
        disk.crash(Crash::Power);
        let disk = disk.restart();
        assert_eq!(disk.list(Path::new("/a")).unwrap(), []);
        assert_eq!(disk.read(Path::new("/b/f")).unwrap(), b"x");
    }
}

#[test]
fn a_folder_takes_with_it_what_lies_in_it() {
    let lost = |seed| {
        let disk = SimulatedDisk::new(seed);
        disk.create_dir_all(Path::new("/a/b")).unwrap();
        write_to(&disk, "/a/b/f", b"x");
        disk.sync_dir(Path::new("/a/b")).unwrap();
        disk.sync_dir(Path::new("/a")).unwrap();
        disk.crash(Crash::Power);
        let disk = disk.restart();
        (disk.exists(Path::new("/a")).unwrap(), disk.exists(Path::new("/a/b/f")).unwrap())
    };
    let found: BTreeSet<_> = (0..SEEDS).map(lost).collect();
    assert_eq!(found, BTreeSet::from([(false, false), (true, true)]));
}

#[test]
fn a_folder_made_durably_stays() {
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        create_dir_durably(&disk, Path::new("/a/b/c")).unwrap();
        disk.create_dir_all(Path::new("/a/b/c/d")).unwrap();
        create_dir_durably(&disk, Path::new("/a/b/c/d")).unwrap();
        disk.crash(Crash::Power);
        assert!(disk.restart().exists(Path::new("/a/b/c/d")).unwrap());
    }
    create_dir_durably(&SimulatedDisk::new(0), Path::new("relative/folder")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    create_dir_durably(&RealDisk, &folder.path().join("a/b")).unwrap();
    create_dir_durably(&RealDisk, folder.path()).unwrap();
}

/// Whoever makes it may die, or be refused, at any call: the next one knows no more than what it finds.
#[test]
fn a_folder_made_durably_stays_whatever_became_of_an_earlier_try() {
    let path = Path::new("/a/b/c");
    let died = [Fault::Crash(Crash::Kill), Fault::Error(std::io::ErrorKind::Other)];
    for (fault, seed) in died.into_iter().flat_map(|fault| (0..SEEDS).map(move |s| (fault, s))) {
        for call in 0.. {
            let disk = SimulatedDisk::new(seed);
            disk.fail_at(call, fault);
            let made = create_dir_durably(&disk, path);
            let disk = disk.restart();
            create_dir_durably(&disk, path).unwrap();
            disk.crash(Crash::Power);
            assert!(disk.restart().exists(path).unwrap(), "{fault:?} at call {call}, seed {seed}");
            if made.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn calls_that_change_something_are_counted_and_each_can_fail() {
    let count = SimulatedDisk::new(0);
    write_atomically(&count, Path::new("/f"), b"new").unwrap();
    let calls = count.calls();
    assert_eq!(calls, 6, "remove, create, write, sync, rename, sync of the folder");
    count.read(Path::new("/f")).unwrap();
    assert_eq!(count.calls(), calls);

    for n in 1..calls {
        for fault in [Fault::Error(io::ErrorKind::StorageFull), Fault::TornWrite] {
            let disk = SimulatedDisk::new(n);
            disk.fail_at(n, fault);
            let error = write_atomically(&disk, Path::new("/f"), b"new").unwrap_err();
            assert_eq!(error.kind() == io::ErrorKind::StorageFull, fault != Fault::TornWrite);
            assert!(!disk.exists(Path::new("/.f.tmp")).unwrap(), "fails once, so it was removed");
        }
    }
}

#[test]
fn reads_fail_in_their_turn_where_they_count() {
    let disk = SimulatedDisk::new(0);
    let file = begun(&disk);
    disk.count_reads(true);
    let before = disk.calls();
    let reads: [&dyn Fn() -> io::Result<()>; 6] = [
        &|| disk.open(Path::new("/f")).map(drop),
        &|| disk.read(Path::new("/f")).map(drop),
        &|| disk.list(Path::new("/")).map(drop),
        &|| disk.exists(Path::new("/f")).map(drop),
        &|| file.len().map(drop),
        &|| file.read_exact_at(&mut [0], 0),
    ];
    for read in reads {
        disk.fail_at(1, Fault::Error(io::ErrorKind::StorageFull));
        read().unwrap();
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::StorageFull);
        read().unwrap();
    }
    assert_eq!(disk.calls() - before, 18);
    disk.fail_at(0, Fault::Crash(Crash::Power));
    disk.exists(Path::new("/f")).unwrap_err();
    assert!(disk.has_crashed());
}

#[test]
fn a_write_may_fail_half_way() {
    let torn = |seed| {
        let disk = SimulatedDisk::new(seed);
        let mut file = begun(&disk);
        disk.fail_at(0, Fault::TornWrite);
        file.write_all(b"ab").unwrap_err();
        disk.read(Path::new("/f")).unwrap()
    };
    let found: BTreeSet<_> = (0..SEEDS).map(torn).collect();
    let all: [&[u8]; 3] = [b"kept", b"kepta", b"keptab"];
    assert_eq!(found, all.map(<[u8]>::to_vec).into());
}

#[test]
fn a_crash_at_any_call_leaves_the_old_file_or_the_new_one() {
    let mut found = BTreeSet::new();
    for (n, seed) in (0..6).flat_map(|n| (0..SEEDS).map(move |seed| (n, seed))) {
        for how in [Crash::Kill, Crash::Power] {
            let disk = SimulatedDisk::new(seed);
            begun(&disk);
            disk.fail_at(n, Fault::Crash(how));
            write_atomically(&disk, Path::new("/f"), b"new").unwrap_err();
            assert!(disk.has_crashed());
            found.insert(disk.restart().read(Path::new("/f")).unwrap());
        }
    }
    assert_eq!(found, BTreeSet::from([b"kept".to_vec(), b"new".to_vec()]));
}

#[test]
fn all_may_fail_until_it_is_healed() {
    let disk = SimulatedDisk::new(0);
    let mut file = begun(&disk);
    disk.fail_all(io::ErrorKind::StorageFull);
    disk.fail_reads(io::ErrorKind::Other);
    for _ in 0..2 {
        assert_eq!(file.write_all(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.read(Path::new("/f")).unwrap_err().kind(), io::ErrorKind::Other);
    }
    disk.heal();
    file.write_all(b"x").unwrap();
    assert_eq!(disk.read(Path::new("/f")).unwrap(), b"keptx");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimulatedDisk::new(0);
    let mut file = begun(&disk);
    disk.capacity(Some(6));
    assert_eq!(file.write_all(b"abc").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.read(Path::new("/f")).unwrap(), b"keptab");
    assert_eq!(disk.used(), 6);
    file.set_len(1).unwrap();
    file.write_all(b"abc").unwrap();
    disk.remove_file(Path::new("/f")).unwrap();
    assert_eq!(disk.used(), 0);
}

#[test]
fn a_lying_disk_loses_what_it_claimed_to_have() {
    let found = survivors(Crash::Power, |disk| {
        disk.ignore_syncs(true);
        begun(disk);
    });
    assert!(found.contains(&None) && found.contains(&some(b"")), "{found:?}");
}

#[test]
fn a_sync_after_one_that_failed_is_a_violation_and_a_lie() {
    let found = survivors(Crash::Power, |disk| {
        let mut file = begun(disk);
        file.write_all(b"lost").unwrap();
        disk.fail_at(0, Fault::Error(io::ErrorKind::Other));
        file.sync().unwrap_err();
        assert_eq!(disk.read(Path::new("/f")).unwrap(), b"keptlost", "reads still show it");
        assert!(disk.violations().is_empty());
        file.write_all(b"!").unwrap();
        file.sync().unwrap();
        assert_eq!(disk.violations(), ["/f synced again after its sync had failed"]);
    });
    assert_eq!(found, BTreeSet::from([some(b"kept\0\0\0\0!")]));
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    let run = |seed| {
        let disk = SimulatedDisk::new(seed);
        let mut file = begun(&disk);
        for byte in 0..50 {
            file.write_all(&[byte; 7]).unwrap();
        }
        disk.crash(Crash::Power);
        disk.restart().read(Path::new("/f")).unwrap()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
