//! Dead letters on disk: JSON lines in one file, and one older file behind it.

mod appender;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::Host;
use smollama_engine::control::{Letter, LetterFilter, LetterPage, LetterRow, Selection};
use smollama_engine::disk::{Disk, create_dir_durably, write_atomically};
use smollama_engine::json::write_item;
use smollama_engine::reading::write_json_text;
use smollama_engine::run::{DeadContent, DeadLetter, DeadLetters};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use self::appender::{Appender, folder};
use crate::log::Durability;

/// How many bytes all of them may take on disk.
pub const BYTES_MAX: ByteSize = ByteSize::mib(8);
/// How many bytes of letters may be in memory because a power cut would take them.
const TAIL_MAX: usize = 1 << 20;
/// When one of the two files has so many bytes, another is begun. What waits in memory then still comes to it; and there is room for a copy
/// of one while it is written anew.
const FILE_MAX: u64 = BYTES_MAX.0 / 3 - TAIL_MAX as u64;
/// How many of the original bytes are kept of what could not be understood.
const BYTES_KEPT: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct DeadLetterFile {
    host: Arc<Host>,
    path: PathBuf,
    durability: Durability,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Appender,
    /// Letters and bytes in the file, and in the older one.
    now: (u64, u64),
    old: (u64, u64),
}

/// A letter as a line has it.
#[derive(Deserialize)]
struct Line {
    /// Letters of the first release had none.
    #[serde(default)]
    id: Option<String>,
    time: Timestamp,
    address: String,
    reason: String,
    origin: Option<String>,
    bytes: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    items: Vec<serde_json::Value>,
}

impl Line {
    fn into_letter(self, number: usize) -> Letter {
        let items = self.items.len().max(1) as u64;
        Letter {
            letter: LetterRow {
                id: self.id.unwrap_or_else(|| format!("line-{}", number + 1)),
                time: self.time,
                address: self.address,
                reason: self.reason,
                kind: self.kind.unwrap_or_else(|| "bytes".into()),
                items,
            },
            origin: self.origin,
            bytes: self.bytes,
            items: self.items,
        }
    }
}

impl DeadLetterFile {
    /// The dead letters of a host. The file is made when the first letter comes. A line that a crash left half written is cut off.
    ///
    /// # Errors
    /// The folder cannot be made, or the files not read or synced.
    pub fn open(host: &Arc<Host>) -> io::Result<DeadLetterFile> {
        let folder = host.data_dir.join("dead_letters");
        create_dir_durably(&*host.disk, &folder)?;
        let path = folder.join("letters.jsonl");
        mend(&*host.disk, &path)?;
        let letters = DeadLetterFile {
            host: host.clone(),
            durability: Durability::default(),
            state: Mutex::new(State {
                file: Appender::new(path.clone(), 0),
                now: (0, 0),
                old: (0, 0),
            }),
            path,
        };
        let mut state = letters.lock();
        state.now = letters.measure(&letters.path)?;
        state.old = letters.measure(&letters.old())?;
        let durable = state.now.1;
        state.file.forget(durable);
        drop(state);
        Ok(letters)
    }

    /// The same where what counts as kept ([`DeadLetters::keep`]) survives this; at first that is a power cut.
    #[must_use]
    pub fn surviving(self, durability: Durability) -> DeadLetterFile {
        DeadLetterFile { durability, ..self }
    }

    /// Since when there are letters that a power cut would take.
    #[must_use]
    pub fn unsynced_since(&self) -> Option<Timestamp> {
        self.lock().file.unsynced_since()
    }

    /// Where the letters lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn old(&self) -> PathBuf {
        self.path.with_extension("old.jsonl")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.host.disk.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }

    fn measure(&self, path: &Path) -> io::Result<(u64, u64)> {
        let bytes = self.read(path)?;
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        Ok((lines as u64, bytes.len() as u64))
    }

    /// How many letters there are, and how many bytes they take.
    #[must_use]
    pub fn count(&self) -> (u64, u64) {
        let state = self.lock();
        (state.now.0 + state.old.0, state.now.1 + state.old.1)
    }

    /// All letters, the oldest first. Lines that are none are left out.
    fn all(&self) -> io::Result<Vec<Letter>> {
        let (old, now) = {
            // Not while a file becomes the older one.
            let _state = self.lock();
            (self.read(&self.old())?, self.read(&self.path)?)
        };
        let lines = old.split(|byte| *byte == b'\n').chain(now.split(|byte| *byte == b'\n'));
        let letters = lines.enumerate().filter_map(|(number, line)| {
            let line: Line = serde_json::from_slice(line).ok()?;
            Some(line.into_letter(number))
        });
        Ok(letters.collect())
    }

    /// The newest letters that a filter takes, at most `limit`.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn page(&self, filter: &LetterFilter, limit: usize) -> io::Result<LetterPage> {
        let all = self.all()?;
        let taken = || {
            let rows = all.iter().rev().map(|one| &one.letter);
            rows.filter(|row| filter.takes(&row.address, row.time))
        };
        let total = taken().count() as u64;
        Ok(LetterPage { letters: taken().take(limit).cloned().collect(), total })
    }

    /// One letter.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn letter(&self, id: &str) -> io::Result<Option<Letter>> {
        Ok(self.all()?.into_iter().find(|one| one.letter.id == id))
    }

    /// Some letters, the oldest first.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn select(&self, selection: &Selection) -> io::Result<Vec<Letter>> {
        let mut all = self.all()?;
        all.retain(|Letter { letter, .. }| match selection {
            Selection::Ids(ids) => ids.contains(&letter.id),
            Selection::Filter(filter) => filter.takes(&letter.address, letter.time),
        });
        Ok(all)
    }

    /// Removes letters; what is written meanwhile stays.
    ///
    /// # Errors
    /// The files cannot be written: then all letters are still there.
    pub fn remove(&self, ids: &[String]) -> io::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let mut state = self.lock();
        state.file.persist(&*self.host.disk)?;
        let mut number = 0;
        for path in [self.old(), self.path.clone()] {
            let bytes = self.read(&path)?;
            let mut kept = Vec::with_capacity(bytes.len());
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let letter = serde_json::from_slice::<Line>(line).ok();
                let letter = letter.map(|line| line.into_letter(number));
                number += 1;
                if letter.is_none_or(|one| !ids.contains(&*one.letter.id)) {
                    kept.extend_from_slice(line);
                }
            }
            // The piece behind the last line break of a file counts as a line where all are read.
            number += 1;
            if kept.len() != bytes.len() {
                write_atomically(&*self.host.disk, &path, &kept)?;
            }
        }
        state.now = self.measure(&self.path)?;
        state.old = self.measure(&self.old())?;
        let durable = state.now.1;
        state.file.forget(durable);
        Ok(())
    }

    fn line(&self, letter: &DeadLetter) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        line.extend_from_slice(b"{\"id\":\"");
        line.extend_from_slice(Uuid::now_v7().simple().to_string().as_bytes());
        line.extend_from_slice(b"\",\"time\":\"");
        letter.time.write_rfc3339(&mut line);
        line.extend_from_slice(b"\",\"address\":");
        write_json_text(&letter.address, &mut line);
        line.extend_from_slice(b",\"reason\":");
        write_json_text(&letter.reason, &mut line);
        match &letter.content {
            DeadContent::Raw(reject) => {
                line.extend_from_slice(b",\"origin\":");
                write_json_text(&reject.origin, &mut line);
                line.extend_from_slice(b",\"bytes\":");
                let kept = &reject.bytes[..reject.bytes.len().min(BYTES_KEPT)];
                write_json_text(&String::from_utf8_lossy(kept), &mut line);
            }
            DeadContent::Items(items) => {
                line.extend_from_slice(b",\"kind\":");
                write_json_text(items.kind().as_str(), &mut line);
                line.extend_from_slice(b",\"items\":[");
                for index in 0..items.len() {
                    if index > 0 {
                        line.push(b',');
                    }
                    write_item(items, index, &self.host.series, &mut line);
                }
                line.push(b']');
            }
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

impl DeadLetters for DeadLetterFile {
    fn put(&self, letter: &DeadLetter) -> io::Result<()> {
        let (disk, line) = (&*self.host.disk, self.line(letter));
        let mut state = self.lock();
        if state.file.is_full_for(&line) {
            match state.file.turn(disk, &self.old()) {
                Ok(()) => state.old = std::mem::take(&mut state.now),
                Err(error) if !state.file.has_room_for(&line) => return Err(error),
                Err(_) => state.file.keep_for_later(&line, letter.time),
            }
        }
        if !state.file.is_full_for(&line) {
            state.file.put(disk, &line, letter.time)?;
        }
        state.now = (state.now.0 + 1, state.file.len());
        Ok(())
    }

    fn keep(&self) -> io::Result<()> {
        let mut state = self.lock();
        match self.durability {
            Durability::Process => state.file.write_out(&*self.host.disk),
            Durability::Power => state.file.persist(&*self.host.disk),
        }
    }

    fn persist(&self) -> io::Result<()> {
        self.lock().file.persist(&*self.host.disk)
    }
}

/// Cuts off a line that a crash left half written, and makes durable what is there: a process that was killed may not have come to that.
fn mend(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let bytes = match disk.read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return disk.sync_dir(folder(path));
        }
        read => read?,
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut file = disk.append(path)?;
    if whole < bytes.len() {
        tracing::warn!(path = %path.display(), "a dead letter was half written, and is cut off");
        file.set_len(whole as u64)?;
    }
    file.sync()?;
    disk.sync_dir(folder(path))
}
