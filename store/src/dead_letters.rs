//! Dead letters on disk: JSON lines in one file, and one older file behind it, so that they never take more than twice the cap.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::Host;
use smollama_engine::control::{Letter, LetterFilter, LetterPage, LetterRow, Selection};
use smollama_engine::disk::{DiskFile, write_atomically};
use smollama_engine::json::write_item;
use smollama_engine::reading::write_json_text;
use smollama_engine::run::{DeadContent, DeadLetter, DeadLetters};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

/// How large one of the two files may grow.
const FILE_MAX: ByteSize = ByteSize::mib(4);
/// How many bytes all of them may take on disk.
pub const BYTES_MAX: ByteSize = ByteSize(2 * FILE_MAX.0);
/// How many of the original bytes are kept of what could not be understood.
const BYTES_KEPT: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct DeadLetterFile {
    host: Arc<Host>,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Box<dyn DiskFile>>,
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
    /// The folder cannot be made, or the files not read.
    pub fn open(host: &Arc<Host>) -> io::Result<DeadLetterFile> {
        let folder = host.data_dir.join("dead_letters");
        host.disk.create_dir_all(&folder)?;
        let path = folder.join("letters.jsonl");
        let letters = DeadLetterFile { host: host.clone(), path, state: Mutex::default() };
        letters.mend()?;
        let mut state = letters.lock();
        state.now = letters.measure(&letters.path)?;
        state.old = letters.measure(&letters.old())?;
        drop(state);
        Ok(letters)
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

    fn mend(&self) -> io::Result<()> {
        let bytes = self.read(&self.path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            tracing::warn!(path = %self.path.display(), "a dead letter was half written, and is cut off");
            self.host.disk.append(&self.path)?.set_len(whole as u64)?;
        }
        Ok(())
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
        state.open = None;
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
        let line = self.line(letter);
        let mut state = self.lock();
        let disk = &self.host.disk;
        let mut file = match state.open.take() {
            Some(file) => file,
            None => disk.append(&self.path)?,
        };
        let len = file.len()?;
        if len > 0 && len + line.len() as u64 > FILE_MAX.0 {
            disk.rename(&self.path, &self.old())?;
            state.old = std::mem::take(&mut state.now);
            file = disk.append(&self.path)?;
        }
        // A line that could not be written whole is taken back, so that the next one begins on a line of its own.
        let before = file.len()?;
        if let Err(error) = file.write_all(&line) {
            file.set_len(before)?;
            return Err(error);
        }
        state.now = (state.now.0 + 1, before + line.len() as u64);
        state.open = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use smollama_engine::batch::Items;
    use smollama_engine::node::Reject;
    use smollama_engine::reading::Reading;
    use smollama_engine::series::{Series, SourceKey};
    use smollama_engine::time::Timestamp;

    use super::*;

    #[test]
    fn letters_say_why_and_hold_what_was_refused() {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        let letters = DeadLetterFile::open(&host).unwrap();
        let series = host.series.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
        let reject =
            Reject { reason: String::new(), origin: "a.csv:3".into(), bytes: b"x,y".to_vec() };
        let items = Items::Readings(vec![Reading::new(Timestamp::EPOCH, series, 1.5)]);
        for content in [DeadContent::Raw(reject), DeadContent::Items(items)] {
            let letter = DeadLetter {
                address: "p/n".into(),
                time: Timestamp::EPOCH,
                reason: "no \"number\"".into(),
                content,
            };
            letters.put(&letter).unwrap();
        }
        let text = std::fs::read_to_string(letters.path()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["bytes"], "x,y");
        assert_eq!(lines[0]["reason"], "no \"number\"");
        assert_eq!(lines[1]["items"][0]["value"], 1.5);
    }

    #[test]
    fn letters_are_found_shown_and_removed_by_their_id() {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        let letters = DeadLetterFile::open(&host).unwrap();
        for name in ["p/a", "p/b", "p/a"] {
            let reject = Reject { reason: String::new(), origin: "x".into(), bytes: b"y".to_vec() };
            let (time, content) = (Timestamp::EPOCH, DeadContent::Raw(reject));
            letters
                .put(&DeadLetter { address: name.into(), time, reason: "no".into(), content })
                .unwrap();
        }
        let filter = LetterFilter {
            address: Some(smollama_engine::glob::Glob::new("p/a").unwrap()),
            ..LetterFilter::default()
        };
        let page = letters.page(&filter, 1).unwrap();
        assert_eq!((page.letters.len(), page.total), (1, 2));
        let id = page.letters[0].id.clone();
        assert_eq!(letters.letter(&id).unwrap().unwrap().bytes.as_deref(), Some("y"));
        letters.remove(std::slice::from_ref(&id)).unwrap();
        assert!(letters.letter(&id).unwrap().is_none());
        assert_eq!(letters.count().0, 2);
        assert_eq!(DeadLetterFile::open(&host).unwrap().count(), letters.count());
    }

    #[test]
    fn a_letter_that_a_crash_cut_in_two_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        let path = DeadLetterFile::open(&host).unwrap().path().to_owned();
        std::fs::write(&path, "{\"time\":\"2026-01-01T00:00:00Z\",\"addr").unwrap();
        let letters = DeadLetterFile::open(&host).unwrap();
        let reject = Reject { reason: String::new(), origin: "x".into(), bytes: b"y".to_vec() };
        let (time, content) = (Timestamp::EPOCH, DeadContent::Raw(reject));
        letters
            .put(&DeadLetter { address: "p/a".into(), time, reason: "no".into(), content })
            .unwrap();
        assert_eq!(letters.page(&LetterFilter::default(), 9).unwrap().total, 1);
    }

    #[test]
    fn two_files_at_most_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        let letters = DeadLetterFile::open(&host).unwrap();
        let bytes = vec![b'x'; BYTES_KEPT];
        let reject = Reject { reason: String::new(), origin: String::new(), bytes };
        for _ in 0..3 * FILE_MAX.0 / BYTES_KEPT as u64 {
            let letter = DeadLetter {
                address: "p/n".into(),
                time: Timestamp::EPOCH,
                reason: "why".into(),
                content: DeadContent::Raw(reject.clone()),
            };
            letters.put(&letter).unwrap();
        }
        let entries = host.disk.list(&folder.path().join("dead_letters")).unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.len <= FILE_MAX.0));
    }
}
