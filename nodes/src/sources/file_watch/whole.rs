//! A file that is rewritten as a whole: one JSON text.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use smollama_engine::node::Reject;
use smollama_engine::time::Timestamp;

use super::config::Format;
use super::follow::{Gathered, Identity};
use super::jetson::Jetson;
use super::lines::Reader;
use super::place::Saved;
use crate::fnv::{fnv1a, fnv1a_more};
use crate::io::rows::REJECTED_BYTES;

/// See the module.
pub(super) struct Whole {
    pub(super) path: PathBuf,
    pub(super) shown: String,
    pub(super) name: String,
    pub(super) format: Format,
    inode: u64,
    /// What it was when it was looked at last: length, and when it was written, in nanoseconds.
    seen: Option<(u64, i128)>,
    /// It could not be understood then: perhaps its writer was not through.
    is_doubtful: bool,
    /// What was taken last.
    length: u64,
    print: u64,
}

impl Whole {
    pub(super) fn new(path: PathBuf, shown: String, name: String, format: Format) -> Whole {
        Whole {
            path,
            shown,
            name,
            format,
            inode: 0,
            seen: None,
            is_doubtful: false,
            length: 0,
            print: 0,
        }
    }

    /// Goes on behind what an earlier run took.
    pub(super) fn go_to(&mut self, saved: &Saved) {
        (self.length, self.print) = (saved.offset, saved.print);
    }

    pub(super) fn saved(&self) -> Saved {
        Saved {
            shown: self.shown.clone(),
            inode: self.inode,
            offset: self.length,
            line: 0,
            print: self.print,
        }
    }

    /// Takes what is new in it.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn look(
        &mut self,
        found: &Metadata,
        now: Timestamp,
        reader: &mut Reader,
        jetson: &mut Jetson,
        into: &mut Gathered,
    ) -> io::Result<()> {
        let written = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
        let is_still = self.seen == Some((found.len(), written));
        if is_still && !self.is_doubtful {
            return Ok(());
        }
        self.inode = Identity::of(found).inode;
        let longest = reader.config.longest_line();
        if found.len() > longest as u64 {
            self.refuse(format!("longer than `max_line` ({longest} bytes)"), &[], into);
            self.took(found, written, 0);
            return Ok(());
        }
        let text = fs::read(&self.path)?;
        self.seen = Some((found.len(), written));
        let print = fnv1a_more(fnv1a(&text), &written.to_le_bytes());
        let is_new = (text.len() as u64, print) != (self.length, self.print);
        if text.trim_ascii().is_empty() || !is_new {
            self.is_doubtful = false;
            return Ok(());
        }
        let written_at = Timestamp::from_micros(i64::try_from(written / 1_000).unwrap_or(0));
        let oldest = reader.config.max_age(self.format).map(|age| now.saturating_sub(age));
        let before = into.readings.len();
        let refused = if self.format == Format::Jetson {
            jetson.read(&self.name, &text, &mut into.readings)
        } else if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&text) {
            Some(format!("no JSON: {error}"))
        } else {
            reader.read(&self.name, self.format, &text, &mut into.readings)
        };
        if let Some(reason) = refused {
            // A writer that does not rename may be at work: it is looked at once more before it is refused.
            if !is_still {
                into.readings.truncate(before);
                self.is_doubtful = true;
                return Ok(());
            }
            self.refuse(reason, &text, into);
        }
        let mut new = into.readings.split_off(before);
        for one in new.iter_mut().filter(|one| one.time == Timestamp::ON_RECEIPT) {
            one.time = written_at;
        }
        let read = new.len();
        new.retain(|one| oldest.is_none_or(|oldest| one.time >= oldest));
        into.dropped += (read - new.len()) as u64;
        into.readings.append(&mut new);
        self.took(found, written, print);
        self.length = text.len() as u64;
        into.moved = true;
        Ok(())
    }

    fn took(&mut self, found: &Metadata, written: i128, print: u64) {
        self.seen = Some((found.len(), written));
        self.is_doubtful = false;
        self.length = found.len();
        self.print = print;
    }

    fn refuse(&self, reason: String, text: &[u8], into: &mut Gathered) {
        let bytes = text.get(..REJECTED_BYTES).unwrap_or(text).to_vec();
        into.rejects.push(Reject { reason, origin: self.shown.clone(), bytes });
        into.moved = true;
    }

    /// When the file was written last, as far as it was looked at.
    pub(super) fn written(&self) -> Option<Timestamp> {
        let micros = self.seen?.1 / 1_000;
        Some(Timestamp::from_micros(i64::try_from(micros).unwrap_or(0)))
    }
}
