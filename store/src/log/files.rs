//! The files of a log that are being written, and what must happen to them before something counts as kept.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smollama_engine::disk::{Disk, DiskFile, temporary_name};
use smollama_engine::node::Receipt;

use super::frames::is_alive;
use super::tail::{Chunk, Taken};

const COPY_STEP: usize = 4 << 10;

/// The name of the segment that begins with a number.
pub(super) fn name_of(first: u64) -> String {
    format!("{first:020}.log")
}

/// The number in the name of a segment.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let all = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all { digits.parse().ok() } else { None }
}

/// A segment's file that was written to.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) segment: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    written: u64,
    synced: u64,
    /// Whether its name is durable.
    named: bool,
    /// What it holds beyond `synced` cannot be relied on any more: it must be copied before anything else is done with it.
    suspect: bool,
}

impl OpenFile {
    fn create(disk: &dyn Disk, folder: &Path, segment: u64) -> io::Result<OpenFile> {
        let path = folder.join(name_of(segment));
        let mut file = disk.append(&path)?;
        // Nothing of that name is known: what lies there was never taken up.
        if !file.is_empty()? {
            file.set_len(0)?;
        }
        Ok(OpenFile { segment, path, file, written: 0, synced: 0, named: false, suspect: false })
    }

    /// A file that an earlier process wrote and may not have synced.
    pub(super) fn resume(
        disk: &dyn Disk,
        path: PathBuf,
        segment: u64,
        len: u64,
    ) -> io::Result<OpenFile> {
        let file = disk.append(&path)?;
        Ok(OpenFile { segment, path, file, written: len, synced: 0, named: false, suspect: false })
    }

    pub(super) fn unsynced(&self) -> bool {
        self.suspect || self.written > self.synced || !self.named
    }

    /// Writes bytes that belong at the end. What was written of them when that fails is taken back, for good: after a power cut it might be
    /// there again, beyond the cap.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            let undone = self.file.set_len(self.written).and_then(|()| self.file.sync());
            self.suspect |= undone.is_err();
            if undone.is_ok() {
                self.synced = self.written;
            }
            return Err(error);
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Syncs the bytes. Says whether there were any to sync.
    fn sync(&mut self) -> io::Result<bool> {
        if self.written == self.synced {
            return Ok(false);
        }
        if let Err(error) = self.file.sync() {
            self.suspect = true;
            return Err(error);
        }
        self.synced = self.written;
        Ok(true)
    }

    /// Puts a copy in the place of a file that must not be written or synced again: after a failed sync the kernel may have thrown away
    /// what it had not written, and would say at the next sync that all is well. What is still in memory is taken from there.
    fn copy(&mut self, disk: &dyn Disk, kept: &[Arc<Chunk>]) -> io::Result<()> {
        let temporary = temporary_name(&self.path);
        let _ = disk.remove_file(&temporary);
        let copied = (|| {
            let mut copy = disk.append(&temporary)?;
            let mut buffer = vec![0; COPY_STEP];
            let mut at = 0;
            while at < self.written {
                let len = COPY_STEP.min(usize::try_from(self.written - at).unwrap_or(COPY_STEP));
                let piece = &mut buffer[..len];
                if let Err(error) = self.file.read_exact_at(piece, at) {
                    if !is_alive(&*self.file) {
                        return Err(error);
                    }
                    // What can no longer be read is lost; readers find what is whole behind it.
                    piece.fill(0);
                }
                let ours = kept.iter().filter(|chunk| chunk.segment == self.segment);
                ours.for_each(|chunk| lay_over(piece, at, chunk));
                copy.write_all(piece)?;
                at += len as u64;
            }
            copy.sync()?;
            drop(copy);
            disk.rename(&temporary, &self.path)?;
            disk.sync_dir(self.path.parent().unwrap_or(Path::new(".")))?;
            disk.append(&self.path)
        })();
        match copied {
            Ok(file) => self.file = file,
            Err(error) => {
                let _ = disk.remove_file(&temporary);
                return Err(error);
            }
        }
        self.synced = self.written;
        (self.named, self.suspect) = (true, false);
        Ok(())
    }
}

/// Puts those bytes of a chunk in place that lie in a piece of its segment.
fn lay_over(piece: &mut [u8], piece_at: u64, chunk: &Chunk) {
    let from = piece_at.max(chunk.offset);
    let to = (piece_at + piece.len() as u64).min(chunk.offset + chunk.bytes.len() as u64);
    if from < to {
        let within = |start: u64| (from - start) as usize..(to - start) as usize;
        piece[within(piece_at)].copy_from_slice(&chunk.bytes[within(chunk.offset)]);
    }
}

/// What became of a chunk that was written.
#[derive(Debug)]
pub(super) struct Step {
    /// The segment whose file was replaced by a copy of it.
    pub(super) replaced: Option<u64>,
    /// How many syncs it took.
    pub(super) syncs: u64,
}

/// All files of a log that are not done with, the one that grows last.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) open: VecDeque<OpenFile>,
    /// A chunk that was taken and could not be written.
    pub(super) unfinished: Option<Taken>,
    /// Chunks that are written and not synced, kept for that, and who is to be told then.
    pub(super) kept: Vec<Arc<Chunk>>,
    pub(super) held: Vec<Receipt>,
    /// Files to be removed, the oldest first, and their lengths.
    pub(super) garbage: VecDeque<(PathBuf, u64)>,
    /// Bytes of files that are gone once the folder is synced.
    pub(super) removed: u64,
}

impl Files {
    /// Writes a chunk to its segment's file, which is made if need be.
    pub(super) fn write(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        chunk: &Chunk,
    ) -> io::Result<()> {
        if self.open.back().is_none_or(|file| file.segment != chunk.segment) {
            self.open.push_back(OpenFile::create(disk, folder, chunk.segment)?);
        }
        self.open.back_mut().map_or(Ok(()), |file| file.write(&chunk.bytes))
    }

    /// The length of the first file that must be copied.
    pub(super) fn suspect(&self) -> Option<u64> {
        self.open.iter().find(|file| file.suspect).map(|file| file.written)
    }

    /// Copies the first file that must be.
    pub(super) fn copy_suspect(&mut self, disk: &dyn Disk) -> io::Result<Step> {
        let Some(file) = self.open.iter_mut().find(|file| file.suspect) else {
            return Ok(Step { replaced: None, syncs: 0 });
        };
        file.copy(disk, &self.kept)?;
        Ok(Step { replaced: Some(file.segment), syncs: 2 })
    }

    /// Whether something was written that is not durable.
    pub(super) fn unsynced(&self) -> bool {
        self.open.iter().any(OpenFile::unsynced)
    }

    /// Makes all files durable, the oldest first, and lets go of those that grow no more.
    pub(super) fn sync(&mut self, disk: &dyn Disk, folder: &Path) -> io::Result<u64> {
        let mut syncs = 0;
        for file in &mut self.open {
            syncs += u64::from(file.sync()?);
        }
        let mut unnamed = self.open.iter_mut().filter(|file| !file.named).peekable();
        if unnamed.peek().is_some() {
            syncs += 1;
            let synced = disk.sync_dir(folder);
            // What holds for a file may hold for a folder: the files get their names anew.
            unnamed.for_each(|file| (file.named, file.suspect) = (synced.is_ok(), synced.is_err()));
            synced?;
        }
        let last = self.open.len().saturating_sub(1);
        self.open.drain(..last);
        Ok(syncs)
    }

    /// Removes what is garbage, and gives the bytes that are free for it.
    pub(super) fn remove_garbage(&mut self, disk: &dyn Disk, folder: &Path) -> io::Result<u64> {
        while let Some((path, len)) = self.garbage.front() {
            match disk.remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.removed += len,
            }
            self.garbage.pop_front();
        }
        if self.removed > 0 {
            // After a power cut a removed file may lie there again, and with what was written in its place there would be too much.
            disk.sync_dir(folder)?;
        }
        Ok(std::mem::take(&mut self.removed))
    }
}
