//! The one way to files: everything the engine and the store keep goes through [`Disk`], so that a simulated disk
//! (that loses what was not synced, tears writes, fails any call) can stand in for the real one in tests.

mod simulated;

pub use simulated::{Crash, Fault, SimulatedDisk};

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskEntry {
    /// The name inside its folder.
    pub name: String,
    /// The length in bytes; 0 for a folder.
    pub len: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// A place that holds files. All calls block; callers run them where blocking is allowed.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a new file and opens it for writing; fails if it exists.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// As [`Disk::create_new`], for a file that only its owner may read, from its first moment. A disk that knows no owners makes
    /// it as any other.
    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.create_new(path)
    }
    /// Opens a file for appending, and makes it if it is not there.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Gives a file another name, replacing what has that name. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder and all above it; fine if it is there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// What lies directly in a folder, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether something has that name.
    fn exists(&self, path: &Path) -> io::Result<bool>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Writes all bytes at the end.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes all bytes written so far durable. After an error the file must not be synced again: what the
    /// kernel dropped stays lost, and a second call would claim success.
    fn sync(&mut self) -> io::Result<()>;
    /// Reads exactly `into.len()` bytes at an offset.
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file to a length.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl RealDisk {
    /// A shared handle.
    #[must_use]
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(RealDisk)
    }
}

#[derive(Debug)]
struct RealFile(File);

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().create_new(true).append(true).read(true).open(path)?;
        Ok(Box::new(RealFile(file)))
    }
    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.create_new(true).append(true).read(true).open(path)?;
        Ok(Box::new(RealFile(file)))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        Ok(Box::new(RealFile(file)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(path)?)))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            entries.push(DiskEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                len: if meta.is_dir() { 0 } else { meta.len() },
                is_dir: meta.is_dir(),
            });
        }
        entries.sort();
        Ok(entries)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }
}

impl DiskFile for RealFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, into, offset)
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

/// Writes a whole file so that a reader sees the old bytes or the new ones and nothing between, and so that it survives a
/// power cut once this returns: a temporary file beside it, sync, rename, sync of the folder.
///
/// # Errors
/// Whatever the disk says; the old file is then untouched, and the temporary one is removed where that is possible. Where only the last
/// step failed, the new file is there, and may be gone after a power cut.
pub fn write_atomically(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(disk, path, bytes, |temporary| disk.create_new(temporary))
}

/// As [`write_atomically`], for a file that only its owner may read, from its first moment.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_privately(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(disk, path, bytes, |temporary| disk.create_private(temporary))
}

fn replace(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    create: impl FnOnce(&Path) -> io::Result<Box<dyn DiskFile>>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let temporary = temporary_name(path);
    let _ = disk.remove_file(&temporary);
    let written = (|| {
        let mut file = create(&temporary)?;
        file.write_all(bytes)?;
        file.sync()?;
        disk.rename(&temporary, path)?;
        disk.sync_dir(folder)
    })();
    if written.is_err() {
        let _ = disk.remove_file(&temporary);
    }
    written
}

/// Makes a folder and all above it, and makes their names durable: files in a folder whose own name is lost are lost with it.
///
/// One after the other, from the top: so whatever lies above a folder that is there was made durable before it, and only the name of the
/// last may be in doubt after a crash.
///
/// # Errors
/// Whatever the disk says.
pub fn create_dir_durably(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut folders = Vec::new();
    let mut found = None;
    for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
        folders.push(folder);
        // What cannot be looked at cannot be made either, and that error says more.
        if disk.exists(folder).unwrap_or(false) {
            found = Some(folder);
            break;
        }
    }
    for folder in folders.into_iter().rev() {
        disk.create_dir_all(folder)?;
        let Some(above) = folder.parent() else { continue };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match disk.sync_dir(above) {
            // Whoever may not open the folder above, such as `/home`, is not who made this one.
            Err(error)
                if found == Some(folder) && error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// The name a file has while it is being written: hidden, so that no glob picks it up.
#[must_use]
pub fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{}.tmp", name.unwrap_or_default()))
}
