//! A file of lines, and one older file behind it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::bytes::ByteSize;
use smollama_engine::disk::{Disk, DiskFile};

/// How large one of the two files may grow.
const FILE_MAX: ByteSize = ByteSize::mib(1);

/// See the module.
pub(super) struct Rotating {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    open: Option<Box<dyn DiskFile>>,
}

impl Rotating {
    /// A file of this name; it is made with the first line.
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Rotating {
        Rotating { disk, path, open: None }
    }

    /// Appends a line with its break. After an error the file is opened anew for the next one.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.opened()?,
        };
        let len = file.len()?;
        if len > 0 && len + line.len() as u64 > FILE_MAX.0 {
            self.disk.rename(&self.path, &self.path.with_extension("old.jsonl"))?;
            file = self.disk.append(&self.path)?;
        }
        // A line that could not be written whole is taken back, so that the next one begins on a line of its own.
        let before = file.len()?;
        if let Err(error) = file.write_all(line) {
            file.set_len(before)?;
            return Err(error);
        }
        self.open = Some(file);
        Ok(())
    }

    /// Makes all lines durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(mut file) = self.open.take() else { return Ok(()) };
        file.sync()?;
        self.open = Some(file);
        Ok(())
    }

    /// Opens the file. A line that a power cut tore is ended.
    fn opened(&self) -> io::Result<Box<dyn DiskFile>> {
        let made = !self.disk.exists(&self.path)?;
        let mut file = self.disk.append(&self.path)?;
        if made && let Some(folder) = self.path.parent() {
            self.disk.sync_dir(folder)?;
        }
        let len = file.len()?;
        if len > 0 {
            let mut last = [0];
            file.read_exact_at(&mut last, len - 1)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(file)
    }
}

impl fmt::Debug for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rotating").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use smollama_engine::disk::RealDisk;

    use super::*;

    #[test]
    fn two_files_at_most_are_kept_and_the_last_line_is_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = Rotating::new(RealDisk::shared(), path.clone());
        let mut line = vec![b'x'; 100 * 1024];
        line.push(b'\n');
        for _ in 0..35 {
            file.append(&line).unwrap();
        }
        file.append(b"last\n").unwrap();
        file.sync().unwrap();
        let entries = RealDisk.list(folder.path()).unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.len <= FILE_MAX.0));
        assert!(std::fs::read(path).unwrap().ends_with(b"last\n"));
    }

    #[test]
    fn a_torn_line_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, b"whole\nto").unwrap();
        Rotating::new(RealDisk::shared(), path.clone()).append(b"next\n").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"whole\nto\nnext\n");
    }
}
