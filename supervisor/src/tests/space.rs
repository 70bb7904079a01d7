//! A disk that is full for a while.

use smollama_engine::disk::Crash;
use smollama_engine::duration::Duration;
use smollama_store::log::Durability;

use super::calls;
use super::site::{Site, Trouble, TroubleKind};

/// Room that is left: none, for a record or two, for a checkpoint but not for what comes with it.
const ROOM: [u64; 4] = [0, 150, 700, 4_000];

#[test]
fn a_full_disk_costs_nothing_and_what_waits_goes_on_when_there_is_room() {
    for (begin, seed) in calls(10, 2) {
        for room in ROOM {
            let title = format!("full at {begin} times 1400 ms but for {room} bytes, seed {seed}");
            let mut site = Site::new(seed, Durability::Power);
            site.trouble = Some(Trouble {
                begin: Duration::from_millis(1_400 * begin as i64),
                span: Duration::from_secs(20),
                kind: TroubleKind::Full(room),
            });
            site.endure(&title);
            site.trouble = None;
            site.disk.capacity(None);
            site.crash_now(Crash::Power);
            site.end(&title);
        }
    }
}

#[test]
fn what_a_full_disk_did_not_take_was_not_acknowledged() {
    for (begin, seed) in calls(10, 3) {
        for room in ROOM {
            let title =
                format!("full at {begin} times 1400 ms but for {room} bytes, and cut, seed {seed}");
            let mut site = Site::new(seed, Durability::Power);
            let begin = Duration::from_millis(1_400 * begin as i64);
            site.cut_in_trouble(&title, begin, TroubleKind::Full(room));
            site.end(&title);
        }
    }
}
