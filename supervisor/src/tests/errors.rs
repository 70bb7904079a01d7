//! Calls of the disk that fail, for once or for a while.

use std::io;

use smollama_engine::disk::{Crash, Fault};
use smollama_engine::duration::Duration;
use smollama_store::log::Durability;

use super::calls;
use super::crashes::story_calls;
use super::site::{Ended, Site, Trouble, TroubleKind};
use super::story::{self, Mood};

/// A process that cannot begin is started again.
const STARTS_MAX: u32 = 3;

impl Site {
    /// A first life on a disk that does not do all it is asked to.
    pub(super) fn endure(&mut self, title: &str) {
        for start in 1.. {
            match self.live(async |life| story::first(life, Mood::Stubborn).await) {
                Ok(()) => return,
                Err(Ended::NotBegun(_)) if start < STARTS_MAX => self.restart(),
                Err(ended) => return self.is_fine(title, &[format!("the first life: {ended}")]),
            }
        }
    }
}

fn fails_at(call: u64, seed: u64, durability: Durability, fault: Fault) {
    let title = format!("{durability:?}, {fault:?} at call {call}, seed {seed}");
    let mut site = Site::new(seed, durability);
    site.disk.fail_at(call, fault);
    site.endure(&title);
    site.crash_now(Crash::Power);
    site.end(&title);
}

#[test]
fn an_error_at_any_call_costs_nothing() {
    for (call, seed) in calls(story_calls(Durability::Power), 5) {
        fails_at(call, seed, Durability::Power, Fault::Error(io::ErrorKind::Other));
    }
}

#[test]
fn a_write_torn_anywhere_costs_nothing() {
    for (call, seed) in calls(story_calls(Durability::Process), 5) {
        fails_at(call, seed, Durability::Process, Fault::TornWrite);
    }
}

#[test]
fn a_disk_that_fails_for_a_while_costs_nothing_and_nobody_has_to_help() {
    for (begin, seed) in calls(20, 2) {
        let title = format!("it fails at {begin} times 700 ms, seed {seed}");
        let mut site = Site::new(seed, Durability::Power);
        site.trouble = Some(Trouble {
            begin: Duration::from_millis(700 * begin as i64),
            span: Duration::from_secs(20),
            kind: TroubleKind::Fails,
        });
        site.endure(&title);
        site.trouble = None;
        site.crash_now(Crash::Power);
        site.end(&title);
    }
}

#[test]
fn what_a_failing_disk_did_not_take_was_not_acknowledged() {
    for (begin, seed) in calls(20, 2) {
        let title =
            format!("it fails at {begin} times 700 ms, and then the power goes, seed {seed}");
        let mut site = Site::new(seed, Durability::Power);
        site.cut_in_trouble(&title, Duration::from_millis(700 * begin as i64), TroubleKind::Fails);
        site.end(&title);
    }
}

impl Site {
    /// A first life into trouble that lasts, and a power cut in it.
    pub(super) fn cut_in_trouble(&mut self, title: &str, begin: Duration, kind: TroubleKind) {
        self.trouble = Some(Trouble { begin, span: Duration::from_days(1), kind });
        let began = self.now;
        let lived = self.live(async |life| {
            let disk = life.disk.clone();
            let power_cut = tokio::spawn(async move {
                tokio::time::sleep(begin.to_std() + std::time::Duration::from_secs(8)).await;
                disk.crash(Crash::Power);
            });
            let lived = story::first(life, Mood::Stubborn).await;
            power_cut.abort();
            lived
        });
        match lived {
            Ok(()) | Err(Ended::Crashed) => {}
            Err(ended) => self.is_fine(title, &[format!("the first life: {ended}")]),
        }
        self.trouble = None;
        self.disk.capacity(None);
        // Since then nothing could be noted.
        self.world.forget_notes(began.saturating_add(begin));
        self.crash_now(Crash::Power);
    }
}
