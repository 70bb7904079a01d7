//! Crashes and failures at every call.

use smollama_engine::disk::{Crash, Fault};

use super::*;

const SEEDS: u64 = 30;

/// A disk on which revision 2 runs.
fn begun(seed: u64) -> (SimulatedDisk, Revisions) {
    let disk = SimulatedDisk::new(seed);
    let revisions = open(&disk);
    for number in 1..=2 {
        assert_eq!(revisions.stage(&sample(&number.to_string()), number - 1).unwrap(), number);
    }
    (disk, revisions)
}

fn calls() -> u64 {
    let (disk, revisions) = begun(0);
    let before = disk.calls();
    revisions.stage(&sample("3"), 2).unwrap();
    disk.calls() - before
}

fn cases() -> impl Iterator<Item = (u64, u64)> {
    assert_eq!(calls(), 6, "remove, create, write, sync, rename, sync of the folder");
    (0..calls()).flat_map(|n| (0..SEEDS).map(move |seed| (n, seed)))
}

#[test]
fn a_crash_at_any_call_of_a_stage_leaves_all_others_and_it_whole_or_not_there() {
    let mut kept = [0, 0];
    for (n, seed) in cases() {
        for how in [Crash::Kill, Crash::Power] {
            let (disk, revisions) = begun(seed);
            disk.fail_at(n, Fault::Crash(how));
            let staged = revisions.stage(&sample("3"), 2);
            let next = open(&disk.restart());
            let there = numbers(&next, 2);
            assert!(
                there == [3, 2, 1] || (there == [2, 1] && staged.is_err()),
                "{n}, {seed}: {there:?}"
            );
            kept[there.len() - 2] += 1;
            check_whole(&next);
            disk.restart().crash(Crash::Power);
            let next = open(&disk.restart());
            assert_eq!(numbers(&next, 2), there, "what was once found stays");
            check_whole(&next);
            let number = there[0] + 1;
            assert_eq!(next.stage(&sample(&number.to_string()), 2).unwrap(), number);
            check_whole(&next);
        }
    }
    assert!(kept.iter().all(|&times| times > 0), "{kept:?}");
}

#[test]
fn a_power_cut_takes_nothing_that_was_staged() {
    for seed in 0..SEEDS {
        let (disk, revisions) = begun(seed);
        revisions.stage(&sample("3"), 2).unwrap();
        disk.crash(Crash::Power);
        assert_eq!(numbers(&open(&disk.restart()), 2), [3, 2, 1]);
    }
}

/// That the test above would notice a sync that is missing.
#[test]
fn without_syncs_a_power_cut_would_take_what_was_staged() {
    let lost = |seed| {
        let (disk, revisions) = begun(seed);
        disk.ignore_syncs(true);
        revisions.stage(&sample("3"), 2).unwrap();
        disk.crash(Crash::Power);
        open(&disk.restart()).load(3).is_err()
    };
    assert!((0..SEEDS).any(lost));
}

#[test]
fn a_stage_that_fails_at_any_call_leaves_nothing() {
    for (n, seed) in cases() {
        for fault in [Fault::Error(io::ErrorKind::StorageFull), Fault::TornWrite] {
            let (disk, revisions) = begun(seed);
            disk.fail_at(n, fault);
            let there: &[u64] = match revisions.stage(&sample("3"), 2) {
                Ok(number) => {
                    assert_eq!((n, number), (0, 3), "nothing was there to remove");
                    &[3, 2, 1]
                }
                Err(error) => {
                    assert!(error.to_string().contains("write `/data/revisions/3.rev`"), "{error}");
                    &[2, 1]
                }
            };
            assert_eq!(numbers(&revisions, 2), there, "call {n}");
            check_whole(&revisions);
            assert!(disk.violations().is_empty());
        }
    }
}

#[test]
fn a_crash_at_any_call_leaves_the_key_whole_or_not_there() {
    let count = SimulatedDisk::new(0);
    let revisions = open(&count);
    let before = count.calls();
    revisions.hash("a", "b").unwrap();
    let calls = count.calls() - before;
    for (n, seed) in (0..calls).flat_map(|n| (0..SEEDS).map(move |seed| (n, seed))) {
        for how in [Crash::Kill, Crash::Power] {
            let disk = SimulatedDisk::new(seed);
            let revisions = open(&disk);
            disk.fail_at(n, Fault::Crash(how));
            let hash = revisions.hash("a", "b").ok();
            let disk = disk.restart();
            let next = open(&disk).hash("a", "b").unwrap();
            assert!(hash.is_none_or(|hash| hash == next));
            disk.crash(Crash::Power);
            assert_eq!(
                open(&disk.restart()).hash("a", "b").unwrap(),
                next,
                "it is durable at once"
            );
        }
    }
}
