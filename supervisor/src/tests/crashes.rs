//! A crash at every call of the disk.

use std::path::PathBuf;

use smollama_engine::control::{Control, RollbackRequest};
use smollama_engine::disk::{Crash, Disk, Fault, write_atomically};
use smollama_engine::duration::Duration;
use smollama_store::log::Durability;

use super::calls;
use super::site::{Ended, Site, files};
use super::story::{self, Mood, Version};

/// What comes after the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// A life that ends in peace.
    Peace,
    /// A life that works on, and in the middle of it the power goes.
    PowerCut,
}

impl Site {
    /// The last life, a power cut after its end, and whether all is as promised.
    pub(super) fn end(&mut self, title: &str) {
        match self.live(async |life| story::last(life).await) {
            Ok(()) => {}
            Err(ended) => self.is_fine(title, &[format!("the last life: {ended}")]),
        }
        self.crash(Crash::Power);
        self.check(title);
    }

    /// Damages a checkpoint: 0 for the newest, 1 for the one before.
    fn damage_checkpoint(&mut self, from_newest: usize) {
        let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
        let checkpoints = files(&self.disk, &self.data_dir().join("checkpoints"));
        let mut paths: Vec<PathBuf> = checkpoints.into_iter().map(|(path, _)| path).collect();
        paths.sort_by_key(number);
        let path = paths.iter().rev().nth(from_newest).expect("a checkpoint");
        let mut bytes = self.disk.read(path).unwrap();
        bytes[20] ^= 1;
        write_atomically(&self.disk, path, &bytes).unwrap();
        self.damaged += 1;
    }

    /// What is known of a crash, and the next process.
    pub(super) fn crash_now(&mut self, how: Crash) {
        self.world.crashed(how, self.durability, self.now);
        self.crash(how);
        self.check_caps();
    }
}

/// How many calls the disk sees in a first life without trouble.
pub(super) fn story_calls(durability: Durability) -> u64 {
    let mut site = Site::new(0, durability);
    if let Err(ended) = site.live(async |life| story::first(life, Mood::Trusting).await) {
        site.is_fine("no crash", &[format!("the first life: {ended}")]);
    }
    let calls = site.disk.calls();
    site.crash_now(Crash::Power);
    site.end("no crash");
    calls
}

fn crash_at(call: u64, durability: Durability, how: Crash, then: Then, seed: u64) {
    let title = format!("{durability:?}, {how:?} at call {call}, then {then:?}, seed {seed}");
    let mut site = Site::new(seed, durability);
    site.disk.fail_at(call, Fault::Crash(how));
    match site.live(async |life| story::first(life, Mood::Trusting).await) {
        // Threads may save a call.
        Ok(()) | Err(Ended::Crashed) => {}
        Err(ended) => site.is_fine(&title, &[format!("the first life: {ended}")]),
    }
    site.crash_now(how);
    if then == Then::PowerCut {
        match site.live(async |life| story::on(life).await) {
            Ok(()) => {}
            Err(ended) => site.is_fine(&title, &[format!("the second life: {ended}")]),
        }
        site.crash_now(Crash::Power);
    }
    site.end(&title);
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    for (call, seed) in calls(story_calls(Durability::Power), 1) {
        crash_at(call, Durability::Power, Crash::Power, Then::Peace, seed);
    }
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_process_is_killed_and_the_power_goes_later() {
    for (call, seed) in calls(story_calls(Durability::Power), 4) {
        crash_at(call, Durability::Power, Crash::Kill, Then::PowerCut, seed);
    }
}

#[test]
fn under_process_a_kill_loses_nothing_and_a_power_cut_what_is_younger_than_flush() {
    for (call, seed) in calls(story_calls(Durability::Process), 3) {
        let how = if seed % 2 == 0 { Crash::Kill } else { Crash::Power };
        crash_at(call, Durability::Process, how, Then::Peace, seed);
    }
}

/// The mutation that stays: a disk that syncs nothing must be found out.
#[test]
fn a_sync_that_does_nothing_is_seen_as_a_loss() {
    let seen = (0..4).filter(|seed| {
        let mut site = Site::new(*seed, Durability::Power);
        site.disk.ignore_syncs(true);
        let lived = site.live(async |life| {
            life.apply(Version::First).await?;
            life.release().await;
            life.send(4).await
        });
        assert!(lived.is_ok(), "without a crash nothing is missing");
        site.crash_now(Crash::Power);
        site.disk.ignore_syncs(false);
        let lived = site.live(async |life| story::last(life).await);
        lived.is_err() || site.wrong().iter().any(|wrong| wrong.starts_with("P1"))
    });
    assert!(seen.count() > 0, "no power cut took anything");
}

#[test]
fn a_damaged_checkpoint_costs_nothing_as_the_one_before_takes_its_place() {
    let title = "the newest checkpoint is damaged";
    let mut site = Site::new(1, Durability::Power);
    let lived = site.live(async |life| {
        life.apply(Version::First).await?;
        life.release().await;
        for _ in 0..3 {
            life.send(500).await?;
            life.pass(Duration::from_secs(6)).await?;
            life.checkpoint().await?;
        }
        life.send(2).await
    });
    assert!(lived.is_ok());
    site.crash_now(Crash::Kill);
    site.damage_checkpoint(0);
    site.end(title);
    assert!(site.log().contains("is put aside"), "it was not read");
}

/// The checkpoint before the one that commits an apply names another revision, and knows another graph.
#[test]
fn a_damaged_checkpoint_takes_no_apply_with_it() {
    for (from_newest, how) in [(0, Crash::Kill), (1, Crash::Kill), (0, Crash::Power)] {
        let title = format!("the checkpoint {from_newest} before the newest is damaged, {how:?}");
        let mut site = Site::new(1, Durability::Power);
        let lived = site.live(async |life| {
            life.apply(Version::First).await?;
            life.release().await;
            life.send(20).await?;
            life.checkpoint().await?;
            life.world.set_away("out", true);
            life.send(3).await?;
            life.apply(Version::Second).await?;
            life.world.lock().confirmed = Some(Version::Second);
            life.send(3).await
        });
        assert!(lived.is_ok(), "{lived:?}");
        site.crash_now(how);
        site.damage_checkpoint(from_newest);
        site.end(&title);
        assert_eq!(site.log().contains("is put aside"), from_newest == 0, "{title}");
        assert!(!site.log().contains("may have been applied"), "{title}");
    }
}

/// What nothing can mend: it is said what to do.
#[test]
fn an_apply_that_two_damaged_checkpoints_took_is_named() {
    let mut site = Site::new(1, Durability::Power);
    let lived = site.live(async |life| {
        life.apply(Version::First).await?;
        life.apply(Version::Second).await
    });
    assert_eq!(lived.expect("it lives"), 2);
    site.crash_now(Crash::Kill);
    site.damage_checkpoint(0);
    site.damage_checkpoint(1);
    let lived = site.live(async |life| {
        let again = RollbackRequest { revision: Some(2), ..RollbackRequest::default() };
        let applied = life.supervisor.handle().rollback(again, "test").await;
        Ok::<_, Ended>((life.revision, applied.expect("it is kept").changes))
    });
    let (revision, changes) = lived.expect("it lives");
    assert_eq!((revision, &changes["summary"]["add"]), (0, &serde_json::json!(11)));
    let said = "revision 2 may have been applied after it";
    assert!(site.log().contains(said), "{}", site.log());
}

#[test]
fn a_letter_that_is_given_once_more_is_not_lost_on_its_way() {
    for call in 0.. {
        let title = format!("power cut at call {call} of giving letters again");
        let mut site = Site::new(call, Durability::Process);
        let lived = site.live(async |life| {
            life.apply(Version::First).await?;
            life.release().await;
            life.send(12).await?;
            life.pass(Duration::from_secs(6)).await?;
            life.world.lock().takes_all = true;
            life.world.set_away("out", true);
            life.disk.fail_at(call, Fault::Crash(Crash::Power));
            life.give_again("p/out").await
        });
        if let Err(ended @ (Ended::Failed(_) | Ended::NotBegun(_))) = &lived {
            site.is_fine(&title, &[format!("the first life: {ended}")]);
        }
        site.crash_now(Crash::Power);
        site.end(&title);
        if lived.is_ok() {
            break;
        }
    }
}
