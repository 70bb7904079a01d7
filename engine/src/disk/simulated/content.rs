//! The bytes of one file: what reads see, what a power cut leaves, and what lies between the two.

use super::random::Random;

/// One change of a file that has not been synced.
#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Debug, Default)]
pub(super) struct Content {
    /// The page cache.
    cached: Vec<u8>,
    /// What surely survives.
    durable: Vec<u8>,
    /// What leads from the one to the other, in order.
    unsynced: Vec<Change>,
    sync_failed: bool,
}

impl Content {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let offset = self.cached.len();
        self.unsynced.push(Change::Write { offset, bytes: bytes.to_vec() });
        self.cached.extend_from_slice(bytes);
    }

    pub(super) fn cut(&mut self, len: usize) {
        self.unsynced.push(Change::Cut(len));
        self.cached.resize(len, 0);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &change, usize::MAX, false);
        }
    }

    /// The kernel marks as clean what it could not write: reads still show it, and no later sync writes it.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
        self.sync_failed = true;
    }

    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed
    }

    /// The next process cannot know that a sync failed.
    pub(super) fn forget_failure(&mut self) {
        self.sync_failed = false;
    }

    /// What is there when power is back: all that was synced, and of the rest a prefix or a choice, the last or any of it torn.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        let changes = std::mem::take(&mut self.unsynced);
        let survivors = random.up_to(changes.len());
        let in_order = random.coin();
        for (index, change) in changes.iter().enumerate() {
            let kept = if in_order { index < survivors } else { random.coin() };
            let torn = if in_order { index == survivors } else { random.up_to(3) == 0 };
            if let (Change::Write { bytes, .. }, true) = (change, torn) {
                let part = random.up_to(bytes.len());
                apply(&mut self.durable, change, part, random.coin());
            } else if kept {
                apply(&mut self.durable, change, usize::MAX, false);
            }
        }
        self.cached.clone_from(&self.durable);
        self.sync_failed = false;
    }
}

/// Applies at most `part` bytes of a change. `whole_length`: the file is as long as if all were there, zeros stand for the rest, as on file
/// systems that note the length before the bytes.
fn apply(into: &mut Vec<u8>, change: &Change, part: usize, whole_length: bool) {
    match change {
        Change::Cut(len) => into.resize(*len, 0),
        Change::Write { offset, bytes } => {
            let part = part.min(bytes.len());
            let end = offset + if whole_length { bytes.len() } else { part };
            if part == 0 && !whole_length {
                return;
            }
            if into.len() < end {
                into.resize(end, 0);
            }
            into[*offset..offset + part].copy_from_slice(&bytes[..part]);
        }
    }
}
