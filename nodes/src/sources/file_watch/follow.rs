//! One file that grows: its bytes from where it was read to its end.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use smollama_engine::node::Reject;
use smollama_engine::reading::Reading;
use tokio::time::Instant;

use super::config::Format;
use super::lines::{Head, Lines, Reader, Taken};
use super::place::{Place, Saved};
use crate::io::rows::REJECTED_BYTES;

/// The most readings of one batch, but for lines with more.
const READINGS_MAX: usize = 1_024;
/// The most rejects of one.
const REJECTS_MAX: usize = 256;
/// How much is read at once.
const PIECE: usize = 256 << 10;
/// How long a file is kept open that did not grow. As long as it is open, what is written to it is found also under another name.
const OPEN: Duration = Duration::from_secs(60);
/// How long a file without its name is waited for: its writer learns late that it has another one now.
const FAREWELL: Duration = Duration::from_secs(30);

/// What files gave in one go.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) readings: Vec<Reading>,
    pub(super) rejects: Vec<Reject>,
    /// Readings that were too old.
    pub(super) dropped: u64,
    /// Places changed, though nothing came of it.
    pub(super) moved: bool,
}

impl Gathered {
    pub(super) fn is_full(&self) -> bool {
        self.readings.len() >= READINGS_MAX || self.rejects.len() >= REJECTS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.rejects.is_empty()
    }
}

/// What a file is to the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    pub(super) inode: u64,
}

impl Identity {
    pub(super) fn of(found: &Metadata) -> Identity {
        Identity { device: found.dev(), inode: found.ino() }
    }
}

/// What became of a file since it was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is the same; it may have grown.
    Same,
    /// It was emptied, or written anew.
    Emptied,
}

/// See the module.
pub(super) struct Followed {
    pub(super) path: PathBuf,
    /// As the user would write it.
    pub(super) shown: String,
    /// What it is called in ids.
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) identity: Identity,
    file: Option<File>,
    /// The first byte that was not read into the buffer.
    read: u64,
    buffer: Vec<u8>,
    /// How much of the buffer was taken.
    taken: usize,
    /// Behind what was taken, and the last place between lines.
    at: Place,
    place: Place,
    lines: Lines,
    grew: Instant,
    /// It lost its name: what is left in it is read, and nothing looks for it any more.
    pub(super) is_leaving: bool,
    seen: Option<(u64, i64, i64)>,
}

impl Followed {
    pub(super) fn new(path: PathBuf, shown: String, name: String, format: Format) -> Followed {
        Followed {
            path,
            shown,
            name,
            format,
            identity: Identity { device: 0, inode: 0 },
            file: None,
            read: 0,
            buffer: Vec::new(),
            taken: 0,
            at: Place::default(),
            place: Place::default(),
            lines: Lines::new(format),
            grew: Instant::now(),
            is_leaving: false,
            seen: None,
        }
    }

    /// Goes on at a place in this file.
    pub(super) fn go_to(&mut self, place: Place) {
        self.read = place.offset;
        self.buffer = Vec::new();
        self.taken = 0;
        self.place = place.clone();
        self.at = place;
    }

    /// Begins anew: what lies under its name is another file, or was written anew.
    pub(super) fn begin_anew(&mut self, found: &Metadata) {
        self.go_to(Place::default());
        self.identity = Identity::of(found);
        self.file = None;
        self.lines = Lines::new(self.format);
        self.seen = None;
    }

    /// The file that was under its name, to be read to its end.
    pub(super) fn part(&mut self) -> Followed {
        let left =
            Followed::new(self.path.clone(), self.shown.clone(), self.name.clone(), self.format);
        let mut left = std::mem::replace(self, left);
        left.is_leaving = true;
        left.grew = Instant::now();
        left
    }

    /// The same place in the file, or a copy of it, under a name that is not watched.
    pub(super) fn in_copy(&self, path: PathBuf, found: &Metadata) -> Followed {
        let mut copy = Followed::new(path, self.shown.clone(), self.name.clone(), self.format);
        copy.go_to(self.place.clone());
        copy.identity = Identity::of(found);
        copy.is_leaving = true;
        copy
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn saved(&self) -> Saved {
        Saved {
            shown: self.shown.clone(),
            inode: self.identity.inode,
            offset: self.place.offset,
            line: self.place.line,
            print: self.place.print(),
        }
    }

    /// Whether the file under its name, which is the same one, still begins with what was read of it.
    ///
    /// # Errors
    /// It cannot be opened or read.
    pub(super) fn fate(&mut self, found: &Metadata) -> io::Result<Fate> {
        if found.len() < self.read {
            return Ok(Fate::Emptied);
        }
        let now = (found.len(), found.mtime(), found.mtime_nsec());
        if self.seen == Some(now) {
            return Ok(Fate::Same);
        }
        let is_there = {
            let place = self.at.clone();
            place.is_in(self.open()?)?
        };
        if !is_there {
            return Ok(Fate::Emptied);
        }
        self.seen = Some(now);
        Ok(Fate::Same)
    }

    fn open(&mut self) -> io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            empty => {
                let file = File::open(&self.path)?;
                self.identity = Identity::of(&file.metadata()?);
                Ok(empty.insert(file))
            }
        }
    }

    /// Whether there can be more than was read.
    fn is_hungry(&self) -> bool {
        self.is_leaving || self.seen.is_none_or(|(length, ..)| length > self.read)
    }

    /// Takes lines until a batch is full or the file is at its end. True when there is more.
    ///
    /// # Errors
    /// The file cannot be read; or, within, its head is not what the settings say.
    pub(super) fn gather(
        &mut self,
        reader: &mut Reader,
        into: &mut Gathered,
    ) -> io::Result<Result<bool, String>> {
        if self.lines.lacks_head() {
            if !self.is_hungry() {
                return Ok(Ok(false));
            }
            match self.read_head(reader)? {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(false)),
                Err(problem) => return Ok(Err(problem)),
            }
        }
        self.lines.refresh();
        loop {
            self.take(reader, false, into);
            if into.is_full() {
                return Ok(Ok(true));
            }
            if !self.is_hungry() || !self.fill()? {
                self.rest();
                return Ok(Ok(false));
            }
        }
    }

    fn read_head(&mut self, reader: &Reader) -> io::Result<Result<bool, String>> {
        let is_tab_separated = self.path.extension().is_some_and(|extension| extension == "tsv");
        self.open()?;
        let Followed { file: Some(file), lines, name, .. } = self else { return Ok(Ok(false)) };
        let head = match lines.read_head(file, (name, is_tab_separated), reader)? {
            Ok(Head::Read { length, lines }) => (length, lines),
            Ok(Head::Incomplete) => return Ok(Ok(false)),
            Err(problem) => return Ok(Err(problem)),
        };
        if self.place.offset < head.0
            && let Some(place) = Place::of(file, head.0, head.1)?
        {
            self.go_to(place);
        }
        Ok(Ok(true))
    }

    /// Takes the lines of the buffer. With `last`, nothing comes behind them.
    fn take(&mut self, reader: &mut Reader, last: bool, into: &mut Gathered) {
        while !into.is_full() {
            let bytes = self.buffer.get(self.taken..).unwrap_or_default();
            let named = (self.name.as_str(), self.format);
            match self.lines.step(bytes, last, named, reader, &mut into.readings) {
                Taken::Nothing => break,
                Taken::Line { length, lines, refused } => {
                    let bytes = bytes.get(..length).unwrap_or_default();
                    if let Some(reason) = refused {
                        let cut = bytes.get(..REJECTED_BYTES).unwrap_or(bytes).trim_ascii_end();
                        let origin = format!("{}:{}", self.shown, self.at.line + 1);
                        into.rejects.push(Reject { reason, origin, bytes: cut.to_vec() });
                    }
                    self.at.pass(bytes, lines);
                    self.taken += length;
                    if !self.lines.is_within_line() {
                        self.place.clone_from(&self.at);
                        into.moved = true;
                    }
                }
            }
        }
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let (before, at) = (self.buffer.len(), self.read);
        self.buffer.resize(before + PIECE, 0);
        self.open()?;
        let (Some(file), Some(room)) = (&self.file, self.buffer.get_mut(before..)) else {
            return Ok(false);
        };
        let read = loop {
            match file.read_at(room, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let length = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(before + length);
        self.read += length as u64;
        if length > 0 {
            self.grew = Instant::now();
        }
        read.map(|length| length > 0)
    }

    /// A file that is silent holds no memory, and after a while no descriptor.
    fn rest(&mut self) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.shrink_to_fit();
        if !self.is_leaving && self.grew.elapsed() >= OPEN {
            self.file = None;
        }
    }

    /// Whether a file that lost its name has nothing more to give. Its last line counts without a line break then.
    pub(super) fn is_gone(&mut self, reader: &mut Reader, into: &mut Gathered) -> bool {
        if !self.is_leaving || self.grew.elapsed() < FAREWELL || into.is_full() {
            return false;
        }
        self.take(reader, true, into);
        into.moved = true;
        true
    }

    /// Opens what is there under a path as this file, if it holds what was read of it.
    pub(super) fn open_as(&self, path: &Path) -> io::Result<Option<File>> {
        let file = File::open(path)?;
        Ok(self.place.is_in(&file)?.then_some(file))
    }

    /// Goes on with a file that was found again.
    pub(super) fn found_again(&mut self, path: PathBuf, file: File) {
        self.path = path;
        self.file = Some(file);
    }
}
