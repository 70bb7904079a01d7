//! A crash at every point at which an apply waits: what runs then is the old graph or the new one, whole, and nothing is missing.

use super::applies::{Step, play};
use super::blueprint::{Edit, Kind};
use super::memory::{Crash, Durability};
use super::site::Site;
use super::world::Mode;

fn edit(what: Kind, which: usize, other: usize) -> Edit {
    Edit { what, which, other }
}

/// Changes of every kind at once, of nodes of every kind.
fn edits() -> Vec<Edit> {
    vec![
        edit(Kind::Rename, 4, 0),
        edit(Kind::Rename, 7, 0),
        edit(Kind::Retune, 0, 0),
        edit(Kind::Reset, 2, 0),
        edit(Kind::Remake, 0, 0),
        edit(Kind::Remake, 3, 0),
        edit(Kind::Rewire, 5, 2),
        edit(Kind::AddBranch, 1, 1),
        edit(Kind::Remove, 8, 0),
    ]
}

/// Crashes the host when an apply has waited so often. Gives whether it did, and whether the apply was done.
fn crash_after(polls: usize, crash: Crash, edits: &[Edit], mode: Mode) -> (bool, usize) {
    let site = Site::new();
    if crash == Crash::PowerCut {
        site.memory.lock().durability = Durability::Power;
    }
    let steps = [
        Step::Send(0, 3),
        Step::Send(1, 2),
        Step::Pass(0.3),
        Step::Checkpoint,
        Step::Set(2, mode),
        Step::Send(0, 700),
        Step::Send(2, 2),
        Step::Steps(5),
        Step::Apply(edits.to_vec(), 2, Some((polls, crash))),
    ];
    let (crashes, applied) = play(&site, &steps);
    (!crashes.is_empty(), applied)
}

fn crash_everywhere(edits: &[Edit], mode: Mode) {
    for crash in [Crash::Kill, Crash::PowerCut] {
        let (mut old, mut new) = (0, 0);
        for polls in 0.. {
            let (crashed, applied) = crash_after(polls, crash, edits, mode);
            if !crashed {
                assert_eq!(applied, 1, "in the end it is done");
                break;
            }
            assert!(polls < 1_000, "it never ends");
            (old, new) = (old + (1 - applied), new + applied);
        }
        assert!(old > 3, "{crash:?} {mode:?}: {old} crashes found the old graph");
        assert!(new > 0, "{crash:?} {mode:?}: {new} crashes found the new graph");
    }
}

#[test]
fn a_crash_wherever_an_apply_waits_loses_nothing() {
    crash_everywhere(&edits(), Mode::Fine);
}

#[test]
fn a_crash_wherever_an_apply_waits_for_a_sink_loses_nothing() {
    // The one that takes nothing is removed.
    let edits = [
        edit(Kind::Remove, 8, 0),
        edit(Kind::Reset, 1, 0),
        edit(Kind::Remake, 0, 0),
        edit(Kind::Remake, 3, 0),
        edit(Kind::AddBranch, 1, 1),
        edit(Kind::Rewire, 5, 2),
    ];
    crash_everywhere(&edits, Mode::Hangs);
}
