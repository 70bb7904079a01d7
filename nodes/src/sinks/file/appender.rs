//! The end of a file: rows wait in memory, go out in large pieces, and a piece that fails leaves nothing of it behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smollama_engine::disk::{Disk, DiskFile, create_dir_durably};

use super::Format;

/// Rows are written in pieces of about this size.
pub(super) const PIECE: usize = 256 * 1024;

/// A file that grows at its end.
pub(super) struct Appender {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` after a failure that left its state unknown; it is then opened again and cut to `len`.
    file: Option<Box<dyn DiskFile>>,
    /// How many bytes of the file are whole rows.
    len: u64,
    /// Rows that are not in the file yet.
    pub(super) waiting: Vec<u8>,
    unsynced: bool,
    /// Whether the names of this file, and of the one that was put aside for it, may not be durable yet.
    unnamed: bool,
    /// A sync has failed: what the kernel dropped stays lost, and a further one would claim success.
    broken: bool,
}

/// A place in the stream of rows to come back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    len: u64,
    waiting: usize,
}

impl Appender {
    /// Opens a file for more rows, and mends what a crash left at its end.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf, format: Format) -> io::Result<Appender> {
        if let Some(folder) = path.parent() {
            create_dir_durably(&*disk, folder)?;
        }
        let mut file = disk.append(&path)?;
        // Also where it is not new: whoever made it may have crashed before this.
        sync_folder(&*disk, &path)?;
        let found = file.len()?;
        let len = mend(&mut *file, format)?;
        // A process that was killed may have left rows that are not on the disk yet.
        let unsynced = found > 0;
        tell_of_damage(&path, found, len);
        let (waiting, file) = (Vec::new(), Some(file));
        Ok(Appender { disk, path, file, len, waiting, unsynced, unnamed: false, broken: false })
    }

    /// How long the file is with the rows that wait.
    pub(super) fn len(&self) -> u64 {
        self.len + self.waiting.len() as u64
    }

    /// Whether there is no row, neither in the file nor waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { len: self.len, waiting: self.waiting.len() }
    }

    /// Takes back all rows since the mark, those in the file too.
    pub(super) fn undo(&mut self, mark: Mark) {
        if self.len == mark.len {
            self.waiting.truncate(mark.waiting);
            return;
        }
        // What waited at the mark went out with the first piece.
        self.waiting.clear();
        self.cut(mark.len + mark.waiting as u64);
    }

    /// Writes the rows that wait. After an error they still wait, and the file is as it was.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.reopen()?;
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&self.waiting));
        if let Err(error) = written {
            self.cut(self.len);
            return Err(error);
        }
        self.len += self.waiting.len() as u64;
        self.waiting.clear();
        self.unsynced = true;
        Ok(())
    }

    /// Opens the file again where a failure closed it, and cuts off what is no whole row.
    fn reopen(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            // A file that was put aside has its new name before another gets the old one.
            self.name()?;
            self.unnamed = true;
            let mut file = self.disk.append(&self.path)?;
            let found = file.len()?;
            if found > self.len {
                file.set_len(self.len)?;
            }
            self.len = found.min(self.len);
            self.file = Some(file);
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) {
        self.len = len;
        if self.file.as_mut().is_some_and(|file| file.set_len(len).is_err()) {
            self.file = None;
        }
    }

    /// Whether a sync of the file has failed: then it may not be synced any more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Makes the rows in the file durable. After an error it must be opened anew: which rows are lost is not known.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier sync of it failed"));
        }
        if self.unsynced {
            self.reopen()?;
            if let Some(file) = &mut self.file {
                self.broken = true;
                file.sync()?;
                self.broken = false;
            }
            self.unsynced = false;
        }
        self.name()
    }

    /// Makes the names durable.
    fn name(&mut self) -> io::Result<()> {
        if self.unnamed {
            sync_folder(&*self.disk, &self.path)?;
            self.unnamed = false;
        }
        Ok(())
    }

    /// Whether the file begins with these bytes, or is empty.
    pub(super) fn begins_with(&self, bytes: &[u8]) -> io::Result<bool> {
        let Some(file) = self.file.as_ref().filter(|_| self.len > 0) else { return Ok(true) };
        let mut head = vec![0; bytes.len().min(usize::try_from(self.len).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut head, 0)?;
        Ok(head == bytes)
    }

    /// Gives the file another name and begins a new one: what waits comes to that.
    pub(super) fn rename_to(&mut self, name: &Path) -> io::Result<()> {
        self.disk.rename(&self.path, name)?;
        // From here on the old handle would write into the renamed file.
        (self.file, self.len, self.unsynced, self.broken) = (None, 0, false, false);
        self.unnamed = true;
        self.reopen()?;
        self.name()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) fn sync_folder(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    disk.sync_dir(folder.unwrap_or_else(|| Path::new(".")))
}

/// Cuts off what a crash left damaged at the end of a file that nobody writes to any more.
pub(super) fn mend_file(disk: &dyn Disk, path: &Path, format: Format) -> io::Result<()> {
    let mut file = disk.append(path)?;
    let found = file.len()?;
    let len = mend(&mut *file, format)?;
    tell_of_damage(path, found, len);
    Ok(())
}

fn tell_of_damage(path: &Path, found: u64, len: u64) {
    if len < found {
        let bytes = found - len;
        tracing::warn!(file = %path.display(), bytes, "the end of the file was damaged and was cut off");
    }
}

/// Cuts off what a crash left damaged at the end, and gives the length after that. A last line of JSON that is whole and lacks only
/// its line break gets one.
fn mend(file: &mut dyn DiskFile, format: Format) -> io::Result<u64> {
    let len = file.len()?;
    let whole = whole_rows(file, len, format)?;
    if whole == len {
        return Ok(len);
    }
    let rest = usize::try_from(len - whole).unwrap_or(usize::MAX);
    if format == Format::Jsonl && rest <= PIECE {
        let mut line = vec![0; rest];
        file.read_exact_at(&mut line, whole)?;
        // The start of an object is never an object, so what parses is whole.
        if serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_ok() && line[0] == b'{' {
            file.write_all(b"\n")?;
            return Ok(len + 1);
        }
    }
    file.set_len(whole)?;
    Ok(whole)
}

/// How far back from the end zeros are looked for that a power cut left in place of rows: more than is ever written between two
/// syncs.
const TAIL: u64 = 16 << 20;

/// The first zero byte in the tail of a file of JSON lines, which have none.
fn first_zero(file: &dyn DiskFile, len: u64) -> io::Result<Option<u64>> {
    let mut start = len.saturating_sub(TAIL);
    let mut piece = vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))];
    while start < len {
        let size = (piece.len() as u64).min(len - start) as usize;
        file.read_exact_at(&mut piece[..size], start)?;
        if let Some(at) = memchr::memchr(0, &piece[..size]) {
            return Ok(Some(start + at as u64));
        }
        start += size as u64;
    }
    Ok(None)
}

/// How many bytes at the start of a file are whole rows. In CSV a line break inside quotes ends no row, which only counting
/// the quotes from the start can tell.
fn whole_rows(file: &dyn DiskFile, len: u64, format: Format) -> io::Result<u64> {
    let mut piece = vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))];
    if format == Format::Jsonl {
        let mut end = first_zero(file, len)?.unwrap_or(len);
        while end > 0 {
            let size = (piece.len() as u64).min(end) as usize;
            let start = end - size as u64;
            file.read_exact_at(&mut piece[..size], start)?;
            if let Some(at) = memchr::memrchr(b'\n', &piece[..size]) {
                return Ok(start + at as u64 + 1);
            }
            end = start;
        }
        return Ok(0);
    }
    let (mut start, mut whole, mut inside) = (0, 0, false);
    while start < len {
        let size = (piece.len() as u64).min(len - start) as usize;
        file.read_exact_at(&mut piece[..size], start)?;
        for at in memchr::memchr3_iter(b'"', b'\n', 0, &piece[..size]) {
            match piece[at] {
                b'"' => inside = !inside,
                b'\n' if !inside => whole = start + at as u64 + 1,
                // A cell that holds one is in quotes; this one stands for rows that a power cut took.
                0 if !inside => return Ok(whole),
                _ => {}
            }
        }
        start += size as u64;
    }
    Ok(whole)
}
