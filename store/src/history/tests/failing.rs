//! A disk that fails a chosen call, half-way where a call can be half done.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smollama_engine::disk::{Disk, DiskEntry, DiskFile, RealDisk};

/// The real disk, but the call number `fail_at` fails, and all after it if `for_good`. Syncs are counted and not done: nobody pulls
/// the plug here, and they take long.
#[derive(Debug)]
pub(super) struct FailingDisk {
    calls: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    fail_at: u64,
    for_good: bool,
}

impl FailingDisk {
    pub(super) fn new(fail_at: u64, for_good: bool) -> FailingDisk {
        FailingDisk { calls: Arc::default(), written: Arc::default(), fail_at, for_good }
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many bytes were written.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn call(&self) -> io::Result<()> {
        fail(&self.calls, self.fail_at, self.for_good)
    }

    fn file(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        let (calls, written) = (self.calls.clone(), self.written.clone());
        let (fail_at, for_good) = (self.fail_at, self.for_good);
        Ok(Box::new(FailingFile { file: file?, calls, written, fail_at, for_good }))
    }
}

fn fail(calls: &AtomicU64, fail_at: u64, for_good: bool) -> io::Result<()> {
    let call = calls.fetch_add(1, Ordering::Relaxed);
    if call == fail_at || (for_good && call > fail_at) {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
    }
    Ok(())
}

#[derive(Debug)]
struct FailingFile {
    file: Box<dyn DiskFile>,
    calls: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    fail_at: u64,
    for_good: bool,
}

impl Disk for FailingDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call()?;
        self.file(RealDisk.create_new(path))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call()?;
        self.file(RealDisk.append(path))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call()?;
        self.file(RealDisk.open(path))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.call()?;
        RealDisk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        self.call()?;
        RealDisk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        self.call()
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.call()?;
        RealDisk.exists(path)
    }
}

impl DiskFile for FailingFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = fail(&self.calls, self.fail_at, self.for_good) {
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        fail(&self.calls, self.fail_at, self.for_good)
    }
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        fail(&self.calls, self.fail_at, self.for_good)?;
        self.file.read_exact_at(into, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
