//! What a log is told when it is opened.

use std::path::PathBuf;

use smollama_engine::bytes::ByteSize;
use smollama_engine::duration::Duration;
use uuid::Uuid;

/// What a log survives before it says that something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process: said after the write. The rest reaches the disk every `flush`.
    Process,
    /// A power cut: said after a sync, one for all that gathered meanwhile.
    #[default]
    Power,
}

/// What a log is told when it is opened.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Where its segments lie, and nothing else.
    pub folder: PathBuf,
    /// The bytes it may take, at least [`LogSettings::CAP_MIN`]. What lies there already is never thrown away for it: a log
    /// above its cap is full. A file system gives files whole blocks, of 4 KiB mostly, so on disk there may be up to that
    /// much more a segment.
    pub cap: ByteSize,
    /// When something counts as kept.
    pub durability: Durability,
    /// How long under [`Durability::Process`] what was written may wait for a sync.
    pub flush: Duration,
    /// What the machine calls the time since it was started; `None` where that cannot be known.
    pub boot: Option<Uuid>,
}

const SEGMENT_MIN: u64 = 16 << 10;
/// Where the beginning of a segment is damaged, what series its readings are of is lost: no more than this is at stake. And it is what is read
/// to find a number.
const SEGMENT_MAX: u64 = 2 << 20;
/// Into how many segments a cap is divided: what is done with goes in steps of this size.
const SEGMENTS: u64 = 8;

impl LogSettings {
    /// The least cap there is.
    pub const CAP_MIN: ByteSize = ByteSize::kib(64);
    /// How often a log under [`Durability::Process`] syncs unless told otherwise.
    pub const FLUSH: Duration = Duration::from_secs(5);

    /// The default settings of a log in a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, cap: ByteSize) -> LogSettings {
        LogSettings {
            folder: folder.into(),
            cap,
            durability: Durability::default(),
            flush: Self::FLUSH,
            boot: boot_id(),
        }
    }

    /// The bytes it may take, the floor considered.
    pub(super) fn cap(&self) -> u64 {
        self.cap.max(Self::CAP_MIN).0
    }

    /// How long a segment grows.
    pub(super) fn segment(&self) -> u64 {
        (self.cap() / SEGMENTS).clamp(SEGMENT_MIN, SEGMENT_MAX)
    }
}

/// What the kernel calls the time since the machine was started; `None` where it does not say.
#[must_use]
pub fn boot_id() -> Option<Uuid> {
    // The kernel's own, not a file of the host: it is no business of the disk's.
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_has_a_floor_and_its_segments_both() {
        let of = |cap| LogSettings::new("x", cap);
        assert_eq!((of(ByteSize(1)).cap(), of(ByteSize(1)).segment()), (64 << 10, 16 << 10));
        assert_eq!(of(ByteSize::mib(1)).segment(), 128 << 10);
        assert_eq!(of(ByteSize::mib(1024)).segment(), 2 << 20);
    }
}
