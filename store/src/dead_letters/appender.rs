//! The file that letters are appended to: what of it survives a power cut, and what does not lie in it yet.

use std::io;
use std::path::{Path, PathBuf};

use smollama_engine::disk::{Disk, DiskFile, write_atomically};
use smollama_engine::log_limit::LogLimit;
use smollama_engine::time::Timestamp;

use super::{FILE_MAX, TAIL_MAX};

/// Lines behind those that are durable are in memory too: a disk that is full gets them later, and after a failed sync they cannot be read
/// back.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    file: Option<Box<dyn DiskFile>>,
    /// So many bytes of the file survive a power cut.
    durable: u64,
    /// What comes behind them, and how much of that lies in the file.
    tail: Vec<u8>,
    written: usize,
    /// Since when there is something that a power cut would take.
    since: Option<Timestamp>,
    /// Whether the name of the file survives a power cut.
    named: bool,
    /// A call failed so that the file must not be synced any more, or ends in what was not meant to be there.
    suspect: bool,
    /// Which lines on letters that wait in memory the log gets.
    waits: LogLimit,
}

impl Appender {
    /// Takes up a file, of which all is durable that is there, or begins one.
    pub(super) fn new(path: PathBuf, durable: u64) -> Appender {
        Appender {
            path,
            file: None,
            durable,
            tail: Vec::new(),
            written: 0,
            since: None,
            named: durable > 0,
            suspect: false,
            waits: LogLimit::default(),
        }
    }

    /// The bytes of the file, those included that do not lie in it yet.
    pub(super) fn len(&self) -> u64 {
        self.durable + self.tail.len() as u64
    }

    /// Whether a line belongs into another file.
    pub(super) fn is_full_for(&self, line: &[u8]) -> bool {
        self.len() > 0 && self.len() + line.len() as u64 > FILE_MAX
    }

    pub(super) fn unsynced_since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Takes a line. What a disk does not take now waits in memory.
    ///
    /// # Errors
    /// The disk does not take it, and no more may wait.
    pub(super) fn put(&mut self, disk: &dyn Disk, line: &[u8], now: Timestamp) -> io::Result<()> {
        if !self.has_room_for(line) {
            self.persist(disk)?;
        }
        self.tail.extend_from_slice(line);
        self.since.get_or_insert(now);
        if let Err(error) = self.write_out(disk) {
            let why = error.to_string();
            if self.waits.admits(None, &why) {
                tracing::warn!(path = %self.path.display(), "a dead letter waits in memory: {why}");
            }
        }
        Ok(())
    }

    /// Whether a line can wait in memory.
    pub(super) fn has_room_for(&self, line: &[u8]) -> bool {
        self.tail.is_empty() || self.tail.len() + line.len() <= TAIL_MAX
    }

    /// Takes a line that waits in memory for another file.
    pub(super) fn keep_for_later(&mut self, line: &[u8], now: Timestamp) {
        self.tail.extend_from_slice(line);
        self.since.get_or_insert(now);
    }

    /// Writes all lines.
    pub(super) fn write_out(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.suspect {
            return self.replace(disk);
        }
        if self.written == self.tail.len() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(disk.append(&self.path)?),
        };
        if let Err(error) = file.write_all(&self.tail[self.written..]) {
            // What was written of it is taken back, so that the next line begins on a line of its own.
            self.suspect = file.set_len(self.durable + self.written as u64).is_err();
            return Err(error);
        }
        self.written = self.tail.len();
        Ok(())
    }

    /// Writes all lines, so that they survive a power cut.
    pub(super) fn persist(&mut self, disk: &dyn Disk) -> io::Result<()> {
        self.write_out(disk)?;
        if self.tail.is_empty() {
            return Ok(());
        }
        // Once one of them has failed, the next would say that all is well.
        self.suspect = true;
        if let Some(file) = &mut self.file {
            file.sync()?;
        }
        if !self.named {
            disk.sync_dir(folder(&self.path))?;
        }
        self.is_durable();
        Ok(())
    }

    fn is_durable(&mut self) {
        self.durable += self.tail.len() as u64;
        self.tail.clear();
        self.written = 0;
        self.since = None;
        (self.named, self.suspect) = (true, false);
    }

    /// Puts a copy in the place of a file that must not be synced any more.
    fn replace(&mut self, disk: &dyn Disk) -> io::Result<()> {
        self.file = None;
        let mut bytes = if self.durable > 0 { disk.read(&self.path)? } else { Vec::new() };
        bytes.truncate(usize::try_from(self.durable).unwrap_or(usize::MAX));
        bytes.extend_from_slice(&self.tail);
        write_atomically(disk, &self.path, &bytes)?;
        self.is_durable();
        Ok(())
    }

    /// Gives the file another name, once all of it is durable, and begins a new one.
    pub(super) fn turn(&mut self, disk: &dyn Disk, old: &Path) -> io::Result<()> {
        self.persist(disk)?;
        disk.rename(&self.path, old)?;
        // The new file has no name yet: its first sync makes both names durable.
        self.forget(0);
        Ok(())
    }

    /// The file was written anew by somebody else.
    pub(super) fn forget(&mut self, durable: u64) {
        let waits = self.waits.clone();
        *self = Appender { waits, ..Appender::new(self.path.clone(), durable) };
    }
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}
