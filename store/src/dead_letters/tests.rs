//! What becomes of dead letters.

use smollama_engine::batch::Items;
use smollama_engine::disk::{Crash, Fault, SimulatedDisk};
use smollama_engine::node::Reject;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::time::Timestamp;

use super::*;

#[test]
fn letters_say_why_and_hold_what_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let letters = DeadLetterFile::open(&host).unwrap();
    let series = host.series.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
    let reject = Reject { reason: String::new(), origin: "a.csv:3".into(), bytes: b"x,y".to_vec() };
    let items = Items::Readings(vec![Reading::new(Timestamp::EPOCH, series, 1.5)]);
    for content in [DeadContent::Raw(reject), DeadContent::Items(items)] {
        let letter = DeadLetter {
            address: "p/n".into(),
            time: Timestamp::EPOCH,
            reason: "no \"number\"".into(),
            content,
        };
        letters.put(&letter).unwrap();
    }
    let text = std::fs::read_to_string(letters.path()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["bytes"], "x,y");
    assert_eq!(lines[0]["reason"], "no \"number\"");
    assert_eq!(lines[1]["items"][0]["value"], 1.5);
}

#[test]
fn letters_are_found_shown_and_removed_by_their_id() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let letters = DeadLetterFile::open(&host).unwrap();
    for name in ["p/a", "p/b", "p/a"] {
        let reject = Reject { reason: String::new(), origin: "x".into(), bytes: b"y".to_vec() };
        let (time, content) = (Timestamp::EPOCH, DeadContent::Raw(reject));
        letters
            .put(&DeadLetter { address: name.into(), time, reason: "no".into(), content })
            .unwrap();
    }
    let filter = LetterFilter {
        address: Some(smollama_engine::glob::Glob::new("p/a").unwrap()),
        ..LetterFilter::default()
    };
    let page = letters.page(&filter, 1).unwrap();
    assert_eq!((page.letters.len(), page.total), (1, 2));
    let id = page.letters[0].id.clone();
    assert_eq!(letters.letter(&id).unwrap().unwrap().bytes.as_deref(), Some("y"));
    letters.remove(std::slice::from_ref(&id)).unwrap();
    assert!(letters.letter(&id).unwrap().is_none());
    assert_eq!(letters.count().0, 2);
    assert_eq!(DeadLetterFile::open(&host).unwrap().count(), letters.count());
}

#[test]
fn a_letter_that_a_crash_cut_in_two_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let path = DeadLetterFile::open(&host).unwrap().path().to_owned();
    std::fs::write(&path, "{\"time\":\"2026-01-01T00:00:00Z\",\"addr").unwrap();
    let letters = DeadLetterFile::open(&host).unwrap();
    let reject = Reject { reason: String::new(), origin: "x".into(), bytes: b"y".to_vec() };
    let (time, content) = (Timestamp::EPOCH, DeadContent::Raw(reject));
    letters.put(&DeadLetter { address: "p/a".into(), time, reason: "no".into(), content }).unwrap();
    assert_eq!(letters.page(&LetterFilter::default(), 9).unwrap().total, 1);
}

#[test]
fn two_files_at_most_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let letters = DeadLetterFile::open(&host).unwrap();
    let bytes = vec![b'x'; BYTES_KEPT];
    let reject = Reject { reason: String::new(), origin: String::new(), bytes };
    for _ in 0..3 * BYTES_MAX.0 / BYTES_KEPT as u64 {
        let letter = DeadLetter {
            address: "p/n".into(),
            time: Timestamp::EPOCH,
            reason: "why".into(),
            content: DeadContent::Raw(reject.clone()),
        };
        letters.put(&letter).unwrap();
    }
    let entries = host.disk.list(&folder.path().join("dead_letters")).unwrap();
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry.len <= FILE_MAX));
}

/// A host on a simulated disk.
fn simulated(disk: &SimulatedDisk) -> Arc<Host> {
    Arc::new(Host { disk: disk.shared(), ..Host::for_tests(Path::new("/data")) })
}

fn put(letters: &DeadLetterFile, origin: &str) -> io::Result<()> {
    let reject = Reject { reason: String::new(), origin: origin.into(), bytes: vec![b'x'; 100] };
    let (address, time, reason) = ("p/n".into(), Timestamp::EPOCH, "why".into());
    letters.put(&DeadLetter { address, time, reason, content: DeadContent::Raw(reject) })
}

fn origins(letters: &DeadLetterFile) -> Vec<String> {
    let all = letters.select(&Selection::Filter(LetterFilter::default())).unwrap();
    all.into_iter().filter_map(|letter| letter.origin).collect()
}

/// Puts letters until the process dies or all are put; gives those that were said to be kept.
fn live(disk: &SimulatedDisk, durability: Durability, begin: usize) -> Vec<String> {
    let Ok(letters) = DeadLetterFile::open(&simulated(disk)) else { return Vec::new() };
    let letters = letters.surviving(durability);
    let (mut waiting, mut kept) = (Vec::new(), Vec::new());
    for number in begin..begin + 6 {
        let origin = number.to_string();
        if put(&letters, &origin).is_ok() {
            waiting.push(origin);
        }
        if letters.keep().is_ok() {
            kept.append(&mut waiting);
        }
    }
    if letters.keep().is_ok() {
        kept.append(&mut waiting);
    }
    kept
}

#[test]
fn a_letter_that_is_kept_survives_a_crash_at_every_call() {
    for (durability, first, then) in [
        (Durability::Power, Crash::Power, Crash::Power),
        (Durability::Power, Crash::Kill, Crash::Power),
        (Durability::Process, Crash::Kill, Crash::Kill),
    ] {
        for call in 0.. {
            let disk = SimulatedDisk::new(call);
            disk.fail_at(call, Fault::Crash(first));
            let mut kept = live(&disk, durability, 0);
            let crashed = disk.has_crashed();
            let disk = disk.restart();
            kept.extend(live(&disk, durability, 6));
            disk.crash(then);
            let found = origins(&DeadLetterFile::open(&simulated(&disk.restart())).unwrap());
            for origin in &kept {
                let title = format!("{durability:?}, {first:?} at call {call}");
                assert!(found.contains(origin), "{title}: {origin} is lost of {found:?}");
            }
            if !crashed {
                assert_eq!(found.len(), 12);
                break;
            }
        }
    }
}

#[test]
fn a_call_that_fails_costs_no_letter_and_no_file_is_synced_again_after_that() {
    for fault in [Fault::Error(io::ErrorKind::Other), Fault::TornWrite] {
        for call in 0.. {
            let disk = SimulatedDisk::new(call);
            disk.fail_at(call, fault);
            let kept = live(&disk, Durability::Power, 0);
            let kept = if kept.is_empty() { live(&disk, Durability::Power, 0) } else { kept };
            let over = disk.calls() <= call;
            disk.crash(Crash::Power);
            let found = origins(&DeadLetterFile::open(&simulated(&disk.restart())).unwrap());
            let wanted: Vec<String> = (0..6).map(|number: u8| number.to_string()).collect();
            assert_eq!((kept, found), (wanted.clone(), wanted), "{fault:?} at call {call}");
            assert_eq!(disk.violations(), Vec::<String>::new());
            if over {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_gets_the_letters_when_it_has_room_again() {
    let disk = SimulatedDisk::new(1);
    let letters = DeadLetterFile::open(&simulated(&disk)).unwrap();
    put(&letters, "before").unwrap();
    letters.keep().unwrap();
    disk.capacity(Some(disk.used() + 10));
    let mut taken = 0;
    while put(&letters, &taken.to_string()).is_ok() {
        assert!(letters.keep().is_err());
        taken += 1;
    }
    assert!(taken > 100, "some wait in memory");
    assert!(disk.used() <= BYTES_MAX.0 + 10);
    disk.capacity(None);
    letters.keep().unwrap();
    assert_eq!(letters.count().0, taken + 1);
    disk.crash(Crash::Power);
    assert_eq!(DeadLetterFile::open(&simulated(&disk.restart())).unwrap().count().0, taken + 1);
}
