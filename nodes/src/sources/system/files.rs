//! Small files of the kernel, kept open and read again from the start.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A file of `/proc` or `/sys`: each read from its start makes the kernel write it anew.
pub(super) struct KernelFile {
    path: PathBuf,
    file: Option<File>,
}

/// No file read here is longer on a machine we know; one that is gets cut.
const LONGEST: usize = 1 << 20;

impl KernelFile {
    pub(super) fn new(path: PathBuf) -> KernelFile {
        KernelFile { path, file: None }
    }

    /// Its text now, in a buffer that is used again; `None` where it is not there or does not read, as for a sensor that has
    /// gone.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut Vec<u8>) -> Option<&'a str> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(len) = self.file.as_ref().and_then(|file| fill(file, buffer)) else {
            self.file = None;
            return None;
        };
        std::str::from_utf8(buffer.get(..len)?).ok()
    }

    /// Its text as a whole number.
    pub(super) fn number(&mut self, buffer: &mut Vec<u8>) -> Option<i64> {
        self.read(buffer)?.trim().parse().ok()
    }
}

/// Reads a whole file from its start into a buffer, and gives how much that was.
fn fill(file: &File, buffer: &mut Vec<u8>) -> Option<usize> {
    let mut len = 0;
    loop {
        if buffer.len() - len < 1024 {
            buffer.resize((buffer.len() * 2).max(4096), 0);
        }
        let read = file.read_at(&mut buffer[len..], len as u64).ok()?;
        len += read;
        if read == 0 || len >= LONGEST {
            return Some(len);
        }
    }
}
